package vfs

import (
	"io"
	"io/fs"
	"slices"
	"syscall"
)

// memNode is a file or a directory of a Mem, whatever names it has. Its fields
// are guarded by the Mem's lock.
type memNode struct {
	modTime int64 // Unix nanoseconds

	// Of a file.
	data   []byte  // as readers see it
	synced []byte  // as a crash surely leaves it
	writes []memOp // what happened since, oldest first
	alloc  int64   // bytes that count as used: the size or what was preallocated
	refs   int     // names and handles; at 0 its bytes are free
	locked bool    // by FS.Lock
	dir    *memDir // nil for a file
}

// memOp is a write at off, or a truncation to off if data is nil.
type memOp struct {
	off  int64
	data []byte
}

func (op memOp) apply(image []byte) []byte {
	if op.data == nil {
		return resize(image, op.off)
	}
	if end := op.off + int64(len(op.data)); end > int64(len(image)) {
		image = resize(image, end)
	}
	copy(image[op.off:], op.data)
	return image
}

// resize changes b's length; new bytes are zero even where b's capacity holds
// old ones.
func resize(b []byte, size int64) []byte {
	n := int(size)
	if n <= len(b) {
		return b[:n]
	}
	old := len(b)
	b = slices.Grow(b, n-old)[:n]
	clear(b[old:])
	return b
}

func (n *memNode) sync() {
	for _, op := range n.writes {
		n.synced = op.apply(n.synced)
	}
	n.writes = nil
}

// memFile is an open file of a Mem.
type memFile struct {
	m        *Mem
	node     *memNode
	name     string
	readOnly bool
	closed   bool
}

func (f *memFile) fail(op string, err error) error {
	return &fs.PathError{Op: op, Path: f.name, Err: err}
}

// writable reports why a change is refused, or nil.
func (f *memFile) writable(op string, at int64) error {
	switch {
	case f.closed:
		return f.fail(op, fs.ErrClosed)
	case f.readOnly:
		return f.fail(op, syscall.EBADF)
	case at < 0:
		return f.fail(op, syscall.EINVAL)
	case at > maxMemFile:
		return f.fail(op, syscall.EFBIG)
	}
	return nil
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	f.m.mu.RLock()
	defer f.m.mu.RUnlock()
	switch {
	case f.closed:
		return 0, f.fail("read", fs.ErrClosed)
	case off < 0:
		return 0, f.fail("read", syscall.EINVAL)
	case len(p) == 0:
		return 0, nil
	case off >= int64(len(f.node.data)):
		return 0, io.EOF
	}
	n := copy(p, f.node.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt writes what fits on the disk; the rest is ENOSPC.
func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	end := off + int64(len(p))
	if err := f.writable("write", max(end, off)); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, f.fail("write", syscall.EINVAL)
	}
	if len(p) == 0 {
		return 0, nil
	}
	short := f.m.allocate(f.node, end)
	n := len(p) - int(min(short, int64(len(p))))
	if n > 0 {
		op := memOp{off: off, data: slices.Clone(p[:n])}
		f.node.data = op.apply(f.node.data)
		f.node.writes = append(f.node.writes, op)
		f.node.modTime = f.m.tick()
	}
	if n < len(p) {
		return n, f.fail("write", syscall.ENOSPC)
	}
	return n, nil
}

func (f *memFile) Truncate(size int64) error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.writable("truncate", size); err != nil {
		return err
	}
	if short := f.m.allocate(f.node, size); short > 0 {
		return f.fail("truncate", syscall.ENOSPC)
	}
	op := memOp{off: size}
	f.node.data = op.apply(f.node.data)
	f.node.writes = append(f.node.writes, op)
	f.node.modTime = f.m.tick()
	f.m.used -= f.node.alloc - size
	f.node.alloc = size
	return nil
}

func (f *memFile) Preallocate(size int64) error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.writable("fallocate", max(size, 0)); err != nil {
		return err
	}
	if f.m.limit > 0 && size-f.node.alloc > f.m.limit-f.m.used {
		return f.fail("fallocate", syscall.ENOSPC)
	}
	f.m.allocate(f.node, size)
	return nil
}

func (f *memFile) Sync() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.closed {
		return f.fail("sync", fs.ErrClosed)
	}
	f.node.sync()
	return nil
}

func (f *memFile) Size() (int64, error) {
	f.m.mu.RLock()
	defer f.m.mu.RUnlock()
	if f.closed {
		return 0, f.fail("stat", fs.ErrClosed)
	}
	return int64(len(f.node.data)), nil
}

func (f *memFile) Close() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.closed {
		return f.fail("close", fs.ErrClosed)
	}
	f.closed = true
	f.m.release(f.node)
	return nil
}
