package vfs

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

func syncOSFile(f *os.File) error {
	return onFD(f, "fdatasync", unix.Fdatasync)
}

func preallocateOSFile(f *os.File, size int64) error {
	err := onFD(f, "fallocate", func(fd int) error {
		return unix.Fallocate(fd, unix.FALLOC_FL_KEEP_SIZE, 0, size)
	})
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return nil
	}
	return err
}

// onFD calls fn with f's descriptor, which can't be closed meanwhile, again
// when a signal interrupts it.
func onFD(f *os.File, op string, fn func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return &fs.PathError{Op: op, Path: f.Name(), Err: err}
	}
	var callErr error
	err = conn.Control(func(fd uintptr) {
		for {
			if callErr = fn(int(fd)); callErr != unix.EINTR {
				return
			}
		}
	})
	switch {
	case err != nil: // the only reason not to be called
		return &fs.PathError{Op: op, Path: f.Name(), Err: fs.ErrClosed}
	case callErr != nil:
		return &fs.PathError{Op: op, Path: f.Name(), Err: callErr}
	}
	return nil
}
