//go:build !linux

package vfs

import "os"

// syncOSFile flushes the drive's cache too on macOS, where fsync doesn't.
func syncOSFile(f *os.File) error { return f.Sync() }

func preallocateOSFile(*os.File, int64) error { return nil }
