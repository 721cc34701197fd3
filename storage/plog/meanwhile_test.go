package plog

import (
	"context"
	"errors"
	"path"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chroniklog/chronik/storage/vfs"
)

// A log that is changed while a checkpoint is collected: frames from before
// the change, which that checkpoint no longer covers, must not be replayed on
// nothing.
func TestChangeMeanwhile(t *testing.T) {
	ctx := context.Background()
	for name, c := range map[string]struct {
		change func(s *Store, l *Log) error
		exists bool
		end    int64
	}{
		"reset":            {func(_ *Store, l *Log) error { return l.Reset(ctx, 0) }, true, 0},
		"reset further on": {func(_ *Store, l *Log) error { return l.Reset(ctx, 7) }, true, 7},
		"truncation":       {func(_ *Store, l *Log) error { return l.Truncate(ctx, 0) }, true, 0},
		"trim":             {func(_ *Store, l *Log) error { return l.Trim(ctx, 4) }, true, 4},
		"deletion":         {func(s *Store, l *Log) error { return s.Delete(ctx, l.ID()) }, false, 0},
		"deletion under way": {func(s *Store, l *Log) error {
			s.submit(s.deletion(l))
			s.StartCycle() // and the power fails before EndCycle
			return nil
		}, false, 0},
		"new life": {func(s *Store, l *Log) error {
			if err := s.Delete(ctx, l.ID()); err != nil {
				return err
			}
			l = createLog(t, s, l.ID(), Config{})
			f := newFeeder(l)
			f.add(rec(1, "", "of the new life"))
			s.StartCycle()
			s.EndCycle()
			return nil
		}, true, 1},
		"replacement under way": {func(s *Store, l *Log) error {
			_, err := s.Create(l.ID(), Config{}, 2)
			s.StartCycle()
			return err
		}, false, 0},
	} {
		t.Run(name, func(t *testing.T) { changeMeanwhile(t, c.change, c.exists, c.end) })
	}
}

// A checkpoint may be in the page cache only when the process is killed. What
// the one before needs must stay until it is durable.
func TestCheckpointThatWasNotSynced(t *testing.T) {
	fs := vfs.NewMem()
	faults := vfs.NewFault(fs)
	o := testOptions(t, faults)
	o.JournalFileBytes, o.CheckpointBytes = 16<<10, 1<<30
	o.Fatal = func(error) {}
	s := openStore(t, o)
	f := newFeeder(createLog(t, s, testID(1), Config{}))
	for i := range 30 {
		f.add(rec(1, "", value(i, 3000)))
		f.wait(t, int64(i+1))
	}
	faults.Add(vfs.Rule{Op: vfs.OpSync, Glob: "checkpoint.0", Err: syscall.EIO})
	if err := s.Checkpoint(context.Background()); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	s.Abort()
	var disks []*vfs.Mem
	faults = vfs.NewFault(fs)
	removed := 0
	faults.Watch(func(op vfs.Op, _ string) {
		for seed := uint64(0); removed > 0 && seed < 20 && len(disks) < 200; seed++ {
			disks = append(disks, fs.Crash(seed))
		}
		if op == vfs.OpRemove {
			removed++
		}
	})
	o.FS = faults
	openStore(t, o).Abort()
	if len(disks) == 0 {
		t.Fatal("no file was removed: nothing was tested")
	}
	for _, disk := range disks {
		o.FS = disk
		s := openStore(t, o)
		if l, ok := s.Log(testID(1)); !ok || l.EndOffset() != 30 {
			t.Fatalf("the log is there: %v", ok)
		}
		s.Abort()
	}
}

