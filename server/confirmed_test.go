package server

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
)

// A round that began before a request does not count for it, and those that
// come meanwhile share the next.
func TestRoundsAreShared(t *testing.T) {
	var q rounds
	var begun atomic.Int32
	gates := []chan struct{}{make(chan struct{}), make(chan struct{}), make(chan struct{})}
	failed := errors.New("failed")
	started := make(chan int32, len(gates))
	confirm := func() error {
		n := begun.Add(1)
		started <- n
		<-gates[n-1]
		if n == 2 {
			return failed
		}
		return nil
	}
	var wg sync.WaitGroup
	var first error
	wg.Go(func() { first = q.join(t.Context(), confirm) })
	<-started
	errs := make([]error, 20)
	var waiting sync.WaitGroup
	for i := range errs {
		waiting.Go(func() { errs[i] = q.join(t.Context(), confirm) })
	}
	for { // until the second round has somebody who will run it
		q.mu.Lock()
		next := q.next
		q.mu.Unlock()
		if next != nil {
			break
		}
	}
	close(gates[0])
	wg.Wait()
	if first != nil {
		t.Error(first)
	}
	<-started
	close(gates[1])
	close(gates[2])
	waiting.Wait()
	shared := 0
	for _, err := range errs {
		if errors.Is(err, failed) {
			shared++
		}
	}
	if n := begun.Load(); n > 3 || shared == 0 {
		t.Errorf("%d rounds for 21 requests, %d shared the second", n, shared)
	}
}
