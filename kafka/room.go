package kafka

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

// room is the memory that connections share. Whoever waits for one kind may
// hold those before it and none after it, so that nobody waits in a circle:
// large, requests, decoded, answers.
type room struct {
	large    *semaphore.Weighted // large frames that are coming, half of requests
	requests *semaphore.Weighted // frames
	decoded  *semaphore.Weighted // what frames were decoded into
	answers  *semaphore.Weighted // answers that wait for their client
}

func newRoom(size int64) room {
	return room{
		large: semaphore.NewWeighted(max(size/2, 1)), requests: semaphore.NewWeighted(size),
		decoded: semaphore.NewWeighted(size), answers: semaphore.NewWeighted(size),
	}
}

const (
	// patience is how long a transfer that others wait for may take before
	// its bytes are counted.
	patience = 500 * time.Millisecond
	// leastRate is what such a transfer must move, in bytes per second.
	leastRate = 256 << 10
)

// transfer is a frame that comes or an answer that goes, as others see it.
type transfer struct {
	began atomic.Int64 // Unix nanoseconds; 0: there is none
	moved atomic.Int64 // bytes
}

func (t *transfer) begin() {
	t.moved.Store(0)
	t.began.Store(time.Now().UnixNano())
}

func (t *transfer) end() { t.began.Store(0) }

// behind tells whether it moved less than it must.
func (t *transfer) behind(now time.Time) bool {
	began := t.began.Load()
	due := patience + time.Duration(t.moved.Load()/leastRate)*time.Second
	return began != 0 && now.UnixNano()-began > int64(due)
}

// take waits for n of what all connections share. Meanwhile those whose
// clients dawdle are cut off: they may be slow only while nobody needs the
// memory that they hold.
func (k *Listener) take(ctx context.Context, from *semaphore.Weighted, n int64) error {
	if from.TryAcquire(n) {
		return nil
	}
	k.metrics.waits.Inc()
	taken := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(patience / 4)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				k.relieve()
			case <-taken:
				return
			}
		}
	})
	err := from.Acquire(ctx, n)
	close(taken)
	wg.Wait()
	return err
}

// relieve cuts the connections whose transfers are behind. However many wait,
// it looks once in a quarter of a patience.
func (k *Listener) relieve() {
	now := time.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	if now.Sub(k.relieved) < patience/4 {
		return
	}
	k.relieved = now
	for c := range k.conns {
		if c.in.behind(now) || c.out.behind(now) {
			k.metrics.refused.WithLabelValues("dawdling").Inc()
			c.abort()
		}
	}
}
