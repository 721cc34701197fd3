//go:build linux || darwin || freebsd

package vfs

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// lockOSFile uses flock, which belongs to the open file: a second Lock in the
// same process fails too, and the kernel releases it when the process dies.
func lockOSFile(f *os.File) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EWOULDBLOCK):
			return ErrLocked
		default:
			return err
		}
	}
}

// freeOS counts what a process without privileges may use.
func freeOS(dir string) (free, total int64, err error) {
	var st unix.Statfs_t
	for {
		err = unix.Statfs(dir, &st)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return 0, 0, err
		}
		block := int64(st.Bsize)
		return int64(st.Bavail) * block, int64(st.Blocks) * block, nil
	}
}

func syncOSDir(d *os.File) error { return d.Sync() }
