package kv

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"

	"github.com/chroniklog/chronik/storage/vfs"
)

// ballastName is the file that an operator may delete on a full disk.
const ballastName = "ballast"

const defaultMinFree = 64 << 20

// reserveEvery is how many bytes are written between two looks at which log
// files there are: well below what fits into one memtable.
const reserveEvery = 4 << 20

// space watches the disk of one store.
type space struct {
	fs      vfs.FS
	dir     string
	minFree int64
	written int64 // since the last reserve
	full    map[string]bool
}

func newSpace(o Options) (*space, error) {
	s := &space{fs: o.FS, dir: filepath.ToSlash(o.Dir), minFree: o.MinFree, full: map[string]bool{}}
	if s.minFree == 0 {
		s.minFree = defaultMinFree
	}
	if err := s.fs.MkdirAll(s.dir); err != nil {
		return nil, err
	}
	if s.minFree < 0 {
		return s, nil
	}
	free, _, err := s.fs.Free(s.dir)
	if err != nil {
		return nil, err
	}
	if free < s.minFree {
		return nil, fmt.Errorf("%w: %d bytes are free, %d are needed; free space or delete %s",
			ErrDiskFull, free, s.minFree, path.Join(s.dir, ballastName))
	}
	if o.Ballast > 0 && free > s.minFree+2*o.Ballast {
		return s, s.ballast(o.Ballast)
	}
	return s, nil
}

func (s *space) ballast(size int64) error {
	name := path.Join(s.dir, ballastName)
	f, err := s.fs.Create(name)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Preallocate(size), f.Truncate(size), f.Close())
}

// check refuses a write of n bytes when too little is free.
func (s *space) check(n int) error {
	if s.minFree < 0 {
		return nil
	}
	if err := s.room(n); err != nil {
		return err
	}
	s.written += int64(n)
	if s.written < reserveEvery {
		return nil
	}
	s.written = 0
	return s.reserve()
}

// room tells whether n bytes more may be written. It needs no lock.
func (s *space) room(n int) error {
	if s.minFree < 0 {
		return nil
	}
	free, _, err := s.fs.Free(s.dir)
	if err != nil {
		return err
	}
	if free < s.minFree+int64(n) {
		return fmt.Errorf("%w: %d bytes are free and %d must remain", ErrDiskFull, free, s.minFree)
	}
	return nil
}

// reserve makes sure of the space of the files that Badger maps and writes to:
// it makes them sparse.
func (s *space) reserve() error {
	if s.minFree < 0 {
		return nil
	}
	names, err := s.fs.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, info := range names {
		if ext := path.Ext(info.Name); ext != ".mem" && ext != ".vlog" || s.full[info.Name] {
			continue
		}
		f, err := s.fs.Open(path.Join(s.dir, info.Name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // flushed and removed since
		}
		if err != nil {
			return err
		}
		if err := errors.Join(f.Preallocate(info.Size), f.Close()); err != nil {
			return fmt.Errorf("%w: reserve %s: %w", ErrDiskFull, info.Name, err)
		}
		s.full[info.Name] = true
	}
	return nil
}
