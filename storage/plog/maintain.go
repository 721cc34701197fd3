package plog

import (
	"context"
	"errors"
	"time"
)

// maintain runs a pass of maintenance now and then.
func (s *Store) maintain(ctx context.Context) {
	defer s.wg.Done()
	if s.opts.MaintenanceInterval < 0 {
		return
	}
	t := time.NewTicker(s.opts.MaintenanceInterval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if err := s.Maintain(ctx); err != nil && ctx.Err() == nil && s.failure() == nil {
			s.opts.Logger.Warn("maintenance pass ended early", "error", err)
		}
	}
}

// Maintain runs one pass of maintenance: it looks at the disk's space, seals
// segments by age, applies retention, compacts, and scrubs what is due. Passes
// don't overlap. What goes wrong with one log doesn't keep the pass from the
// others; the errors are joined.
func (s *Store) Maintain(ctx context.Context) error {
	s.maintaining.Lock()
	defer s.maintaining.Unlock()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(s.running, func() { cancel(ErrClosed) })()
	if err := s.failure(); err != nil {
		return err
	}
	s.checkSpace()
	now := s.advanceClock()
	errs := []error{s.retainAll(ctx, now), s.compactAll(ctx, now), s.scrubAll(ctx, now)}
	if s.hasTrash() {
		errs = append(errs, s.ask(ctx, request{}))
	}
	return errors.Join(errs...)
}

// openAdvance is how far ahead of the clock that the checkpoint kept a start
// may find the wall clock and believe it.
const openAdvance = 24 * time.Hour

// advanceClock moves retention's clock, in Unix milliseconds. It follows the
// wall clock, but never forward by more than twice the time that really passed
// on the monotonic clock: a wall clock that jumps ahead by days deletes nothing
// early, for it has as long to be set right as it had jumped. After a start,
// where nobody knows how long the process was down, it may be a day more. It
// follows the wall clock backward at once. Under maintaining.
func (s *Store) advanceClock() int64 {
	wall, mono := s.opts.Now().UnixMilli(), s.opts.Monotonic()
	last := s.clock.Load()
	allowed := last + 2*(mono-s.clockAt).Milliseconds()
	if !s.clockSeen {
		allowed = last + openAdvance.Milliseconds()
		if last == 0 {
			allowed = wall // a new directory
		}
	}
	now := min(wall, allowed)
	s.clock.Store(now)
	s.clockAt, s.clockSeen = mono, true
	return now
}

// pace waits so that n more bytes of background reading stay within the rate.
func (s *Store) pace(ctx context.Context, n int64) error {
	if s.opts.MaintenanceRate <= 0 {
		return context.Cause(ctx)
	}
	s.paceDebt += time.Duration(float64(n) / float64(s.opts.MaintenanceRate) * float64(time.Second))
	if s.paceDebt < 20*time.Millisecond {
		return context.Cause(ctx)
	}
	t := time.NewTimer(s.paceDebt)
	defer t.Stop()
	s.paceDebt = 0
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// eachClaimed calls do for every log that a topic has, one after the other.
func (s *Store) eachClaimed(ctx context.Context, do func(*Log) error) error {
	var errs []error
	for _, l := range s.snapshot() {
		if err := context.Cause(ctx); err != nil {
			return errors.Join(append(errs, err)...)
		}
		l.mu.Lock()
		use := l.claimed && l.gone == nil
		l.mu.Unlock()
		if !use {
			continue
		}
		if err := do(l); err != nil && !errors.Is(l.usable(), ErrDeleted) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
