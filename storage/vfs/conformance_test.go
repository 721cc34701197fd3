package vfs

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"path"
	"runtime"
	"sync"
	"syscall"
	"testing"
)

// every runs a test over each implementation, in an empty directory.
func every(t *testing.T, test func(t *testing.T, fsys FS, dir string)) {
	t.Run("os", func(t *testing.T) { test(t, OS(), t.TempDir()) })
	t.Run("mem", func(t *testing.T) {
		m := NewMem()
		must(t, m.MkdirAll("/data"))
		test(t, m, "/data")
	})
	t.Run("fault over mem", func(t *testing.T) {
		f := NewFault(NewMem())
		must(t, f.MkdirAll("/data"))
		test(t, f, "/data")
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

func create(t testing.TB, fsys FS, name, text string) File {
	t.Helper()
	f, err := fsys.Create(name)
	must(t, err)
	n, err := f.WriteAt([]byte(text), 0)
	must(t, err)
	if n != len(text) {
		t.Fatal("short write", n)
	}
	return f
}

func read(t testing.TB, fsys FS, name string) string {
	t.Helper()
	b, err := ReadFile(fsys, name, 1<<20)
	must(t, err)
	return string(b)
}

func TestFiles(t *testing.T) {
	every(t, func(t *testing.T, fsys FS, dir string) {
		name := path.Join(dir, "a")
		f := create(t, fsys, name, "hello")
		_, err := fsys.Create(name)
		wantErr(t, "create again", err, fs.ErrExist)
		_, err = f.WriteAt([]byte("x"), 8) // a hole reads as zeros
		must(t, err)
		if got := read(t, fsys, name); got != "hello\x00\x00\x00x" {
			t.Errorf("%q", got)
		}
		must(t, f.Truncate(2))
		must(t, f.Truncate(4))
		must(t, f.Sync())
		size, err := f.Size()
		if must(t, err); size != 4 {
			t.Error("size", size)
		}
		buf := make([]byte, 10)
		n, err := f.ReadAt(buf, 1)
		if n != 3 || err != io.EOF || string(buf[:n]) != "e\x00\x00" {
			t.Errorf("%d %v %q", n, err, buf[:n])
		}
		if n, err = f.ReadAt(buf, 100); n != 0 || err != io.EOF {
			t.Error("beyond the end:", n, err)
		}
		if n, err = f.ReadAt(buf[:4], 0); n != 4 || err != nil {
			t.Error("exactly all:", n, err)
		}
		must(t, f.Close())
		wantErr(t, "close again", f.Close(), fs.ErrClosed)
		_, err = f.ReadAt(buf, 0)
		wantErr(t, "read closed", err, fs.ErrClosed)
		_, err = f.WriteAt(buf, 0)
		wantErr(t, "write closed", err, fs.ErrClosed)
		wantErr(t, "sync closed", f.Sync(), fs.ErrClosed)
		wantErr(t, "truncate closed", f.Truncate(0), fs.ErrClosed)
		wantErr(t, "preallocate closed", f.Preallocate(10), fs.ErrClosed)
		_, err = f.Size()
		wantErr(t, "size closed", err, fs.ErrClosed)
	})
}

func TestOpen(t *testing.T) {
	every(t, func(t *testing.T, fsys FS, dir string) {
		name := path.Join(dir, "a")
		_, err := fsys.Open(name)
		wantErr(t, "open", err, fs.ErrNotExist)
		_, err = fsys.OpenRead(name)
		wantErr(t, "open to read", err, fs.ErrNotExist)
		_, err = fsys.Create(path.Join(dir, "none", "a"))
		wantErr(t, "create in no directory", err, fs.ErrNotExist)
		must(t, create(t, fsys, name, "abc").Close())
		_, err = fsys.Open(dir)
		wantErr(t, "open a directory to write", err, syscall.EISDIR)

		f, err := fsys.Open(name)
		must(t, err)
		_, err = f.WriteAt([]byte("X"), 1)
		must(t, err)
		must(t, f.Close())
		r, err := fsys.OpenRead(name)
		must(t, err)
		if _, err = r.WriteAt([]byte("Y"), 0); err == nil {
			t.Error("a file open to read was written")
		}
		if err = r.Truncate(0); err == nil {
			t.Error("a file open to read was truncated")
		}
		must(t, r.Close())
		if got := read(t, fsys, name); got != "aXc" {
			t.Errorf("%q", got)
		}
		if _, err = ReadFile(fsys, name, 2); err == nil {
			t.Error("ReadFile beyond its limit")
		}
	})
}

func TestNames(t *testing.T) {
	every(t, func(t *testing.T, fsys FS, dir string) {
		j := func(e ...string) string { return path.Join(append([]string{dir}, e...)...) }
		must(t, fsys.MkdirAll(j("d/e")))
		must(t, fsys.MkdirAll(j("d/e")))
		must(t, create(t, fsys, j("d/b"), "b").Close())
		must(t, create(t, fsys, j("d/a"), "aa").Close())
		if err := fsys.MkdirAll(j("d/a")); err == nil {
			t.Error("a directory over a file")
		}
		infos, err := fsys.ReadDir(j("d"))
		must(t, err)
		if len(infos) != 3 || infos[0].Name != "a" || infos[0].Size != 2 || infos[0].Dir ||
			infos[1].Name != "b" || infos[2].Name != "e" || !infos[2].Dir {
			t.Errorf("%+v", infos)
		}
		info, err := fsys.Stat(j("d/a"))
		if must(t, err); info.Name != "a" || info.Size != 2 || info.Dir || info.ModTime.IsZero() {
			t.Errorf("%+v", info)
		}
		_, err = fsys.Stat(j("none"))
		wantErr(t, "stat", err, fs.ErrNotExist)
		_, err = fsys.ReadDir(j("none"))
		wantErr(t, "readdir", err, fs.ErrNotExist)
		must(t, fsys.SyncDir(j("d")))
		wantErr(t, "syncdir", fsys.SyncDir(j("none")), fs.ErrNotExist)

		wantErr(t, "remove a full directory", fsys.Remove(j("d")), syscall.ENOTEMPTY)
		must(t, fsys.Remove(j("d/e")))
		must(t, fsys.Remove(j("d/a")))
		wantErr(t, "remove again", fsys.Remove(j("d/a")), fs.ErrNotExist)
		must(t, fsys.RemoveAll(j("d")))
		must(t, fsys.RemoveAll(j("d")))
		_, err = fsys.Stat(j("d/b"))
		wantErr(t, "removed", err, fs.ErrNotExist)
	})
}

func TestRename(t *testing.T) {
	every(t, func(t *testing.T, fsys FS, dir string) {
		j := func(name string) string { return path.Join(dir, name) }
		must(t, fsys.MkdirAll(j("d")))
		must(t, create(t, fsys, j("a"), "A").Close())
		b := create(t, fsys, j("b"), "B")
		must(t, fsys.Rename(j("a"), j("b")))
		_, err := fsys.Stat(j("a"))
		wantErr(t, "old name", err, fs.ErrNotExist)
		if got := read(t, fsys, j("b")); got != "A" {
			t.Errorf("%q", got)
		}
		buf := make([]byte, 1)
		_, err = b.ReadAt(buf, 0) // an open file outlives its name
		if must(t, err); buf[0] != 'B' {
			t.Errorf("%q", buf)
		}
		must(t, b.Close())
		must(t, fsys.Rename(j("b"), j("b")))
		must(t, fsys.Rename(j("b"), j("d/c")))
		if got := read(t, fsys, j("d/c")); got != "A" {
			t.Errorf("%q", got)
		}
		wantErr(t, "no such file", fsys.Rename(j("none"), j("x")), fs.ErrNotExist)
		wantErr(t, "no such directory", fsys.Rename(j("d/c"), j("none/x")), fs.ErrNotExist)
		wantErr(t, "into itself", fsys.Rename(j("d"), j("d/e")), syscall.EINVAL)
		must(t, fsys.Rename(j("d"), j("e")))
		if got := read(t, fsys, j("e/c")); got != "A" {
			t.Errorf("%q", got)
		}
		must(t, fsys.MkdirAll(j("f/g")))
		wantErr(t, "over a directory", fsys.Rename(j("e"), j("f")), fs.ErrExist)
		wantErr(t, "over an empty directory", fsys.Rename(j("e/c"), j("f/g")), fs.ErrExist)
	})
}

func TestLock(t *testing.T) {
	every(t, func(t *testing.T, fsys FS, dir string) {
		name := path.Join(dir, "LOCK")
		l, err := fsys.Lock(name)
		if errors.Is(err, errors.ErrUnsupported) {
			t.Skip(runtime.GOOS, "has no locks")
		}
		must(t, err)
		_, err = fsys.Lock(name)
		wantErr(t, "second lock", err, ErrLocked)
		must(t, l.Close())
		l, err = fsys.Lock(name)
		must(t, err)
		must(t, l.Close())
	})
}

func TestFreeAndPreallocate(t *testing.T) {
	every(t, func(t *testing.T, fsys FS, dir string) {
		f := create(t, fsys, path.Join(dir, "a"), "abc")
		must(t, f.Preallocate(1<<20))
		must(t, f.Preallocate(0))
		size, err := f.Size()
		if must(t, err); size != 3 {
			t.Error("Preallocate changed the size to", size)
		}
		must(t, f.Close())
		free, total, err := fsys.Free(dir)
		if must(t, err); free <= 0 || total < free {
			t.Error(free, total)
		}
		_, _, err = fsys.Free(path.Join(dir, "none"))
		wantErr(t, "free", err, fs.ErrNotExist)
	})
}

func TestWriteFile(t *testing.T) {
	every(t, func(t *testing.T, fsys FS, dir string) {
		name := path.Join(dir, "checkpoint")
		must(t, create(t, fsys, name+".tmp", "leftover, longer than what follows").Close())
		must(t, WriteFile(fsys, name, []byte("one")))
		must(t, WriteFile(fsys, name, []byte("two")))
		if got := read(t, fsys, name); got != "two" {
			t.Errorf("%q", got)
		}
		if infos, err := fsys.ReadDir(dir); err != nil || len(infos) != 1 || IsTemp(infos[0].Name) {
			t.Error(infos, err)
		}
	})
}

func TestConcurrentUse(t *testing.T) {
	every(t, func(t *testing.T, fsys FS, dir string) {
		f := create(t, fsys, path.Join(dir, "shared"), "")
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				own, err := fsys.Create(path.Join(dir, string(rune('a'+i))))
				if err != nil {
					t.Error(err)
					return
				}
				page := bytes.Repeat([]byte{byte('a' + i)}, 100)
				got := make([]byte, 100)
				for k := range 50 {
					off := int64(k*4+i) * 100
					_, err1 := f.WriteAt(page, off)
					_, err2 := own.WriteAt(page, int64(k)*100)
					_, err3 := f.ReadAt(got, off)
					if err := errors.Join(err1, err2, err3, f.Sync()); err != nil || !bytes.Equal(got, page) {
						t.Error(err)
						return
					}
				}
				if err := own.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if size, err := f.Size(); err != nil || size != 20_000 {
			t.Error(size, err)
		}
		must(t, f.Close())
	})
}
