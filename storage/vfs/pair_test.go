package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

// class is what two implementations must agree on.
func class(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, fs.ErrNotExist):
		return "not exist"
	case errors.Is(err, fs.ErrExist):
		return "exist" // ENOTEMPTY too
	}
	return "error"
}

// TestMemBehavesLikeOS plays the same operations on both.
func TestMemBehavesLikeOS(t *testing.T) {
	base := t.TempDir()
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		dir := path.Join(base, strconv.Itoa(run))
		m := NewMem()
		if err := errors.Join(os.Mkdir(dir, 0o700), m.MkdirAll(dir)); err != nil {
			rt.Fatal(err)
		}
		both := &pair{a: OS(), b: m, t: rt}
		play(rt, both, dir, rapid.IntRange(1, 40).Draw(rt, "steps"))
		if a, b := dumpDir(rt, OS(), dir), dumpDir(rt, m, dir); a != b {
			rt.Fatalf("os:\n%s\nmem:\n%s", a, b)
		}
	})
}

// pair does everything on two file systems and compares.
type pair struct {
	a, b FS
	t    *rapid.T
}

func (p *pair) same(op string, a, b error) error {
	if class(a) != class(b) {
		p.t.Fatalf("%s: %v and %v", op, a, b)
	}
	return a
}

func (p *pair) files(op string, a, b File, errA, errB error) (File, error) {
	if err := p.same(op, errA, errB); err != nil {
		return nil, err
	}
	return &pairFile{p: p, a: a, b: b}, nil
}

func (p *pair) Create(name string) (File, error) {
	a, errA := p.a.Create(name)
	b, errB := p.b.Create(name)
	return p.files("create "+name, a, b, errA, errB)
}

func (p *pair) Open(name string) (File, error) {
	a, errA := p.a.Open(name)
	b, errB := p.b.Open(name)
	return p.files("open "+name, a, b, errA, errB)
}

func (p *pair) OpenRead(name string) (File, error) {
	a, errA := p.a.OpenRead(name)
	b, errB := p.b.OpenRead(name)
	return p.files("openread "+name, a, b, errA, errB)
}

func (p *pair) Remove(name string) error {
	return p.same("remove "+name, p.a.Remove(name), p.b.Remove(name))
}

func (p *pair) RemoveAll(name string) error {
	return p.same("removeall "+name, p.a.RemoveAll(name), p.b.RemoveAll(name))
}

func (p *pair) Rename(from, to string) error {
	return p.same("rename "+from+" "+to, p.a.Rename(from, to), p.b.Rename(from, to))
}

func (p *pair) MkdirAll(dir string) error {
	return p.same("mkdirall "+dir, p.a.MkdirAll(dir), p.b.MkdirAll(dir))
}

func (p *pair) SyncDir(dir string) error {
	return p.same("syncdir "+dir, p.a.SyncDir(dir), p.b.SyncDir(dir))
}

func (p *pair) ReadDir(dir string) ([]Info, error)    { return p.a.ReadDir(dir) }
func (p *pair) Stat(name string) (Info, error)        { return p.a.Stat(name) }
func (p *pair) Lock(name string) (io.Closer, error)   { return p.a.Lock(name) }
func (p *pair) Free(dir string) (int64, int64, error) { return p.a.Free(dir) }

type pairFile struct {
	p    *pair
	a, b File
}

func (f *pairFile) ReadAt(b []byte, off int64) (int, error) { return f.a.ReadAt(b, off) }
func (f *pairFile) Size() (int64, error)                    { return f.a.Size() }

func (f *pairFile) WriteAt(b []byte, off int64) (int, error) {
	n, errA := f.a.WriteAt(b, off)
	m, errB := f.b.WriteAt(b, off)
	if n != m {
		f.p.t.Fatalf("wrote %d and %d", n, m)
	}
	return n, f.p.same("write", errA, errB)
}

func (f *pairFile) Truncate(size int64) error {
	return f.p.same("truncate", f.a.Truncate(size), f.b.Truncate(size))
}

func (f *pairFile) Sync() error { return f.p.same("sync", f.a.Sync(), f.b.Sync()) }

func (f *pairFile) Close() error { return f.p.same("close", f.a.Close(), f.b.Close()) }

func (f *pairFile) Preallocate(size int64) error {
	return f.p.same("preallocate", f.a.Preallocate(size), f.b.Preallocate(size))
}
