package replication

import (
	"sync"
	"time"
)

const (
	// paceBurst is the part of a second's bytes that is sent at once.
	paceBurst = 4
	// paceLeast is sent at once however low the rate: a batch is not cut.
	paceLeast = 16 << 10
	// paceLook is how long a place waits at most before it is looked at again:
	// the rate may have changed, or the follower be in sync by now.
	paceLook = time.Second
)

// Pace bounds the bytes per second of what shares it: all that a node sends to
// followers that are being moved to. It is a bucket that is empty when it is
// not in use: what was sent is paid for by waiting afterwards, at the rate that
// it was sent at. Where rates differ, the sum stays below the highest.
type Pace struct {
	now func() time.Time

	mu   sync.Mutex
	paid time.Time // when everything that was sent is paid for
}

// NewPace makes a pace; now is a clock that does not jump.
func NewPace(now func() time.Time) *Pace { return &Pace{now: now} }

// Reserve takes n bytes at a rate, if it is time; else it takes none and tells
// how long to wait.
func (p *Pace) Reserve(n int, rate int64) (wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if wait = p.paid.Sub(now); wait > 0 {
		return wait
	}
	p.paid = now.Add(cost(n, rate))
	return 0
}

// Settle corrects a reservation: more bytes than were reserved, or fewer.
func (p *Pace) Settle(diff int, rate int64) {
	p.mu.Lock()
	p.paid = p.paid.Add(cost(diff, rate))
	p.mu.Unlock()
}

func cost(n int, rate int64) time.Duration {
	return time.Duration(float64(n) / float64(rate) * float64(time.Second))
}

// Throttled is a Led that may bound what a follower is sent: one that it is
// being moved to and that is not in sync. A rate of 0 is no bound.
type Throttled interface {
	Throttle(follower int32) (p *Pace, bytesPerSecond int64)
}

// ration is what a place may be sent now.
type ration struct {
	room int
	wait time.Duration // if room is 0: until there is more
	pace *Pace         // nil: not throttled
	rate int64
}

// ration decides how much of a partition the follower gets.
func (s *session) ration(led Led, wants bool) ration {
	if !wants {
		return ration{}
	}
	t, ok := led.(Throttled)
	if !ok {
		return ration{room: maxPartitionBytes}
	}
	r := ration{room: maxPartitionBytes}
	if r.pace, r.rate = t.Throttle(s.follower); r.rate <= 0 {
		return ration{room: maxPartitionBytes}
	}
	r.room = int(min(max(r.rate/paceBurst, paceLeast), maxPartitionBytes))
	if r.wait = r.pace.Reserve(r.room, r.rate); r.wait > 0 {
		r.room = 0
	}
	return r
}

// used tells how much of it was.
func (r *ration) used(n int) {
	if r.pace != nil && r.room > 0 {
		r.pace.Settle(n-r.room, r.rate)
	}
}

// slow has a place looked at again when its ration may be larger.
func (s *session) slow(pl *place, wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if pl.slow == nil && !pl.gone {
		pl.slow = time.AfterFunc(min(wait, paceLook), func() {
			s.mu.Lock()
			pl.slow = nil
			s.mu.Unlock()
			s.enqueue(pl)
		})
	}
}
