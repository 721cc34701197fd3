package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chroniklog/chronik/server/client"
)

// A node that is away is told of once, not by every partition every second.
func TestComplaints(t *testing.T) {
	var c complaints
	var out strings.Builder
	now := time.Unix(1e9, 0)
	for i := range 60 {
		for range 12 {
			c.say(&out, fmt.Errorf("no node answers port %d", i), now.Add(time.Duration(i)*time.Second))
			c.say(&out, &client.Problem{Code: "no_leader", Detail: "D", TraceID: strings.Repeat("a", i+1)},
				now.Add(time.Duration(i)*time.Second))
		}
	}
	if n := strings.Count(out.String(), "\n"); n != 4 {
		t.Errorf("%d lines in a minute:\n%s", n, out.String())
	}
	if !strings.HasPrefix(out.String(), "chronik: no node answers port 0; trying again\n") {
		t.Errorf("%q", out.String())
	}
}
