package plog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chroniklog/chronik/storage/record"
	"github.com/chroniklog/chronik/storage/vfs"
)

// faulty is a store on a disk that can be broken.
type faulty struct {
	*kit
	ft     *vfs.Fault
	mu     sync.Mutex
	fatals []error
}

func newFaulty(t *testing.T, change func(*Options)) *faulty {
	k := &kit{t: t, fs: vfs.NewMem(), ck: newClocks()}
	x := &faulty{kit: k, ft: vfs.NewFault(k.fs)}
	k.o = testOptions(t, x.ft)
	k.o.Fatal = func(err error) {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.fatals = append(x.fatals, err)
	}
	k.o.Now, k.o.Monotonic, k.o.MaintenanceRate, k.o.TailBytes = k.ck.now, k.ck.monotonic, -1, 1
	if change != nil {
		change(&k.o)
	}
	k.s = openStore(t, k.o)
	k.l = createLog(t, k.s, testID(1), Config{SegmentBytes: 64 << 10})
	k.f = newFeeder(k.l)
	return x
}

// awaitFailure waits until the owner is told of a failure.
func (f *feeder) awaitFailure(t *testing.T) error {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		f.mu.Lock()
		failed, changed := f.failed, f.changed
		f.mu.Unlock()
		if failed != nil {
			return failed
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatal("the owner was not told")
		}
	}
}

// A failed sync, wherever it is, ends the store: once, for everybody, and
// nothing is acknowledged after it.
func TestSyncErrorIsFatal(t *testing.T) {
	for _, c := range []struct{ name, glob string }{
		{"journal", "journal/*"}, {"direct", "1/*.seg"}, {"background", "1/*.seg"},
		{"directory", "logs/1"}, {"checkpoint", "checkpoint.0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := newFaulty(t, func(o *Options) { o.DirectBytes = 1 << 20 })
			if c.name == "direct" {
				x.s.opts.DirectBytes = 1
			}
			other := newFeeder(createLog(t, x.s, testID(2), Config{}))
			other.add(rec(1, "", "before"))
			other.wait(t, 1)
			if c.name == "background" || c.name == "directory" || c.name == "checkpoint" {
				x.add(rec(1, "", "before"))
			}
			op := vfs.OpSync
			if c.name == "directory" {
				op = vfs.OpSyncDir
			}
			x.ft.Add(vfs.Rule{Op: op, Glob: c.glob, Err: syscall.EIO})
			if c.name == "background" || c.name == "directory" || c.name == "checkpoint" {
				if err := x.s.Checkpoint(context.Background()); !errors.Is(err, ErrFailed) && !errors.Is(err, syscall.EIO) {
					t.Fatalf("checkpoint: %v", err)
				}
			}
			x.f.add(rec(1, "", "doomed"))
			for _, f := range []*feeder{x.f, other} {
				if err := f.awaitFailure(t); !errors.Is(err, ErrFailed) || !errors.Is(err, syscall.EIO) {
					t.Fatalf("the owner was told %v", err)
				}
			}
			x.ft.Clear() // the disk works again, but nobody may believe it
			flushed := x.l.FlushedOffset()
			x.l.MarkDirty()
			if err := x.l.Trim(context.Background(), 0); !errors.Is(err, ErrFailed) {
				t.Fatalf("trim: %v", err)
			}
			if err := x.s.Reserve(context.Background(), 1); !errors.Is(err, ErrFailed) {
				t.Fatalf("reserve: %v", err)
			}
			if _, err := x.s.Create(testID(3), Config{}, 1); !errors.Is(err, ErrFailed) {
				t.Fatalf("create: %v", err)
			}
			if err := x.s.Close(context.Background()); err != nil {
				t.Fatal(err)
			}
			x.mu.Lock()
			defer x.mu.Unlock()
			if len(x.fatals) != 1 || !errors.Is(x.fatals[0], syscall.EIO) {
				t.Fatalf("Fatal was called with %v", x.fatals)
			}
			if x.l.FlushedOffset() != flushed || other.flushed != 1 {
				t.Fatal("something was acknowledged after the failure")
			}
		})
	}
}

