package plog

import (
	"cmp"
	"context"
	"errors"
	"slices"
)

// A store that was opened with Options.Manual starts no goroutine: a simulator
// calls, from one goroutine, what the committer and the background writer would
// do. Operations that wait for a cycle (Truncate, Reset, Trim, Delete) run the
// cycles that they need themselves. Everything is done in a fixed order.

// manual is the committer's cycle under way in a store without goroutines.
type manual struct {
	cycle *underway // nil: none
	ended bool      // the committer has returned
}

// Pending tells whether StartCycle has something to do.
func (s *Store) Pending() bool { return s.man.cycle == nil && !s.man.ended && s.hasWork() }

// StartCycle begins a commit cycle, up to its sync: owners are sealed, and what
// is appended from now on is for the next one. It reports whether there was
// something to do.
func (s *Store) StartCycle() bool {
	if !s.Pending() {
		return false
	}
	if err := s.failure(); err != nil {
		s.man.ended = true
		s.tellFailed(err)
		return false
	}
	s.man.cycle = s.gather()
	return true
}

// EndCycle syncs, and tells the owners, what StartCycle began.
func (s *Store) EndCycle() {
	u := s.man.cycle
	if u == nil {
		return
	}
	s.man.cycle = nil
	if err := s.complete(u); err != nil {
		s.man.ended = true
		if !errors.Is(err, ErrClosed) {
			s.fail(err)
		}
		s.tellFailed(firstErr(s.failure(), ErrClosed))
	}
}

// Background does what the background writer would do now, if anything. While
// a cycle writes straight to segments it would wait for the end of the cycle,
// which is the caller's to bring: there is nothing to do until then.
func (s *Store) Background() {
	if s.man.cycle != nil && s.directs > 0 {
		return
	}
	select {
	case <-s.writerWake:
	default:
		return
	}
	if s.failure() != nil {
		return
	}
	if err := s.step(s.running); err != nil {
		s.fail(err)
	}
}

// await waits until an operation is durable.
func (s *Store) await(ctx context.Context, o *op) error {
	for s.opts.Manual && len(o.done) == 0 && !s.man.ended {
		s.EndCycle()
		s.StartCycle()
	}
	return o.wait(ctx)
}

// inOrder sorts logs, for a store whose steps have to repeat.
func inOrder(logs []*Log) []*Log {
	slices.SortFunc(logs, func(a, b *Log) int {
		return cmp.Or(compareIDs(a.id, b.id), cmp.Compare(a.incarnation, b.incarnation))
	})
	return logs
}
