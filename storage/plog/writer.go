package plog

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"
)

// The background writer moves bytes from memory to segments, checkpoints, and
// keeps a spare journal file. None of it is on the path of an answer.

// request asks the writer for something, and is answered.
type request struct {
	flush bool // write and sync everything first
	done  chan error
}

func (s *Store) kickWriter() {
	select {
	case s.writerWake <- struct{}{}:
	default:
	}
}

func (s *Store) writerHasWork() bool {
	return s.isBehind() || s.grown.Load() >= s.opts.CheckpointBytes ||
		s.journal.NeedsSpare() && !s.diskFull.Load()
}

// Checkpoint writes everything that is journaled to segments, syncs them, and
// checkpoints: recovery has nothing to replay then.
func (s *Store) Checkpoint(ctx context.Context) error { return s.ask(ctx, request{flush: true}) }

func (s *Store) ask(ctx context.Context, r request) error {
	r.done = make(chan error, 1)
	s.requestMu.Lock()
	if s.noRequests {
		s.requestMu.Unlock()
		return firstErr(s.failure(), ErrClosed)
	}
	s.requests = append(s.requests, r)
	s.requestMu.Unlock()
	s.kickWriter()
	if s.opts.Manual {
		s.Background()
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// takeRequests takes the requests; last: there will be no others.
func (s *Store) takeRequests(last bool) []request {
	s.requestMu.Lock()
	defer s.requestMu.Unlock()
	list := s.requests
	s.requests = nil
	s.noRequests = s.noRequests || last
	return list
}

// write is the background writer.
func (s *Store) write(ctx context.Context) {
	defer s.wg.Done()
	defer func() {
		for _, r := range s.takeRequests(true) {
			r.done <- firstErr(s.failure(), ErrClosed)
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.writerWake:
		}
		if s.failure() != nil {
			return
		}
		if err := s.step(ctx); err != nil {
			if ctx.Err() != nil || errors.Is(err, ErrClosed) {
				return
			}
			if !isDiskFull(err) {
				s.fail(fmt.Errorf("background writer: %w", err))
				return
			}
			if s.awaitSpace(err) != nil {
				return
			}
			s.kickWriter()
		}
	}
}

// step does what there is to do.
func (s *Store) step(ctx context.Context) error {
	if s.diskFull.Load() && s.hasTrash() { // room first
		if err := s.checkpoint(false, false); err != nil {
			return err
		}
		s.checkSpace()
	}
	if s.journal.NeedsSpare() && !s.diskFull.Load() {
		if err := s.journal.Prepare(ctx); err != nil && !isDiskFull(err) {
			return err
		}
	}
	requests := s.takeRequests(false)
	full := s.grown.Load() >= s.opts.CheckpointBytes
	for _, r := range requests {
		full = full || r.flush
	}
	var err error
	switch {
	case full || len(requests) > 0:
		err = s.checkpoint(full, false)
	case s.isBehind():
		err = s.writeBehind()
	}
	s.evict()
	for _, r := range requests {
		r.done <- err
	}
	if err == nil && s.hasTrash() {
		err = s.checkpoint(false, false)
	}
	return err
}

// isDiskFull tells whether an error says that there is no space.
func isDiskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// spacePause is how long a full disk is left alone.
const spacePause = 200 * time.Millisecond