// No space for segments is no failure: the journal has the bytes, and the
// writer goes on when there is space again.
func TestNoSpaceForSegments(t *testing.T) {
	for _, direct := range []int64{-1, 1} {
		t.Run(fmt.Sprint("direct=", direct), func(t *testing.T) {
			x := newFaulty(t, func(o *Options) { o.DirectBytes = direct })
			rule := x.ft.Add(vfs.Rule{Op: vfs.OpWrite, Glob: "1/*.seg", Err: syscall.ENOSPC, Short: 100})
			for i := range 20 {
				x.add(rec(1, "", value(i, 3000)))
			}
			done := make(chan error, 1)
			go func() { done <- x.s.Checkpoint(context.Background()) }()
			<-rule.Entered()
			if err := <-done; !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("checkpoint: %v", err)
			}
			if !x.s.DiskFull() {
				t.Fatal("the disk is not said to be full")
			}
			if err := x.s.Reserve(context.Background(), 1); !errors.Is(err, ErrDiskFull) {
				t.Fatalf("reserve: %v", err)
			}
			sameBatches(t, "while full", readAll(t, x.l), x.f.model)
			x.ft.Clear()
			x.ck.pass(time.Second) // look again
			if x.s.DiskFull() {
				t.Fatal("the disk is still said to be full")
			}
			x.checkpoint()
			if x.s.unwritten.Load() != 0 {
				t.Fatalf("%d bytes are not written", x.s.unwritten.Load())
			}
			model := x.f.model
			x.kit.o.FS = nil
			x.o.FS = x.fs
			disk := x.fs.CrashLosingAll()
			x.s.Abort()
			x.fs = disk
			x.open(Config{SegmentBytes: 64 << 10})
			sameBatches(t, "after a crash", readAll(t, x.l), model)
		})
	}
}

// A small disk fills up: appends are refused before it is full, reads go on,
// and when space returns appends are taken again.
func TestReserve(t *testing.T) {
	fs := vfs.NewMem()
	o := testOptions(t, fs)
	ck := newClocks()
	o.Now, o.Monotonic, o.ReserveBytes = ck.now, ck.monotonic, 256<<10
	s := openStore(t, o)
	l := createLog(t, s, testID(1), Config{SegmentBytes: 256 << 10, Delete: true, RetentionBytes: 1 << 20})
	f := newFeeder(l)
	fs.SetCapacity(fs.Used() + 16<<20)
	n := int64(0)
	var err error
	for range 400 {
		if err = s.Reserve(context.Background(), 100<<10); err != nil {
			break
		}
		f.add(rec(1, "", value(1, 100<<10)))
		n++
		f.wait(t, n)
		s.checkSpace() // as the maintenance does
	}
	if !errors.Is(err, ErrDiskFull) {
		t.Fatalf("after %d batches: %v", n, err)
	}
	if free, _ := s.Free(); free == 0 {
		t.Fatal("nothing is free: it was noticed too late")
	}
	if got := readAll(t, l); int64(len(got)) != n {
		t.Fatalf("%d batches can be read, %d were acknowledged", len(got), n)
	}
	l.SetHighWatermark(n)
	if err := s.Maintain(context.Background()); err != nil {
		t.Fatal(err)
	}
	ck.pass(time.Second)
	if err := s.Reserve(context.Background(), 1); err != nil {
		t.Fatalf("after retention made room: %v", err)
	}
}

// The journal finds no space for another file: the cycle waits, and goes on.
func TestNoSpaceForTheJournal(t *testing.T) {
	x := newFaulty(t, func(o *Options) { o.DirectBytes = -1; o.CheckpointBytes = 1 << 40; o.WriteBehindBytes = 1 << 40 })
	rule := x.ft.Add(vfs.Rule{Op: vfs.OpCreate, Glob: "journal/*", Err: syscall.ENOSPC})
	const n = 30
	for range n {
		x.f.add(rec(1, "", value(1, 60<<10)))
	}
	<-rule.Entered()
	if end := x.l.FlushedOffset(); end == n {
		t.Fatal("everything was flushed without a file to put it in")
	}
	x.ft.Clear()
	x.f.wait(t, n)
	if len(x.fatals) > 0 {
		t.Fatal(x.fatals)
	}
}

