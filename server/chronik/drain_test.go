package main

import (
	"testing"
	"time"
)

func TestDrainProgressTellsTheRest(t *testing.T) {
	var p drainProgress
	now := time.Unix(1000, 0)
	for _, step := range []struct {
		after time.Duration
		bytes int64
		want  string
	}{
		{0, 0, ""},
		{0, 40e6, ", 40.0 MB to copy"},
		{time.Second, 40e6, ", 40.0 MB to copy"},
		{time.Second, 30e6, ", 30.0 MB to copy, about 6s left"},
		{2 * time.Second, 10e6, ", 10.0 MB to copy, about 1s left"},
		{time.Second, 50e6, ", 50.0 MB to copy"}, // more began to move
		{5 * time.Second, 25e6, ", 25.0 MB to copy, about 5s left"},
		{time.Second, 0, ""},
	} {
		now = now.Add(step.after)
		if got := p.left(now, &step.bytes); got != step.want {
			t.Errorf("%d bytes: %q, want %q", step.bytes, got, step.want)
		}
	}
	if got := p.left(now, nil); got != "" {
		t.Errorf("unknown: %q", got)
	}
}
