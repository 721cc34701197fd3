package server

import (
	"testing"
	"time"

	"github.com/chroniklog/chronik/server/telemetry"
)

// Scrapes share a walk for twenty times as long as it took.
func TestScrapesShareAWalk(t *testing.T) {
	now, walks := time.Unix(0, 0), 0
	var o observed
	scrape := func() (s telemetry.State) {
		o.add(&s, func() time.Time { return now }, func(s *telemetry.State) {
			walks++
			now = now.Add(50 * time.Millisecond)
			s.LogBytes, s.Led, s.UnderMinISR = int64(walks), 3, 1
			s.Lags = []telemetry.Lag{{Node: 2, Records: 7}}
		})
		return s
	}
	for i, step := range []struct {
		after time.Duration
		want  int64
	}{{0, 1}, {0, 1}, {999 * time.Millisecond, 1}, {time.Millisecond, 2}, {time.Millisecond, 2}, {time.Hour, 3}} {
		now = now.Add(step.after)
		s := scrape()
		if s.LogBytes != step.want || s.Led != 3 || s.UnderMinISR != 1 || len(s.Lags) != 1 {
			t.Errorf("scrape %d: %+v, want walk %d", i, s, step.want)
		}
	}
}
