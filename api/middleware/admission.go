package middleware

import (
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of the wait that a refused request is told.
const (
	leastWait = 100 * time.Millisecond
	mostWait  = 30 * time.Second
	// rateWindow is how far back the rate of release is looked at.
	rateWindow = 2 * time.Second
)

// Admission bounds the bytes of request bodies that are held at once. The
// zero value admits nothing; use newAdmission.
type Admission struct {
	limit    int64
	now      func() time.Time
	used     atomic.Int64
	released atomic.Int64 // total, for the rate
	refused  atomic.Int64

	mu   sync.Mutex // guards the samples, taken when a request is refused
	prev sample
	last sample
}

type sample struct {
	at       time.Time
	released int64
}

func newAdmission(limit int64, now func() time.Time) *Admission {
	start := sample{at: now()}
	return &Admission{limit: limit, now: now, prev: start, last: start}
}

// acquire reserves n bytes or says when to come back. A request larger than
// the whole limit is admitted when nothing else is held: it has passed its
// route's own limit, and would otherwise never be served.
func (a *Admission) acquire(n int64) error {
	used := a.used.Add(n)
	if used <= a.limit || used == n {
		return nil
	}
	a.used.Add(-n)
	a.refused.Add(1)
	return &TooManyBytesError{Limit: a.limit, RetryAfter: a.wait(used - a.limit)}
}

// release gives bytes back.
func (a *Admission) release(n int64) {
	a.used.Add(-n)
	a.released.Add(n)
}

// wait estimates how long the release of n bytes takes at the recent rate.
func (a *Admission) wait(n int64) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	now, released := a.now(), a.released.Load()
	if now.Sub(a.last.at) >= rateWindow {
		a.prev, a.last = a.last, sample{now, released}
	}
	elapsed, bytes := now.Sub(a.prev.at), released-a.prev.released
	if elapsed <= 0 || bytes <= 0 {
		return time.Second
	}
	wait := time.Duration(float64(n) / float64(bytes) * float64(elapsed))
	return min(max(wait, leastWait), mostWait)
}