// Bytes that are not yet in segments are capped.
func TestBackPressure(t *testing.T) {
	x := newFaulty(t, func(o *Options) { o.MaxUnwritten = 100 << 10; o.DirectBytes = -1 })
	stall := x.ft.Add(vfs.Rule{Op: vfs.OpWrite, Glob: "1/*.seg", Block: true})
	n := int64(0)
	for !x.s.Backlogged() {
		x.add(rec(1, "", value(1, 9000)))
		n++
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := x.s.Reserve(ctx, 1000); !errors.Is(err, ErrBacklog) {
		t.Fatalf("got %v", err)
	}
	waited := make(chan error, 1)
	go func() { waited <- x.s.Reserve(context.Background(), 1000) }()
	stall.Remove()
	if err := <-waited; err != nil {
		t.Fatal(err)
	}
	sameBatches(t, "all", readAll(t, x.l), x.f.model)
}

// damage changes one file of a cleanly closed store and opens it.
func damage(t *testing.T, how func(fs *vfs.Mem, names []string)) (Options, *vfs.Mem) {
	t.Helper()
	fs := vfs.NewMem()
	o := testOptions(t, fs)
	s := openStore(t, o)
	for n := byte(1); n <= 2; n++ {
		f := newFeeder(createLog(t, s, testID(n), Config{SegmentBytes: 4000}))
		for i := range 20 {
			f.add(rec(1, "", value(i, 500)))
		}
		f.wait(t, 20)
	}
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	infos, err := fs.ReadDir("data/logs/1")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, i := range infos {
		names = append(names, "data/logs/1/"+i.Name)
	}
	how(fs, names)
	return o, fs
}

func files(t *testing.T, fs *vfs.Mem, dir string) string {
	t.Helper()
	infos, err := fs.ReadDir(dir)
	if err != nil {
		return ""
	}
	var b strings.Builder
	for _, i := range infos {
		fmt.Fprintf(&b, "%s %d\n", i.Name, i.Size)
	}
	return b.String()
}

func TestCorruptionBelowTheRecoveryPoint(t *testing.T) {
	for name, how := range map[string]func(*vfs.Mem, []string){
		"a segment is missing": func(fs *vfs.Mem, names []string) { _ = fs.Remove(names[1]) },
		"a segment is short": func(fs *vfs.Mem, names []string) {
			f, _ := fs.Open(names[0])
			_ = f.Truncate(1000)
			_ = f.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			o, fs := damage(t, how)
			before := files(t, fs, "data/logs/1") + files(t, fs, "data/logs/2")
			_, err := Open(context.Background(), o)
			if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), testID(1).String()) ||
				!strings.Contains(err.Error(), ".seg") {
				t.Fatalf("got %v", err)
			}
			if after := files(t, fs, "data/logs/1") + files(t, fs, "data/logs/2"); after != before {
				t.Fatalf("something was removed:\n%s\n%s", before, after)
			}

			// With somebody to tell, the other log opens.
			var told []ID
			o.OnCorrupt = func(id ID, _ error) { told = append(told, id) }
			s := openStore(t, o)
			if len(told) != 1 || told[0] != testID(1) {
				t.Fatalf("told of %v", told)
			}
			sameBatches(t, "the other log", readAll(t, createLog(t, s, testID(2), Config{}))[:1],
				[][]byte{makeBatch(0, 0, rec(1, "", value(0, 500)))})
			if _, err := s.Create(testID(1), Config{}, 1); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("got %v", err)
			}
			s.Abort()
			o.FS = fs.CrashKeepingAll()
			s = openStore(t, o)
			if _, err := s.Create(testID(1), Config{}, 1); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("after a restart: %v", err)
			}
			// A new incarnation starts empty; the old files are put away.
			l, err := s.Create(testID(1), Config{}, 2)
			if err != nil || l.EndOffset() != 0 {
				t.Fatalf("%v, %v", l, err)
			}
			f := newFeeder(l)
			f.add(rec(1, "", "new"))
			f.wait(t, 1)
			if err := s.Checkpoint(context.Background()); err != nil {
				t.Fatal(err)
			}
			if err := s.Checkpoint(context.Background()); err != nil { // the first may have preceded the deletion
				t.Fatal(err)
			}
			mem := o.FS.(*vfs.Mem)
			if away := files(t, mem, "data/quarantine"); !strings.Contains(away, ".seg") {
				t.Fatalf("quarantine holds %q", away)
			}
			o.FS = mem.Crash(3)
			s.Abort()
			s = openStore(t, o)
			if l, ok := s.Log(testID(1)); !ok || l.Incarnation() != 2 || l.EndOffset() != 1 {
				t.Fatalf("after a crash: %v, %v", l, ok)
			}
		})
	}
}

// A flipped bit in a durable batch is found by who reads it, and no other
// batch suffers.
func TestFlippedBitInASegment(t *testing.T) {
	o, _ := damage(t, func(fs *vfs.Mem, names []string) { _ = fs.FlipBit(names[0], 1500) })
	told := 0
	o.OnCorrupt = func(ID, error) { told++ }
	s := openStore(t, o)
	l := createLog(t, s, testID(1), Config{})
	var err error
	bad := 0
	for from := int64(0); from < 20; from++ {
		var b []byte
		b, err = l.Read(from, from+1, 1)
		switch {
		case errors.Is(err, ErrCorrupt):
			bad++
		case err != nil:
			t.Fatal(err)
		case record.CheckCRC(b) != nil:
			t.Fatalf("offset %d: a damaged batch was returned", from)
		}
	}
	if bad != 1 || told == 0 {
		t.Fatalf("%d reads failed, told %d times", bad, told)
	}
}

