package kv

import (
	"os"
	"syscall"
	"testing"
)

// usage is a file's size and the bytes that it has on disk.
func usage(t *testing.T, name string) (size, allocated int64) {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size(), info.Sys().(*syscall.Stat_t).Blocks * 512
}
