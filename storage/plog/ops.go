package plog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/chroniklog/chronik/storage/journal"
)

// op changes a log otherwise than by appending. The committer applies it at
// the start of a cycle, before anything else of that log in the cycle, and its
// frame is durable with the cycle.
type op struct {
	log  *Log
	kind journal.Kind
	arg  int64
	// apply runs under the log's lock; false: nothing changed, no frame.
	apply func() (bool, error)
	err   error // of apply
	// The log's locks that are held until the operation is durable.
	unlock, unlockStates bool
	done                 chan error // buffered; gets the outcome once
}

// finish gives the outcome to who waits for it.
func (o *op) finish(err error) {
	if err == nil {
		err = o.err
	}
	if o.unlock {
		o.log.io.Unlock()
	}
	if o.unlockStates {
		o.log.stateMu.Unlock()
	}
	o.done <- err
}

func newOp(l *Log, kind journal.Kind, arg int64, apply func() (bool, error)) *op {
	return &op{log: l, kind: kind, arg: arg, apply: apply, done: make(chan error, 1)}
}

// submit hands an operation to the committer.
func (s *Store) submit(o *op) {
	s.queueMu.Lock()
	if s.noOps != nil {
		err := s.noOps
		s.queueMu.Unlock()
		o.finish(err)
		return
	}
	s.ops = append(s.ops, o)
	s.queueMu.Unlock()
	s.wake()
}

// apply runs an operation and adds its frame.
func (s *Store) apply(o *op) {
	o.log.mu.Lock()
	changed, err := o.apply()
	o.err = err
	o.log.mu.Unlock()
	if !changed {
		return
	}
	s.addFrame(o.log, journal.Frame{Kind: o.kind, Payload: binary.LittleEndian.AppendUint64(nil, uint64(o.arg))})
}

