package plog

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestRootFullDisk fills a filesystem of its own: appends are refused before it
// is full, and when something else eats the rest, nothing that was acknowledged
// is lost. It needs root, to mount one: make test-root.
func TestRootFullDisk(t *testing.T) {
	if os.Getenv("CHRONIK_TEST_ROOT") == "" {
		t.Skip("set CHRONIK_TEST_ROOT and be root")
	}
	mount := t.TempDir()
	if err := syscall.Mount("tmpfs", mount, "tmpfs", 0, "size=64m"); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Unmount(mount, 0); err != nil {
			t.Error(err)
		}
	}()
	o := realOptions(t)
	o.Dir, o.ReserveBytes, o.TailBytes = filepath.Join(mount, "data"), 8<<20, 1<<20
	s := openStore(t, o)
	l := createLog(t, s, testID(1), Config{SegmentBytes: 4 << 20, Delete: true, RetentionBytes: 8 << 20})
	f := newFeeder(l)
	n := int64(0)
	var err error
	for n < 1000 && err == nil {
		if err = s.Reserve(context.Background(), 100<<10); err == nil {
			f.add(rec(1, "", value(int(n), 100<<10)))
			n++
			f.wait(t, n)
			s.checkSpace()
		}
	}
	if !errors.Is(err, ErrDiskFull) || n < 100 {
		t.Fatalf("after %d batches: %v", n, err)
	}
	hog := filepath.Join(mount, "hog")
	if err := os.WriteFile(hog, make([]byte, 64<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the rest was not eaten: %v", err)
	}
	sameBatches(t, "on a full disk", readAll(t, l), f.model)
	f.add(rec(1, "", value(1, 10))) // the journal has room for it
	f.wait(t, n+1)
	model := f.model
	s.Abort()
	s = openStore(t, o)
	l = createLog(t, s, testID(1), Config{SegmentBytes: 4 << 20, Delete: true, RetentionBytes: 8 << 20})
	sameBatches(t, "after a kill", readAll(t, l), model)
	if err := os.Remove(hog); err != nil {
		t.Fatal(err)
	}
	l.SetHighWatermark(n)
	if err := s.Maintain(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := s.Reserve(context.Background(), 1); err != nil {
		t.Fatalf("after retention made room: %v", err)
	}
	s.Abort()
}
