package vfs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// OpenTree implements TreeOpener, by syncfs(2). Before Linux 5.8 that didn't
// report errors: it is unsupported there.
func (osFS) OpenTree(dir string) (Tree, error) {
	if !syncfsReports() {
		return nil, errors.ErrUnsupported
	}
	f, err := os.Open(filepath.FromSlash(dir))
	if err != nil {
		return nil, err
	}
	return osTree{f}, nil
}

// osTree is the open directory: the kernel keeps, per descriptor, which errors
// it has reported.
type osTree struct{ *os.File }

func (t osTree) Sync() error { return onFD(t.File, "syncfs", unix.Syncfs) }

func syncfsReports() bool {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return false
	}
	var major, minor int
	if n, _ := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor); n < 2 {
		return false
	}
	return major > 5 || major == 5 && minor >= 8
}
