package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	fileMode = 0o640
	dirMode  = 0o750
)

// OS is the machine's file system. File.Sync is fdatasync on Linux and the
// strongest sync there is elsewhere; Preallocate works on Linux only; Lock and
// Free return errors.ErrUnsupported on systems other than Linux, macOS and
// FreeBSD.
func OS() FS { return osFS{} }

type osFS struct{}

type osFile struct{ f *os.File }

func openOS(name string, flag int) (File, error) {
	f, err := os.OpenFile(filepath.FromSlash(name), flag, fileMode)
	if err != nil {
		return nil, err
	}
	return &osFile{f: f}, nil
}

func (osFS) Create(name string) (File, error) {
	return openOS(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
}

func (osFS) Open(name string) (File, error) { return openOS(name, os.O_RDWR) }

func (osFS) OpenRead(name string) (File, error) { return openOS(name, os.O_RDONLY) }

func (osFS) Remove(name string) error { return os.Remove(filepath.FromSlash(name)) }

func (osFS) RemoveAll(name string) error { return os.RemoveAll(filepath.FromSlash(name)) }

func (osFS) Rename(oldName, newName string) error {
	return os.Rename(filepath.FromSlash(oldName), filepath.FromSlash(newName))
}

func (osFS) MkdirAll(dir string) error { return os.MkdirAll(filepath.FromSlash(dir), dirMode) }

func (osFS) ReadDir(dir string) ([]Info, error) {
	entries, err := os.ReadDir(filepath.FromSlash(dir))
	if err != nil {
		return nil, err
	}
	infos := make([]Info, 0, len(entries))
	for _, e := range entries {
		fi, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed since the directory was read
		}
		if err != nil {
			return nil, err
		}
		infos = append(infos, osInfo(fi))
	}
	return infos, nil
}

func (osFS) Stat(name string) (Info, error) {
	fi, err := os.Stat(filepath.FromSlash(name))
	if err != nil {
		return Info{}, err
	}
	return osInfo(fi), nil
}

func osInfo(fi fs.FileInfo) Info {
	info := Info{Name: fi.Name(), Dir: fi.IsDir(), ModTime: fi.ModTime()}
	if !info.Dir {
		info.Size = fi.Size()
	}
	return info
}

func (osFS) SyncDir(dir string) error {
	d, err := os.Open(filepath.FromSlash(dir))
	if err != nil {
		return err
	}
	return errors.Join(syncOSDir(d), d.Close())
}

// Lock keeps the file when it is released: removing it would let a third
// holder lock a new file while a second one waits for the old.
func (osFS) Lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(filepath.FromSlash(name), os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, err
	}
	if err := lockOSFile(f); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", name, err), f.Close())
	}
	return f, nil
}

func (osFS) Free(dir string) (free, total int64, err error) {
	free, total, err = freeOS(filepath.FromSlash(dir))
	if err != nil {
		return 0, 0, &fs.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return free, total, nil
}

func (f *osFile) ReadAt(p []byte, off int64) (int, error) { return f.f.ReadAt(p, off) }

func (f *osFile) WriteAt(p []byte, off int64) (int, error) { return f.f.WriteAt(p, off) }

func (f *osFile) Truncate(size int64) error { return f.f.Truncate(size) }

func (f *osFile) Close() error { return f.f.Close() }

func (f *osFile) Size() (int64, error) {
	fi, err := f.f.Stat()
	if err != nil {
		return 0, err
	}
	return fi.Size(), nil
}

func (f *osFile) Sync() error { return syncOSFile(f.f) }

func (f *osFile) Preallocate(size int64) error {
	if size <= 0 {
		return nil
	}
	return preallocateOSFile(f.f, size)
}
