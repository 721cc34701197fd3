package plog

import (
	"context"
	"encoding/binary"
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
	err   error      // of apply
	done  chan error // buffered; gets the outcome once
}

// finish gives the outcome to who waits for it.
func (o *op) finish(err error) {
	if err == nil {
		err = o.err
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
	s.addFrame(journal.Frame{
		Kind: o.kind, Topic: o.log.id.Topic, Partition: o.log.id.Partition,
		Incarnation: o.log.incarnation, Payload: binary.LittleEndian.AppendUint64(nil, uint64(o.arg)),
	})
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

// do runs an operation and waits for it.
func (l *Log) do(ctx context.Context, o *op) error {
	l.s.submit(o)
	return o.wait(ctx)
}

// Trim moves the log's start forward to before; what is below is removed, by
// whole segments, in time. A start that is not below before stays. It is
// durable on return. ErrBeyondEnd.
func (l *Log) Trim(ctx context.Context, before int64) error {
	o := newOp(l, journal.Trim, before, func() (bool, error) {
		switch {
		case l.gone != nil:
			return false, l.gone
		case before > l.end.Load():
			return false, fmt.Errorf("%w: %d, the end is %d", ErrBeyondEnd, before, l.end.Load())
		case before <= l.start.Load():
			return false, nil
		}
		l.trimTo(before)
		return true, nil
	})
	return l.wrap("trim", l.do(ctx, o))
}

// Truncate cuts the log's end back to to, or to the start of the batch that
// holds to. What was staged above is dropped. It is durable on return, and
// before anything that is appended then. A log that ends at or below to stays.
// ErrTrimmed.
func (l *Log) Truncate(ctx context.Context, to int64) error {
	o := newOp(l, journal.Truncate, to, func() (bool, error) {
		switch {
		case l.gone != nil:
			return false, l.gone
		case to < l.start.Load():
			return false, fmt.Errorf("%w: %d, the start is %d", ErrTrimmed, to, l.start.Load())
		case to >= l.end.Load():
			return false, nil
		}
		l.cutTo(to)
		return true, nil
	})
	return l.wrap("truncate", l.do(ctx, o))
}

// Reset empties the log and makes start its next offset, as for a follower
// whose leader no longer has what it lacks. It is durable on return, and
// before anything that is appended then.
func (l *Log) Reset(ctx context.Context, start int64) error {
	if start < 0 {
		return l.wrap("reset", fmt.Errorf("offset %d is negative", start))
	}
	o := newOp(l, journal.Reset, start, func() (bool, error) {
		if l.gone != nil {
			return false, l.gone
		}
		l.resetTo(start)
		return true, nil
	})
	return l.wrap("reset", l.do(ctx, o))
}

// Delete ends a log and removes its files in time. It is durable on return.
// ErrUnknownLog.
func (s *Store) Delete(ctx context.Context, id ID) error {
	l, ok := s.Log(id)
	if !ok {
		return fmt.Errorf("delete log %s: %w", id, ErrUnknownLog)
	}
	return l.wrap("delete", l.do(ctx, s.deletion(l)))
}

// deletion makes the operation that ends l.
func (s *Store) deletion(l *Log) *op {
	return newOp(l, journal.Delete, 0, func() (bool, error) {
		if l.gone == ErrDeleted {
			return false, ErrDeleted
		}
		l.remove()
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

// The changes themselves, for operations and for replay. Under mu.

func (l *Log) trimTo(before int64) {
	l.start.Store(before)
	l.epochs.trim(before)
}

func (l *Log) cutTo(to int64) {
	bytes, end := l.tail.cut(to)
	l.s.forget(bytes)
	l.setEnd(end)
	l.epochs.cut(end)
}

func (l *Log) resetTo(start int64) {
	l.s.forget(l.tail.bytes)
	l.tail = tail{}
	l.epochs = nil
	l.start.Store(start)
	l.end.Store(start)
	l.flushed.Store(start)
	l.taken, l.staged = start, 0
}

func (l *Log) setEnd(end int64) {
	l.end.Store(end)
	l.flushed.Store(min(l.flushed.Load(), end))
	l.taken, l.staged = min(l.taken, end), 0
	for _, b := range l.tail.batches()[l.tail.from(l.taken):] {
		l.staged += int64(len(b.b))
	}
}

func (l *Log) remove() {
	l.gone = ErrDeleted
	l.s.forget(l.tail.bytes)
	l.tail = tail{}
}
