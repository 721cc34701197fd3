package plog

import (
	"context"
	"fmt"
	"time"
)

// spaceBytes is how much is written between two looks at the disk's space.
const spaceBytes = 8 << 20

// Backlogged tells whether the bytes that are not yet in segments have reached
// their cap: callers should hold appends back.
func (s *Store) Backlogged() bool { return s.unwritten.Load() >= s.opts.MaxUnwritten }

// DiskFull tells whether appends are to be refused: the disk's free space has
// reached the reserve. It looks again, at most five times a second, once that
// is so.
func (s *Store) DiskFull() bool {
	if !s.diskFull.Load() {
		return false
	}
	now := s.opts.Monotonic()
	s.space.Lock()
	look := now-s.lastLook >= spacePause
	if look {
		s.lastLook = now
	}
	s.space.Unlock()
	if look {
		if s.hasTrash() { // what a trim or a deletion let go of is the room that is wanted
			s.kickWriter()
		}
		s.checkSpace()
	}
	return s.diskFull.Load()
}

// Free tells the bytes that are free on the disk, and how many of them are
// kept back: the reserve, what is not yet in segments, and room for another
// file of the journal. Both are 0 if that can't be found out.
func (s *Store) Free() (free, reserve int64) {
	free, reserve, err := s.free()
	if err != nil {
		s.opts.Logger.Warn("free disk space is unknown", "error", err)
	}
	return free, reserve
}

// Volume is the size of the volume that the directory is on, and how much of
// it is free, in bytes.
func (s *Store) Volume() (total, free int64, err error) {
	free, total, err = s.opts.FS.Free(s.opts.Dir)
	return total, free, err
}

func (s *Store) free() (free, reserve int64, err error) {
	free, total, err := s.opts.FS.Free(s.opts.Dir)
	if err != nil {
		return 0, 0, err
	}
	reserve = max(s.opts.ReserveBytes, 0)
	if s.opts.reserveDefault {
		reserve = min(reserve, total/20)
	}
	return free, reserve + s.unwritten.Load() + s.journal.FileBytes(), nil
}

// checkSpace compares the free space with the reserve. It ends a full disk
// only when there is an eighth more than that, so that it doesn't flicker.
func (s *Store) checkSpace() {
	if s.opts.ReserveBytes < 0 && !s.diskFull.Load() {
		return
	}
	free, reserve, err := s.free()
	if err != nil {
		s.opts.Logger.Warn("free disk space is unknown", "error", err)
		return
	}
	if s.diskFull.Load() {
		reserve += reserve / 8
	}
	s.setDiskFull(free < reserve || free == 0, free)
}

func (s *Store) setDiskFull(full bool, free int64) {
	if s.diskFull.Swap(full) == full {
		return
	}
	if full {
		s.opts.Logger.Error("disk is full: appends are refused", "dir", s.opts.Dir, "free_bytes", free)
	} else {
		s.opts.Logger.Info("disk has space again", "dir", s.opts.Dir, "free_bytes", free)
	}
	s.wakeReservers()
}

// noteDiskFull takes a write that found no space.
func (s *Store) noteDiskFull(err error) {
	s.opts.Logger.Warn("no space on disk", "error", err)
	s.setDiskFull(true, 0)
}

// awaitSpace waits a little after a write that found no space. It fails when
// the store is closed or has failed.
func (s *Store) awaitSpace(cause error) error {
	s.noteDiskFull(cause)
	t := time.NewTimer(spacePause)
	defer t.Stop()
	select {
	case <-t.C:
		return s.failure()
	case <-s.stopping:
		return fmt.Errorf("%w: %w", ErrClosed, cause)
	}
}

// Reserve waits until more bytes may be appended: it is back-pressure, not an
// allotment. ErrDiskFull at once if the disk is full; ErrBacklog if ctx ends
// first; ErrFailed, ErrClosed.
func (s *Store) Reserve(ctx context.Context, n int) error {
	for {
		if err := s.failure(); err != nil {
			return err
		}
		if s.DiskFull() {
			return ErrDiskFull
		}
		s.space.Lock()
		if s.unwritten.Load()+int64(n) <= s.opts.MaxUnwritten || s.unwritten.Load() == 0 {
			s.space.Unlock()
			return nil
		}
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed := s.changed
		s.space.Unlock()
		s.kickWriter()
		select {
		case <-changed:
		case <-s.stopping:
			return ErrClosed
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ErrBacklog, context.Cause(ctx))
		}
	}
}

// wakeReservers lets those who wait in Reserve look again.
func (s *Store) wakeReservers() {
	s.space.Lock()
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
	s.space.Unlock()
}

// forget takes what tails have dropped out of the account.
func (s *Store) forget(cost int64) { s.cached.Add(-cost) }
