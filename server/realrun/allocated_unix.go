//go:build unix

package main

import (
	"io/fs"
	"syscall"
)

// allocated is what a file takes on disk, which for a sparse one is less than
// its size.
func allocated(info fs.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Blocks * 512
	}
	return info.Size()
}
