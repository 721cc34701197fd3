package vfs

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFaultSkipAndTimes(t *testing.T) {
	f := NewFault(NewMem())
	file := create(t, f, "/d.log", "")
	rule := f.Add(Rule{Op: OpWrite, Glob: "*.log", Skip: 2, Times: 2, Err: syscall.EIO})
	var got []bool
	for range 6 {
		_, err := file.WriteAt([]byte("x"), 0)
		if err != nil {
			wantErr(t, "write", err, syscall.EIO)
		}
		got = append(got, err == nil)
	}
	if fmt.Sprint(got) != "[true true false false true true]" || rule.Calls() != 6 || rule.Hits() != 2 {
		t.Error(got, rule.Calls(), rule.Hits())
	}
	if n := f.Count(OpWrite, "*.log"); n != 7 { // create wrote too
		t.Error("counted", n)
	}
	if f.Count(OpSync, "") != 0 || f.Count(OpAny, "/d.log") != 8 {
		t.Error("counted", f.Count(OpSync, ""), f.Count(OpAny, "/d.log"))
	}
}

func TestFaultOfEveryOperation(t *testing.T) {
	do := map[Op]func(f *Fault, file File) error{
		OpCreate:      func(f *Fault, _ File) error { _, err := f.Create("/new"); return err },
		OpOpen:        func(f *Fault, _ File) error { _, err := f.OpenRead("/a"); return err },
		OpRead:        func(_ *Fault, file File) error { _, err := file.ReadAt(make([]byte, 1), 0); return err },
		OpWrite:       func(_ *Fault, file File) error { _, err := file.WriteAt([]byte("x"), 0); return err },
		OpTruncate:    func(_ *Fault, file File) error { return file.Truncate(0) },
		OpSync:        func(_ *Fault, file File) error { return file.Sync() },
		OpSize:        func(_ *Fault, file File) error { _, err := file.Size(); return err },
		OpPreallocate: func(_ *Fault, file File) error { return file.Preallocate(1) },
		OpRemove:      func(f *Fault, _ File) error { return f.Remove("/a") },
		OpRemoveAll:   func(f *Fault, _ File) error { return f.RemoveAll("/a") },
		OpRename:      func(f *Fault, _ File) error { return f.Rename("/a", "/b") },
		OpMkdirAll:    func(f *Fault, _ File) error { return f.MkdirAll("/m") },
		OpReadDir:     func(f *Fault, _ File) error { _, err := f.ReadDir("/"); return err },
		OpStat:        func(f *Fault, _ File) error { _, err := f.Stat("/a"); return err },
		OpSyncDir:     func(f *Fault, _ File) error { return f.SyncDir("/") },
		OpLock:        func(f *Fault, _ File) error { _, err := f.Lock("/l"); return err },
		OpFree:        func(f *Fault, _ File) error { _, _, err := f.Free("/"); return err },
		OpClose:       func(_ *Fault, file File) error { return file.Close() },
	}
	for op, call := range do {
		m := NewMem()
		f := NewFault(m)
		file := create(t, f, "/a", "abc")
		before := m.String()
		rule := f.Add(Rule{Op: op, Err: syscall.ENOSPC})
		wantErr(t, string(op), call(f, file), syscall.ENOSPC)
		if rule.Hits() != 1 || m.String() != before {
			t.Errorf("%s: %d hits, left\n%s", op, rule.Hits(), m)
		}
		rule.Remove()
		if err := call(f, file); (err == nil) == (op == OpClose) {
			t.Errorf("%s without the rule: %v", op, err)
		}
	}
}

func TestFaultShortWrite(t *testing.T) {
	m := NewMem()
	f := NewFault(m)
	file := create(t, f, "a", "")
	f.Add(Rule{Op: OpWrite, Short: 3, Err: syscall.ENOSPC, Times: 1})
	n, err := file.WriteAt([]byte("abcdef"), 0)
	wantErr(t, "write", err, syscall.ENOSPC)
	if n != 3 || read(t, m, "a") != "abc" {
		t.Error(n, read(t, m, "a"))
	}
}

func TestFaultBlocksUntilReleased(t *testing.T) {
	f := NewFault(NewMem())
	file := create(t, f, "a", "")
	stall := f.Add(Rule{Op: OpSync, Block: true})
	var wg sync.WaitGroup
	done := make(chan error, 2)
	for range 2 {
		wg.Go(func() { done <- file.Sync() })
	}
	<-stall.Entered()
	if _, err := file.WriteAt([]byte("x"), 0); err != nil { // others go on
		t.Error(err)
	}
	if stall.Waiting() < 1 || len(done) != 0 {
		t.Error("no call waits")
	}
	stall.Release()
	stall.Release()
	wg.Wait()
	for range 2 {
		must(t, <-done)
	}
	must(t, file.Sync())
	if stall.Hits() != 3 || stall.Waiting() != 0 {
		t.Error(stall.Hits(), stall.Waiting())
	}

	f.Clear()
	failing := f.Add(Rule{Op: OpSync, Block: true, Err: syscall.EIO})
	wg.Go(func() { done <- file.Sync() })
	<-failing.Entered()
	f.Clear()
	wantErr(t, "stalled, then failed", <-done, syscall.EIO)
	wg.Wait()
	must(t, file.Sync())
}

func TestFaultGlobs(t *testing.T) {
	tests := []struct {
		glob, name string
		want       bool
	}{
		{"", "/any/thing", true},
		{"*.log", "/data/t/a.log", true},
		{"*.log", "/data/t/a.idx", false},
		{"t/*", "/data/t/a.log", true},
		{"t/*", "/data/u/a.log", false},
		{"t/*", "a.log", false},
		{"data/*/a.log", "/data/t/a.log", true},
		{"/data/t/*", "/data/t/a.log", true},
		{"/data/t/*", "/other/t/a.log", false},
		{"/data/t/*", "t/a.log", false}, // one element more than the name has
	}
	for _, tt := range tests {
		if got := matches(tt.glob, tt.name); got != tt.want {
			t.Errorf("%q of %q: %v", tt.glob, tt.name, got)
		}
	}
	f := NewFault(NewMem())
	must(t, create(t, f, "/x", "").Close())
	f.Add(Rule{Op: OpRename, Glob: "y", Err: fs.ErrPermission})
	wantErr(t, "rename to y", f.Rename("/x", "/y"), fs.ErrPermission)
	must(t, f.Rename("/x", "/z"))
	defer func() {
		if recover() == nil {
			t.Error("a malformed glob must panic")
		}
	}()
	f.Add(Rule{Glob: "[", Err: errors.New("never")})
}

func TestFaultFirstDueRuleActs(t *testing.T) {
	f := NewFault(NewMem())
	f.Add(Rule{Op: OpStat, Skip: 1, Err: syscall.EIO})
	f.Add(Rule{Op: OpStat, Err: syscall.ENOSPC})
	_, err := f.Stat("/")
	wantErr(t, "first", err, syscall.ENOSPC)
	_, err = f.Stat("/")
	wantErr(t, "second", err, syscall.EIO)
}
