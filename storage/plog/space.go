package plog

import "context"

// Backlogged tells whether the bytes that are not yet in segments have reached
// their cap: callers should hold appends back.
func (s *Store) Backlogged() bool { return s.unwritten.Load() >= s.opts.MaxUnwritten }

// DiskFull tells whether appends are to be refused for want of disk space.
func (s *Store) DiskFull() bool { return false }

// Reserve waits until n more bytes may be appended. ErrDiskFull at once if the
// disk is full; ErrBacklog if ctx ends first; ErrFailed.
func (s *Store) Reserve(context.Context, int) error { return s.failure() }

// forget takes bytes that are dropped out of the accounts.
func (s *Store) forget(bytes int64) {
	s.unwritten.Add(-bytes)
	s.cached.Add(-bytes)
}
