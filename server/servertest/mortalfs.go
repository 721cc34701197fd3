package servertest

import (
	"errors"
	"io"
	"sync"

	"github.com/chroniklog/chronik/storage/vfs"
)

// errKilled is what a killed process's disk says to what is left of it.
var errKilled = errors.New("the process was killed")

// mortalFS is a file system that a process loses at the moment of its death:
// each operation happens before it, whole, or not at all. Reads, closing files
// and giving up locks go on.
type mortalFS struct {
	vfs.FS
	life *life
}

type life struct {
	mu   sync.RWMutex
	dead bool
}

func newMortalFS(fs vfs.FS) *mortalFS { return &mortalFS{FS: fs, life: &life{}} }

// kill returns when no operation is under way, and none will be.
func (m *mortalFS) kill() {
	m.life.mu.Lock()
	defer m.life.mu.Unlock()
	m.life.dead = true
}

// do runs a change unless the process is dead.
func (l *life) do(change func() error) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.dead {
		return errKilled
	}
	return change()
}

func (m *mortalFS) file(open func() (vfs.File, error)) (f vfs.File, err error) {
	err = m.life.do(func() error {
		f, err = open()
		return err
	})
	if err != nil {
		return nil, err
	}
	return &mortalFile{File: f, life: m.life}, nil
}

func (m *mortalFS) Create(name string) (vfs.File, error) {
	return m.file(func() (vfs.File, error) { return m.FS.Create(name) })
}

func (m *mortalFS) Open(name string) (vfs.File, error) {
	return m.file(func() (vfs.File, error) { return m.FS.Open(name) })
}

func (m *mortalFS) OpenRead(name string) (vfs.File, error) {
	return m.file(func() (vfs.File, error) { return m.FS.OpenRead(name) })
}

func (m *mortalFS) Remove(name string) error {
	return m.life.do(func() error { return m.FS.Remove(name) })
}

func (m *mortalFS) RemoveAll(name string) error {
	return m.life.do(func() error { return m.FS.RemoveAll(name) })
}

func (m *mortalFS) Rename(oldName, newName string) error {
	return m.life.do(func() error { return m.FS.Rename(oldName, newName) })
}

func (m *mortalFS) MkdirAll(dir string) error {
	return m.life.do(func() error { return m.FS.MkdirAll(dir) })
}

func (m *mortalFS) SyncDir(dir string) error {
	return m.life.do(func() error { return m.FS.SyncDir(dir) })
}

func (m *mortalFS) Lock(name string) (lock io.Closer, err error) {
	err = m.life.do(func() error {
		lock, err = m.FS.Lock(name)
		return err
	})
	return lock, err
}

type mortalFile struct {
	vfs.File
	life *life
}

func (f *mortalFile) WriteAt(b []byte, off int64) (n int, err error) {
	err = f.life.do(func() error {
		n, err = f.File.WriteAt(b, off)
		return err
	})
	return n, err
}

func (f *mortalFile) Truncate(size int64) error {
	return f.life.do(func() error { return f.File.Truncate(size) })
}

func (f *mortalFile) Sync() error { return f.life.do(f.File.Sync) }

func (f *mortalFile) Preallocate(size int64) error {
	return f.life.do(func() error { return f.File.Preallocate(size) })
}
