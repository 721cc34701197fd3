// Package vfs is the file system as storage sees it: few operations, each
// with a stated durability, so that a test can put a memory disk that loses
// unsynced bytes (Mem) or scripted errors (Fault) under the real code.
//
// Durability follows POSIX read strictly: bytes written are durable after
// File.Sync; a name that was created, renamed or removed is durable after
// FS.SyncDir of its directory. Anything else may be lost, or kept, by a crash.
package vfs

import (
	"io"
	"time"
)

// File is an open file. Its methods may be called concurrently; reads and
// writes of overlapping ranges are the caller's to order.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Truncate sets the size; it is durable after Sync.
	Truncate(size int64) error
	// Sync is fdatasync: bytes, and the size when it changed.
	Sync() error
	// Size is the current size in bytes.
	Size() (int64, error)
	// Preallocate reserves disk space for [0,size) without changing the
	// size, so that later writes there can't fail for want of space. File
	// systems that can't do so return nil.
	Preallocate(size int64) error
}

// Info describes a name.
type Info struct {
	Name    string // base name
	Size    int64
	Dir     bool
	ModTime time.Time
}

// FS is a file system. Names are slash-separated paths.
type FS interface {
	// Create makes a new file for reading and writing; fs.ErrExist if the
	// name is taken.
	Create(name string) (File, error)
	// Open opens an existing file for reading and writing.
	Open(name string) (File, error)
	// OpenRead opens an existing file for reading only.
	OpenRead(name string) (File, error)
	Remove(name string) error
	RemoveAll(name string) error
	// Rename replaces newName if it is a file; fs.ErrExist if it is a directory.
	Rename(oldName, newName string) error
	// MkdirAll creates a directory and its parents; existing ones are kept.
	// The directories it creates are durable after SyncDir of their parents.
	MkdirAll(dir string) error
	// ReadDir lists a directory, sorted by name.
	ReadDir(dir string) ([]Info, error)
	Stat(name string) (Info, error)
	// SyncDir makes the directory's entries durable.
	SyncDir(dir string) error
	// Lock takes an exclusive lock on name, creating it; ErrLocked if another
	// holder, in this or another process, has it. Close releases it.
	Lock(name string) (io.Closer, error)
	// Free tells the bytes that are free for writing, and the total, of the
	// disk that holds dir.
	Free(dir string) (free, total int64, err error)
}
