package replication

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// hand is a clock that is set by hand.
type hand struct{ t time.Time }

func newHand() *hand                 { return &hand{t: time.Unix(1000, 0)} }
func (h *hand) now() time.Time       { return h.t }
func (h *hand) pass(d time.Duration) { h.t = h.t.Add(d) }

func TestPace(t *testing.T) {
	clock := newHand()
	p := NewPace(clock.now)
	steps := []struct {
		after time.Duration
		n     int
		rate  int64
		wait  time.Duration
	}{
		{0, 500, 1000, 0},
		{0, 1, 1000, 500 * time.Millisecond}, // the first have to be paid for
		{499 * time.Millisecond, 1, 1000, time.Millisecond},
		{time.Millisecond, 1000, 1000, 0},
		{0, 1, 1 << 20, time.Second}, // at the rate that they went at
		{time.Hour, 1000, 1000, 0},   // an idle hour is not saved up
		{0, 1000, 1000, time.Second},
	}
	for i, s := range steps {
		clock.pass(s.after)
		if wait := p.Reserve(s.n, s.rate); wait != s.wait {
			t.Errorf("step %d: wait %v, want %v", i, wait, s.wait)
		}
	}
	p.Settle(-1000, 1000) // nothing was sent after all
	if wait := p.Reserve(1, 1000); wait != 0 {
		t.Errorf("after a reservation that was not used: wait %v", wait)
	}
}

// Whatever is asked for when: what goes stays below the rate, but for one
// helping.
func TestPaceHoldsItsRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const rate, most = 10_000, 5_000
		clock := newHand()
		p := NewPace(clock.now)
		began, sent := clock.t, 0
		for range 200 {
			clock.pass(time.Duration(rapid.IntRange(0, 200).Draw(t, "ms")) * time.Millisecond)
			n := rapid.IntRange(1, most).Draw(t, "n")
			if p.Reserve(n, rate) > 0 {
				continue
			}
			used := rapid.IntRange(0, n).Draw(t, "used")
			p.Settle(used-n, rate)
			sent += used
		}
		if limit := clock.t.Sub(began).Seconds()*rate + most; float64(sent) > limit+1 {
			t.Fatalf("%d bytes, at most %.0f", sent, limit)
		}
	})
}

// A follower that is moved to gets its bytes at the rate, and the rest at once
// when that ends.
func TestThrottledFollower(t *testing.T) {
	p := newPair(t)
	leader, follower := p.leads(0)
	free, copied := p.leads(1)
	leader.pace, leader.rate = NewPace(time.Now), 128<<10
	began := time.Now()
	leader.append(0, strings.Repeat("x", 1<<20))
	free.append(0, strings.Repeat("y", 1<<20))
	p.fetcher.Add(partitionID(0), follower)
	p.fetcher.Add(partitionID(1), copied)
	eventually(t, "the other partition is copied", func() bool { r, _ := copied.snapshot(); return len(r) == 1<<20 })
	eventually(t, "some of it", func() bool { r, _ := follower.snapshot(); return len(r) >= 64<<10 })
	got, _ := follower.snapshot()
	if most := time.Since(began).Seconds()*(128<<10) + 128<<10/paceBurst; float64(len(got)) > most {
		t.Errorf("%d bytes after %v", len(got), time.Since(began))
	}
	leader.change(func() { leader.rate = 0 })
	eventually(t, "all of it", func() bool { r, _ := follower.snapshot(); return len(r) == 1<<20 })
	if took := time.Since(began); took > 6*time.Second {
		t.Errorf("it took %v, as long as with the throttle", took)
	}
}
