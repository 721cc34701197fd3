package vfs

import "errors"

// ErrLocked is returned by FS.Lock when another holder has the lock.
var ErrLocked = errors.New("locked by another holder")

// Other errors are those of package os: *fs.PathError or *os.LinkError around
// a syscall.Errno, so errors.Is works with fs.ErrNotExist, fs.ErrExist,
// fs.ErrClosed, syscall.ENOSPC, syscall.EIO and so on, whatever the FS.
