package telemetry

import (
	"bytes"
	"context"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// A fault that repeats each second for an hour writes a few hundred lines and
// tells of the others; what scripts count, and other messages, are all written.
func TestSteadyFaults(t *testing.T) {
	var out bytes.Buffer
	r := prometheus.NewRegistry()
	h := WithCounts(slog.New(slog.NewTextHandler(&out, nil)), r).With("node_id", 1).Handler()
	begin := time.Unix(1e9, 0)
	for i := range 3600 {
		at := begin.Add(time.Duration(i) * time.Second)
		for _, line := range []slog.Record{
			slog.NewRecord(at, slog.LevelWarn, "follower repair failed", 0),
			slog.NewRecord(at, slog.LevelWarn, leaderTimeout, 0),
			slog.NewRecord(at, slog.LevelInfo, "elected new leader", 0),
		} {
			if err := h.Handle(context.Background(), line); err != nil {
				t.Fatal(err)
			}
		}
	}
	text := out.String()
	written, left := strings.Count(text, "repair failed"), 0
	for line := range strings.Lines(text) {
		if _, n, ok := strings.Cut(line, notLogged+"="); ok {
			more, err := strconv.Atoi(strings.TrimSpace(n))
			if err != nil {
				t.Fatal(err)
			}
			left += more
		}
	}
	if written < 400 || written > 500 || written+left < 3590 || written+left > 3600 {
		t.Errorf("%d written and %d left out of 3600", written, left)
	}
	for _, all := range []string{leaderTimeout, "elected new leader"} {
		if n := strings.Count(text, all); n != 3600 {
			t.Errorf("%s: %d lines of 3600", all, n)
		}
	}
	want := "# HELP chronik_log_lines_total Lines that the node logged, by level, with those that were left out as repeats.\n" +
		"# TYPE chronik_log_lines_total counter\n" +
		"chronik_log_lines_total{level=\"debug\"} 0\nchronik_log_lines_total{level=\"error\"} 0\n" +
		"chronik_log_lines_total{level=\"info\"} 3600\nchronik_log_lines_total{level=\"warn\"} 7200\n"
	if err := testutil.GatherAndCompare(r, strings.NewReader(want), "chronik_log_lines_total"); err != nil {
		t.Error(err)
	}
}

// Messages made of changing text don't fill the memory.
func TestRepeatsAreBounded(t *testing.T) {
	p := repeats{said: map[string]*repeat{}}
	for i := range 10 * maxRepeats {
		r := slog.NewRecord(time.Unix(1e9, 0), slog.LevelError, strconv.Itoa(i), 0)
		if !p.allow(&r) || len(p.said) > maxRepeats {
			t.Fatalf("message %d: %d remembered", i, len(p.said))
		}
	}
}
