package plog

import (
	"context"
	"errors"
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