// wait waits until the operation is durable. When ctx ends first it will still
// be done.
func (o *op) wait(ctx context.Context) error {
	select {
	case err := <-o.done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Trim moves the log's start forward to before; what is below is removed, by
// whole segments, in time. A start that is not below before stays. It is
// durable on return. ErrBeyondEnd.
func (l *Log) Trim(ctx context.Context, before int64) error {
	l.io.Lock()
	return l.wrap("trim", l.doLocked(ctx, l.trimOp(before, nil)))
}

// trimOp makes the operation of Trim; dropped is told what it removes.
func (l *Log) trimOp(before int64, dropped func(segments int, bytes int64)) *op {
	return newOp(l, journal.Trim, before, func() (bool, error) {
		switch {
		case l.gone != nil:
			return false, l.gone
		case before > l.end.Load():
			return false, fmt.Errorf("%w: %d, the end is %d", ErrBeyondEnd, before, l.end.Load())
		case before <= l.start.Load():
			return false, nil
		}
		segments, bytes := l.trimTo(before)
		if dropped != nil {
			dropped(segments, bytes)
		}
		return true, nil
	})
}

// Truncate cuts the log's end back to to, or to the start of the batch that
// holds to; where that is below the log's start, the log is empty then, at its
// start. What was staged above is dropped. It is durable on return, and before
// anything that is appended then. A log that ends at or below to stays.
// ErrTrimmed, ErrCorrupt.
func (l *Log) Truncate(ctx context.Context, to int64) error {
	l.stateMu.Lock() // no snapshot of what is being cut
	l.io.Lock()
	c, err := l.planCut(to)
	if err == nil {
		err = l.dropStates(to)
	}
	if err != nil {
		l.io.Unlock()
		l.stateMu.Unlock()
		return l.wrap("truncate", err)
	}
	o := newOp(l, journal.Truncate, to, nil)
	o.apply = func() (bool, error) {
		switch {
		case l.gone != nil:
			return false, l.gone
		case to < l.start.Load():
			return false, fmt.Errorf("%w: %d, the start is %d", ErrTrimmed, to, l.start.Load())
		case to >= l.end.Load():
			return false, nil
		}
		if start := l.start.Load(); l.cutEnd(to, c) < start {
			// The start is in the batch that goes. The frame says so: when it
			// is replayed, the log may start elsewhere already.
			o.kind, o.arg = journal.Reset, start
			l.resetTo(start)
			return true, nil
		}
		l.cutTo(to, c)
		return true, nil
	}
	o.unlockStates = true
	return l.wrap("truncate", l.doLocked(ctx, o))
}

// Reset empties the log and makes start its next offset, as for a follower
// whose leader no longer has what it lacks. It is durable on return, and
// before anything that is appended then.
func (l *Log) Reset(ctx context.Context, start int64) error {
	if start < 0 {
		return l.wrap("reset", fmt.Errorf("offset %d is negative", start))
	}
	l.stateMu.Lock()
	l.io.Lock()
	if err := l.dropStates(-1); err != nil {
		l.io.Unlock()
		l.stateMu.Unlock()
		return l.wrap("reset", err)
	}
	o := newOp(l, journal.Reset, start, func() (bool, error) {
		if l.gone != nil {
			return false, l.gone
		}
		l.resetTo(start)
		return true, nil
	})
	o.unlockStates = true
	return l.wrap("reset", l.doLocked(ctx, o))
}

// doLocked runs an operation and waits for it. The log's io is held, so that
// nobody touches its files until the operation is durable; it is released
// then.
func (l *Log) doLocked(ctx context.Context, o *op) error {
	o.unlock = true
	l.s.submit(o)
	return l.s.await(ctx, o)
}

// Delete ends a log and removes its files in time. It is durable on return.
// ErrUnknownLog.
func (s *Store) Delete(ctx context.Context, id ID) error {
	l, ok := s.Log(id)
	if !ok {
		return fmt.Errorf("delete log %s: %w", id, ErrUnknownLog)
	}
	o := s.deletion(l)
	o.unlockStates = true
	l.stateMu.Lock()
	// The log's next life may have the same incarnation, and would take the
	// snapshots for its own. What is left of a corrupt log is kept.
	if l.usable() == nil {
		if err := l.dropStates(-1); err != nil {
			l.stateMu.Unlock()
			return l.wrap("delete", err)
		}
	}
	s.submit(o)
	return l.wrap("delete", s.await(ctx, o))
}

// deletion makes the operation that ends l.
func (s *Store) deletion(l *Log) *op {
	return newOp(l, journal.Delete, 0, func() (bool, error) {
		if errors.Is(l.gone, ErrDeleted) {
			return false, ErrDeleted
		}
		l.remove()
		l.removed = s.lsn
		return true, nil
	})
}

// wrap names the operation and the log; nil stays nil.
func (l *Log) wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s log %s: %w", what, l.id, err)
}

func firstErr(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// The changes themselves, for operations and for replay. Under mu, and all but
// remove under io.

func (l *Log) trimTo(before int64) (segments int, bytes int64) {
	l.start.Store(before)
	l.epochs.trim(before)
	return l.dropSegs(before)
}

// cutEnd is where the log ends after a truncation: at a batch's boundary.
func (l *Log) cutEnd(to int64, c *cut) int64 {
	end := to
	if q := l.tail.batches(); len(q) > 0 {
		if i := l.tail.from(to); i < len(q) {
			end = min(end, q[i].base)
		}
	}
	if c != nil {
		end = min(end, c.at.Next)
	}
	return end
}

func (l *Log) cutTo(to int64, c *cut) {
	end := l.cutEnd(to, c)
	l.s.forget(l.tail.cut(to))
	l.cutSegs(c)
	l.gen++
	l.end.Store(end)
	l.flushed.Store(min(l.flushed.Load(), end))
	l.taken = min(l.taken, end)
	l.cleaned = min(l.cleaned, end)
	l.recount()
	l.epochs.cut(end)
}

func (l *Log) resetTo(start int64) {
	l.clear()
	l.gen++
	l.epochs = nil
	l.empty, l.cleaned, l.taken = start, start, start
	l.start.Store(start)
	l.end.Store(start)
	l.flushed.Store(start)
	l.hw.Store(min(l.hw.Load(), start))
}

func (l *Log) remove() {
	if l.wreck = l.gone != nil; l.wreck { // corrupt: what is left of it may be wanted
		l.s.quarantine(life{l.id, l.incarnation})
		l.segs, l.states = nil, nil
	}
	l.clear()
	l.gone = ErrDeleted
	for _, ref := range l.states {
		l.s.trash(l.s.path(l.stateName(ref)))
	}
	l.states = nil
}

// clear lets go of all batches.
func (l *Log) clear() {
	l.s.forget(l.tail.cut(-1))
	l.tail = tail{}
	for _, seg := range l.segs {
		l.s.trash(seg.Name, seg.Index.Name)
	}
	l.segs = nil
	l.s.unwritten.Add(-l.pending)
	l.pending, l.staged, l.inflight = 0, 0, 0
}