// The index is no more than a help.
func TestDamagedIndex(t *testing.T) {
	for _, how := range []string{"missing", "flipped", "zero"} {
		t.Run(how, func(t *testing.T) {
			fs := vfs.NewMem()
			o := testOptions(t, fs)
			o.JournalFileBytes, o.DirectBytes = 8<<20, -1
			s := openStore(t, o)
			f := newFeeder(createLog(t, s, testID(1), Config{SegmentBytes: 3 << 20}))
			for i := range 1000 {
				f.add(rec(int64(i), "", value(i, 9000)))
			}
			f.wait(t, 1000)
			model := f.model
			if err := s.Close(context.Background()); err != nil {
				t.Fatal(err)
			}
			infos, _ := fs.ReadDir("data/logs/1")
			n := 0
			for _, i := range infos {
				name := "data/logs/1/" + i.Name
				if !strings.HasSuffix(name, ".idx") {
					continue
				}
				n++
				switch how {
				case "missing":
					_ = fs.Remove(name)
				case "flipped":
					_ = fs.FlipBit(name, 100)
				case "zero":
					h, _ := fs.Open(name)
					_, _ = h.WriteAt(make([]byte, i.Size), 0)
					_ = h.Close()
				}
			}
			if n < 2 {
				t.Fatalf("%d indexes; the test wants more", n)
			}
			s = openStore(t, o)
			l := createLog(t, s, testID(1), Config{SegmentBytes: 3 << 20})
			sameBatches(t, "read", readAll(t, l), model)
			if offset, ts, ok, err := l.OffsetForTime(777, 1000); err != nil || !ok || offset != 777 || ts != 777 {
				t.Fatalf("offset %d, time %d, %v, %v", offset, ts, ok, err)
			}
			f = newFeeder(l)
			f.model = model
			for i := range 100 {
				f.add(rec(int64(i), "", value(i, 9000)))
			}
			f.wait(t, 1100)
			if err := s.Close(context.Background()); err != nil {
				t.Fatal(err)
			}
			s = openStore(t, o)
			sameBatches(t, "read again", readAll(t, createLog(t, s, testID(1), Config{})), f.model)
		})
	}
}

func TestLockedDirectory(t *testing.T) {
	fs := vfs.NewMem()
	o := testOptions(t, fs)
	openStore(t, o)
	if _, err := Open(context.Background(), o); !errors.Is(err, vfs.ErrLocked) {
		t.Fatalf("got %v", err)
	}
}

func TestFormatFile(t *testing.T) {
	for name, c := range map[string]struct {
		change func(string) string
		want   string
	}{
		"other version": {func(s string) string { return strings.Replace(s, "storage 1", "storage 2", 1) }, "version 2"},
		"changed id":    {func(s string) string { return strings.Replace(s, "id ", "id f", 1) }, "id"},
		"garbage":       {func(string) string { return "hello" }, "not a format file"},
	} {
		t.Run(name, func(t *testing.T) {
			o, fs := damage(t, func(fs *vfs.Mem, _ []string) {
				text, err := readFile(fs, "data/FORMAT", 4096)
				if err != nil {
					t.Fatal(err)
				}
				_ = fs.Remove("data/FORMAT")
				f, _ := fs.Create("data/FORMAT")
				_, _ = f.WriteAt([]byte(c.change(string(text))), 0)
				_ = f.Close()
			})
			if _, err := Open(context.Background(), o); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v", err)
			}
			_ = fs.Remove("data/FORMAT")
			if _, err := Open(context.Background(), o); !errors.Is(err, ErrFormat) {
				t.Fatalf("without the file, but with logs: %v", err)
			}
		})
	}
}

// Either copy of the checkpoint is enough; without both nothing is done.
func TestCheckpointCopies(t *testing.T) {
	for i := range 2 {
		o, fs := damage(t, func(fs *vfs.Mem, _ []string) { _ = fs.FlipBit(fmt.Sprint("data/checkpoint.", i), 40) })
		s := openStore(t, o)
		if n := len(readAll(t, createLog(t, s, testID(1), Config{}))); n != 20 {
			t.Fatalf("%d batches", n)
		}
		s.Abort()
		if err := fs.FlipBit(fmt.Sprint("data/checkpoint.", 1-i), 40); err != nil {
			t.Fatal(err)
		}
		s = openStore(t, o) // the first start has written both again
		s.Abort()
		_ = fs.FlipBit("data/checkpoint.0", 33)
		_ = fs.FlipBit("data/checkpoint.1", 33)
		_, err := Open(context.Background(), o)
		if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "checkpoint.0") {
			t.Fatalf("got %v", err)
		}
	}
}