// Where one copy of the checkpoint is not whole, it is the one that is written
// first: the other is all that there is until then.
func TestWeakCopyFirst(t *testing.T) {
	for damaged := range 2 {
		fs := vfs.NewMem()
		o := testOptions(t, fs)
		s := openStore(t, o)
		f := newFeeder(createLog(t, s, testID(1), Config{}))
		f.add(rec(1, "", "a"))
		f.wait(t, 1)
		if err := s.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		if err := fs.FlipBit(s.checkpointName(damaged), 20); err != nil {
			t.Fatal(err)
		}
		faults := vfs.NewFault(fs)
		var written []string
		faults.Watch(func(op vfs.Op, name string) {
			if op == vfs.OpWrite && strings.Contains(name, "checkpoint") {
				written = append(written, name)
			}
		})
		o.FS = faults
		openStore(t, o).Abort()
		if len(written) == 0 || written[0] != s.checkpointName(damaged) {
			t.Errorf("copy %d is damaged, %q were written", damaged, written)
		}
	}
	// The same after a write that found no space.
	faults := vfs.NewFault(vfs.NewMem())
	o := testOptions(t, faults)
	o.Manual = true
	s := openStore(t, o)
	first, second := path.Base(s.checkpointName(s.weak)), path.Base(s.checkpointName(1-s.weak))
	before := faults.Count(vfs.OpWrite, first)
	for range 2 {
		faults.Add(vfs.Rule{Op: vfs.OpWrite, Glob: second, Times: 1, Short: 50, Err: syscall.ENOSPC})
		if err := s.checkpoint(true, false); !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
	if n := faults.Count(vfs.OpWrite, first) - before; n != 1 {
		t.Errorf("the whole copy was written %d times before the other was whole", n-1)
	}
}

// A direct write that finds no space goes through the journal: a checkpoint
// made meanwhile must not be ahead of that.
func TestNoSpaceMeanwhile(t *testing.T) {
	ctx := context.Background()
	fs := vfs.NewMem()
	faults := vfs.NewFault(fs)
	o := testOptions(t, faults)
	o.Manual, o.DirectBytes = true, 4<<10
	s := openStore(t, o)
	l := createLog(t, s, testID(1), Config{SegmentBytes: 5000})
	f := newFeeder(l)
	f.add(rec(1, "", value(0, 300)))
	s.StartCycle()
	s.EndCycle()
	faults.Add(vfs.Rule{Op: vfs.OpPreallocate, Glob: "*.seg", Skip: 1, Err: syscall.ENOSPC}) // of the second segment
	for i := range 12 {
		f.add(rec(1, "", value(i, 1000)))
	}
	s.StartCycle()
	if err := s.Checkpoint(ctx); err != nil {
		t.Fatal(err)
	}
	s.EndCycle()
	faults.Clear()
	if l.FlushedOffset() != 13 || s.directs != 0 {
		t.Fatalf("flushed %d, direct parts %d", l.FlushedOffset(), s.directs)
	}
	for _, disk := range []*vfs.Mem{fs.CrashLosingAll(), fs.CrashKeepingAll()} {
		o.FS = disk
		again := openStore(t, o)
		l, ok := again.Log(testID(1))
		if !ok || l.EndOffset() != 13 {
			t.Fatalf("the log is there: %v", ok)
		}
		sameBatches(t, "after a crash", readAll(t, l), f.model)
	}
	f.add(rec(1, "", "on it goes"))
	s.StartCycle()
	s.EndCycle()
	if err := s.Checkpoint(ctx); err != nil {
		t.Fatal(err)
	}
	sameBatches(t, "live", readAll(t, l), f.model)
}

func changeMeanwhile(t *testing.T, change func(*Store, *Log) error, exists bool, end int64) {
	fs := vfs.NewMem()
	o := testOptions(t, fs)
	o.Manual = true
	var meanwhile func()
	o.pause = func(where string) {
		if do := meanwhile; where == "entry" && do != nil {
			meanwhile = nil
			do()
		}
	}
	var disk *vfs.Mem // as the power failed, right after that checkpoint
	o.Metrics = &Metrics{Checkpoint: func(time.Duration, int64) {
		if disk == nil {
			disk = fs.CrashLosingAll()
		}
	}}
	s := openStore(t, o)
	l := createLog(t, s, testID(1), Config{})
	f := newFeeder(l)
	add := func() {
		f.add(rec(1, "", "a"), rec(2, "", "b"))
		s.StartCycle()
		s.EndCycle()
	}
	add()
	meanwhile = func() {
		add()
		if err := change(s, l); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Checkpoint(context.Background()); err != nil {
		t.Fatal(err)
	}
	if meanwhile != nil || disk == nil {
		t.Fatal("nothing was changed")
	}
	o.FS, o.pause, o.Metrics = disk, nil, nil
	s.Abort()
	s = openStore(t, o)
	l, ok := s.Log(testID(1))
	if ok != exists || ok && l.EndOffset() != end {
		t.Fatalf("the log is there: %v; want %v, ending at %d", ok, exists, end)
	}
	if exists { // and goes on, over another crash
		f = newFeeder(l)
		add()
		o.FS = disk.CrashLosingAll()
		s.Abort()
		s = openStore(t, o)
		if l, _ = s.Log(testID(1)); l.EndOffset() != end+2 {
			t.Fatalf("the log ends at %d", l.EndOffset())
		}
	}
}
