package main

import (
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// diskResult is what the disk does with appends that are synced one by one.
type diskResult struct {
	perSecond float64
	bytes     float64 // per second
	p50       time.Duration
}

// measureDisk appends blocks of size and syncs each with fdatasync, for about
// as long as asked. The file grows, as a log does.
func measureDisk(dir string, size int, howLong time.Duration) (diskResult, error) {
	name := filepath.Join(dir, "disk")
	defer os.Remove(name)
	f, err := os.Create(name)
	if err != nil {
		return diskResult{}, err
	}
	defer f.Close()
	block := make([]byte, size)
	for i := range block {
		block[i] = byte(i * 7)
	}
	var took []time.Duration
	begin := time.Now()
	for time.Since(begin) < howLong {
		from := time.Now()
		if _, err := f.Write(block); err != nil {
			return diskResult{}, err
		}
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			return diskResult{}, err
		}
		took = append(took, time.Since(from))
	}
	seconds := time.Since(begin).Seconds()
	slices.Sort(took)
	rate := float64(len(took)) / seconds
	return diskResult{perSecond: rate, bytes: rate * float64(size), p50: took[len(took)/2]}, nil
}
