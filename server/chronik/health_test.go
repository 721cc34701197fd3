package main

import (
	"strings"
	"testing"
)

func TestHealth(t *testing.T) {
	withNode(t)
	if got := must(t, "", "health"); got != "ready\n" {
		t.Errorf("%q", got)
	}
	if got := must(t, "", "health", "--live"); got != "alive\n" {
		t.Errorf("%q", got)
	}
	got := chronik(t, "", "health", "--server", "127.0.0.1:1")
	if got.code != exitFailed || !strings.Contains(got.err, "no node answers") {
		t.Errorf("%+v", got)
	}
}
