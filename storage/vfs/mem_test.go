package vfs

import (
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"
)

func TestCapacity(t *testing.T) {
	m := NewMem()
	m.SetCapacity(1000)
	f := create(t, m, "a", strings.Repeat("x", 600))
	n, err := f.WriteAt(make([]byte, 500), 600)
	if n != 400 {
		t.Error("wrote", n)
	}
	wantErr(t, "write", err, syscall.ENOSPC)
	if free, total, _ := m.Free("/"); free != 0 || total != 1000 || m.Used() != 1000 {
		t.Error(free, total, m.Used())
	}
	if _, err = f.WriteAt([]byte("over"), 10); err != nil {
		t.Error("overwriting needs no space:", err)
	}
	wantErr(t, "truncate", f.Truncate(1001), syscall.ENOSPC)
	g := create(t, m, "b", "")
	wantErr(t, "preallocate", g.Preallocate(1), syscall.ENOSPC)
	must(t, f.Truncate(300))
	must(t, g.Preallocate(700))
	if m.Used() != 1000 {
		t.Error("used", m.Used())
	}
	if _, err = f.WriteAt([]byte("x"), 300); err == nil {
		t.Error("wrote into what another file has reserved")
	}
	if _, err = g.WriteAt(make([]byte, 700), 0); err != nil {
		t.Error("preallocated:", err)
	}
	must(t, m.Remove("b"))
	if m.Used() != 1000 {
		t.Error("an open file's bytes were freed")
	}
	must(t, g.Close())
	if m.Used() != 300 {
		t.Error("used", m.Used())
	}
	must(t, create(t, m, "c", "cc").Close())
	must(t, m.Rename("c", "a"))
	must(t, f.Close())
	if m.Used() != 2 {
		t.Error("used after a rename over a file", m.Used())
	}
	must(t, m.RemoveAll("a"))
	if m.Used() != 0 {
		t.Error("used", m.Used())
	}
}

func TestFlipBit(t *testing.T) {
	m := NewMem()
	f := create(t, m, "d", "")
	must(t, f.Close())
	must(t, m.SyncDir("/"))
	f, _ = m.Open("d")
	_, _ = f.WriteAt([]byte("abc"), 0)
	must(t, f.Sync())
	_, _ = f.WriteAt([]byte("xyz"), 3)
	for _, off := range []int64{1, 4} {
		must(t, m.FlipBit("d", off))
	}
	if got := read(t, m, "d"); got != "a"+string(rune('b'^2))+"cx"+string(rune('y'^16))+"z" {
		t.Errorf("%q", got)
	}
	want := read(t, m, "d")
	if got := read(t, m.CrashKeepingAll(), "d"); got != want {
		t.Errorf("after a crash %q, want %q", got, want)
	}
	if got := read(t, m.CrashLosingAll(), "d"); got != want[:3] {
		t.Errorf("after a crash %q, want %q", got, want[:3])
	}
	must(t, f.Sync())
	if got := read(t, m.CrashLosingAll(), "d"); got != want {
		t.Errorf("after a sync and a crash %q, want %q", got, want)
	}
	if m.FlipBit("d", 6) == nil || m.FlipBit("none", 0) == nil || m.FlipBit("/", 0) == nil {
		t.Error("flipped what isn't there")
	}
}

func TestCrashReleasesLocks(t *testing.T) {
	m := NewMem()
	_, err := m.Lock("LOCK")
	must(t, err)
	after := m.CrashKeepingAll()
	l, err := after.Lock("LOCK")
	must(t, err)
	must(t, l.Close())
	wantErr(t, "closed twice", l.Close(), fs.ErrClosed)
}

func TestMemString(t *testing.T) {
	m := NewMem()
	must(t, m.MkdirAll("t/p"))
	must(t, create(t, m, "t/p/a", "abc").Close())
	if got := fmt.Sprint(m); got != "t/ (1 unsynced)\n  p/ (1 unsynced)\n    a 3 bytes (1 unsynced writes)\n" {
		t.Errorf("%q", got)
	}
}
