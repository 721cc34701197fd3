package sim

import (
	"errors"
	"io"

	"github.com/chroniklog/chronik/storage/vfs"
)

// errDead: the process that asks has crashed.
var errDead = errors.New("the node has crashed")

// disk is a node's file system as one life of it sees it: it can be armed to
// end that life before any change of the disk.
type disk struct {
	vfs.FS
	dead  bool
	armed bool
	left  int // changes until it is dead
}

// step is called before each change.
func (d *disk) step() error {
	if d.armed && !d.dead {
		d.left--
		d.dead = d.left < 0
	}
	if d.dead {
		return errDead
	}
	return nil
}

func (d *disk) Create(name string) (vfs.File, error) { return d.file(d.FS.Create, name, d.step()) }

func (d *disk) Open(name string) (vfs.File, error) { return d.file(d.FS.Open, name, nil) }

func (d *disk) file(open func(string) (vfs.File, error), name string, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	f, err := open(name)
	if err != nil {
		return nil, err
	}
	return &file{File: f, d: d}, nil
}

func (d *disk) Remove(name string) error {
	if err := d.step(); err != nil {
		return err
	}
	return d.FS.Remove(name)
}

func (d *disk) Rename(from, to string) error {
	if err := d.step(); err != nil {
		return err
	}
	return d.FS.Rename(from, to)
}

func (d *disk) SyncDir(dir string) error {
	if err := d.step(); err != nil {
		return err
	}
	return d.FS.SyncDir(dir)
}

func (d *disk) MkdirAll(dir string) error {
	if err := d.step(); err != nil {
		return err
	}
	return d.FS.MkdirAll(dir)
}

func (d *disk) Lock(name string) (io.Closer, error) { return d.FS.Lock(name) }

// file is an open file of a disk.
type file struct {
	vfs.File
	d *disk
}

func (f *file) WriteAt(b []byte, off int64) (int, error) {
	if err := f.d.step(); err != nil {
		return 0, err
	}
	return f.File.WriteAt(b, off)
}

func (f *file) Truncate(size int64) error {
	if err := f.d.step(); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

func (f *file) Sync() error {
	if err := f.d.step(); err != nil {
		return err
	}
	return f.File.Sync()
}
