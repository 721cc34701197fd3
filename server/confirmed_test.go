package server

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
)

// A round that began before a request does not count for it, and those that
// come meanwhile share the next.
func TestRoundsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var q rounds
		begun := 0 // rounds follow each other
		gates := []chan struct{}{make(chan struct{}), make(chan struct{})}
		failed := errors.New("failed")
		confirm := func() error {
			begun++
			<-gates[begun-1]
			if begun == 2 {
				return failed
			}
			return nil
		}
		var group sync.WaitGroup
		errs := make([]error, 21)
		join := func(i int) { group.Go(func() { errs[i] = q.join(t.Context(), confirm) }) }
		join(0)
		synctest.Wait()
		for i := range 20 {
			join(i + 1)
		}
		synctest.Wait()
		if begun != 1 {
			t.Errorf("%d rounds at once", begun)
		}
		close(gates[0])
		close(gates[1])
		group.Wait()
		if begun != 2 || errs[0] != nil {
			t.Errorf("%d rounds for 21 requests; the first: %v", begun, errs[0])
		}
		for _, err := range errs[1:] {
			if !errors.Is(err, failed) {
				t.Errorf("who came during the first round shares the second: %v", err)
			}
		}
	})
}
