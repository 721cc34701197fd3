package plog

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chroniklog/chronik/storage/record"
	"github.com/chroniklog/chronik/storage/vfs"
)

// loadedStore has few open files and nothing in memory, so that readers depend
// on files that come and go.
func loadedStore(t *testing.T) (*Store, *vfs.Mem) {
	fs := vfs.NewMem()
	o := testOptions(t, fs)
	o.TailBytes, o.MaxOpenFiles, o.WriteBehindBytes, o.CheckpointBytes = 1, 3, 2<<10, 16<<10
	o.MaintenanceRate, o.DirectBytes = -1, 8<<10
	o.OnCorrupt = func(id ID, err error) { t.Errorf("log %s: %v", id, err) }
	return openStore(t, o), fs
}

// follow reads a log from its start to its end, over and over, until the log is
// gone or stop is closed. It counts the batches that it gets, and returns how
// often it had to go on from a later start.
func follow(l *Log, stop <-chan struct{}, batches *atomic.Int64) (jumps int, err error) {
	from := l.StartOffset()
	for {
		select {
		case <-stop:
			return jumps, nil
		default:
		}
		b, err := l.Read(from, l.FlushedOffset(), 4000)
		switch {
		case errors.Is(err, ErrTrimmed):
			from = l.StartOffset()
			jumps++
			continue
		case err != nil:
			return jumps, err
		case len(b) == 0:
			runtime.Gosched()
			from = l.StartOffset()
		}
		for len(b) > 0 {
			one, rest, err := record.Split(b)
			if err == nil {
				err = record.CheckCRC(one)
			}
			if err != nil {
				return jumps, err
			}
			h := mustHeader(one)
			if h.BaseOffset > from || h.NextOffset() <= from {
				return jumps, fmt.Errorf("batch %d to %d at %d", h.BaseOffset, h.LastOffset(), from)
			}
			from, b = h.NextOffset(), rest
			batches.Add(1)
		}
	}
}

// Retention removes what readers are reading: they get whole batches, without
// a gap, or hear that it is gone.
func TestRetentionUnderReaders(t *testing.T) {
	s, fs := loadedStore(t)
	l := createLog(t, s, testID(1), Config{SegmentBytes: 4 << 10, Delete: true, RetentionBytes: 12 << 10})
	f := newFeeder(l)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var read, jumped, scans atomic.Int64
	for range 3 {
		wg.Go(func() {
			jumps, err := follow(l, stop, &read)
			if err != nil {
				t.Error(err)
			}
			jumped.Add(int64(jumps))
		})
	}
	wg.Go(func() {
		for done := false; !done; {
			err := l.Scan(context.Background(), l.StartOffset(), func([]byte, record.Header) error { return nil })
			if err != nil && !errors.Is(err, ErrTrimmed) {
				t.Error(err)
			}
			scans.Add(1)
			select {
			case <-stop:
				done = true
			default:
			}
		}
	})
	for i := 0; i < 60 || read.Load() == 0 || scans.Load() == 0; i++ { // readers may come late
		for range 6 {
			f.add(rec(1, "", value(i, 900)))
		}
		f.wait(t, int64(6*i+6))
		l.SetHighWatermark(l.FlushedOffset())
		if err := s.Maintain(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	wg.Wait()
	if l.StartOffset() < 200 {
		t.Fatalf("start %d", l.StartOffset())
	}
	t.Logf("%d batches read, %d jumps, %d scans", read.Load(), jumped.Load(), scans.Load())
	noFiles(t, s, fs, func(name fileName) bool { return name.base+100 < l.StartOffset() })
}

// noFiles fails if there are files that should be gone, or open ones of which
// nobody keeps account.
func noFiles(t *testing.T, s *Store, fs *vfs.Mem, unwanted func(fileName) bool) {
	t.Helper()
	if err := s.Checkpoint(context.Background()); err != nil {
		t.Fatal(err)
	}
	for n := range shards {
		infos, err := fs.ReadDir(s.shard(n))
		if err != nil {
			t.Fatal(err)
		}
		for _, info := range infos {
			if name, ok := parseName(strings.TrimSuffix(info.Name, ".tmp")); ok && unwanted(name) {
				t.Errorf("%s was not removed", info.Name)
			}
		}
	}
	if n := s.segFiles.Open(); n > s.opts.MaxOpenFiles {
		t.Errorf("%d files are open", n)
	}
}

// put appends and waits for a cycle, or the end.
func (f *feeder) put(recs ...record.Record) error {
	f.mu.Lock()
	changed, failed := f.changed, f.failed
	f.model = nil
	f.mu.Unlock()
	if failed == nil {
		f.add(recs...)
		<-changed
	}
	return failed
}

// Logs are deleted and made anew while everything goes on: whoever uses one
// gets a clear answer, and nothing is left of it.
func TestDeletionUnderLoad(t *testing.T) {
	s, fs := loadedStore(t)
	ctx := context.Background()
	other := createLog(t, s, testID(9), Config{})
	elsewhere := newFeeder(other)
	cfg := Config{SegmentBytes: 4 << 10, Delete: true, RetentionBytes: 20 << 10}
	var read atomic.Int64
	for life := range 6 {
		incarnation := uint32(1 + life/2) // each is used twice
		l, err := s.Create(testID(1), cfg, incarnation)
		if err != nil {
			t.Fatal(err)
		}
		f := newFeeder(l)
		var wg sync.WaitGroup
		use := func(what string, do func() error) {
			wg.Go(func() {
				for {
					if err := do(); err != nil {
						if !errors.Is(err, ErrDeleted) {
							t.Errorf("%s: %v", what, err)
						}
						return
					}
				}
			})
		}
		use("read", func() error {
			_, err := follow(l, nil, &read)
			return err
		})
		use("append", func() error {
			elsewhere.add(rec(1, "", "x"))
			return f.put(rec(1, "k", value(life, 700)), rec(2, "k", value(life, 700)))
		})
		use("save", func() error { return l.SaveState(l.FlushedOffset(), []byte("state")) })
		use("load", func() error { _, _, _, err := l.LoadState(l.EndOffset()); return err })
		use("trim", func() error { return l.Trim(ctx, l.FlushedOffset()/2) })
		use("maintain", func() error { return errors.Join(s.Maintain(ctx), l.usable()) })
		use("checkpoint", func() error { return errors.Join(s.Checkpoint(ctx), l.usable()) })
		f.wait(t, int64(20+life*5))
		for read.Load() == 0 { // the reader may come late
			runtime.Gosched()
		}
		if err := s.Delete(ctx, testID(1)); err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() { wg.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			t.Fatal("somebody was not told that the log is deleted")
		}
		if err := s.Delete(ctx, testID(1)); !errors.Is(err, ErrUnknownLog) {
			t.Fatalf("a second deletion: %v", err)
		}
		noFiles(t, s, fs, func(name fileName) bool { return name.id == testID(1) })
	}
	elsewhere.wait(t, other.EndOffset())
	if n := s.unwritten.Load(); n != 0 {
		t.Fatalf("%d bytes count as unwritten", n)
	}
}
