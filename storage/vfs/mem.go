package vfs

import (
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// maxMemFile bounds a file of a Mem.
	maxMemFile = 1 << 40
	// memTotal is the size that an unlimited Mem claims to have.
	memTotal = 1 << 40
)

// Mem is a file system in memory that knows what a crash may lose. For each
// file it keeps the image as of the last Sync and the writes since, for each
// directory the names as of the last SyncDir and the changes since; see Crash.
// It is deterministic: no clock (times are a counter), no hidden randomness.
// It is safe for concurrent use.
//
// Names are rooted: "a/b" and "/a/b" are the same file.
type Mem struct {
	mu    sync.RWMutex
	root  *memNode
	used  int64
	limit int64 // 0: none
	ticks int64
}

// NewMem makes an empty file system without a size limit.
func NewMem() *Mem {
	root := newMemDir()
	root.refs = 1
	return &Mem{root: root}
}

// SetCapacity limits the bytes of all files, preallocated ones included;
// writing more is ENOSPC. 0 is no limit. What is there stays.
func (m *Mem) SetCapacity(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.limit = bytes
}

// Used is the number of bytes that count against the capacity.
func (m *Mem) Used() int64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.used
}

// FlipBit flips one bit of the byte at off in file name, on the disk and in
// what readers see: silent corruption.
func (m *Mem) FlipBit(name string, off int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find("flip", name)
	if err != nil {
		return err
	}
	if n.dir != nil || off < 0 || off >= int64(len(n.data)) {
		return &fs.PathError{Op: "flip", Path: name, Err: syscall.EINVAL}
	}
	bit := byte(1) << (off % 8)
	n.data[off] ^= bit
	if off < int64(len(n.synced)) {
		n.synced[off] ^= bit
	}
	for _, op := range n.writes {
		if i := off - op.off; i >= 0 && i < int64(len(op.data)) {
			op.data[i] ^= bit
		}
	}
	return nil
}

// tick is the time of a change: a millisecond later than the one before.
func (m *Mem) tick() int64 {
	m.ticks++
	return m.ticks * int64(time.Millisecond)
}

// allocate makes n use at least size bytes, or as many as fit, and returns
// how many bytes of size lie beyond that.
func (m *Mem) allocate(n *memNode, size int64) (short int64) {
	more := size - n.alloc
	if more <= 0 {
		return 0
	}
	if m.limit > 0 {
		if free := max(0, m.limit-m.used); more > free {
			short, more = more-free, free
		}
	}
	n.alloc += more
	m.used += more
	return short
}

// release drops one name or handle of n.
func (m *Mem) release(n *memNode) {
	n.refs--
	if n.refs == 0 {
		m.used -= n.alloc
	}
}

// split cleans name and cuts it into its elements; the root has none.
func split(name string) []string {
	name = path.Clean("/" + name)[1:]
	if name == "" {
		return nil
	}
	return strings.Split(name, "/")
}

func (m *Mem) walk(elements []string) (*memNode, error) {
	n := m.root
	for _, e := range elements {
		if n.dir == nil {
			return nil, syscall.ENOTDIR
		}
		if n = n.dir.entries[e]; n == nil {
			return nil, syscall.ENOENT
		}
	}
	return n, nil
}

func (m *Mem) find(op, name string) (*memNode, error) {
	n, err := m.walk(split(name))
	if err != nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: err}
	}
	return n, nil
}

// parent finds the directory of name and name's last element.
func (m *Mem) parent(op, name string) (dir *memNode, base string, err error) {
	elements := split(name)
	if len(elements) == 0 {
		return nil, "", &fs.PathError{Op: op, Path: name, Err: syscall.EINVAL}
	}
	last := len(elements) - 1
	dir, err = m.walk(elements[:last])
	if err == nil && dir.dir == nil {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return nil, "", &fs.PathError{Op: op, Path: name, Err: err}
	}
	return dir, elements[last], nil
}

// Create implements FS.
func (m *Mem) Create(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, base, err := m.parent("create", name)
	if err != nil {
		return nil, err
	}
	if dir.dir.entries[base] != nil {
		return nil, &fs.PathError{Op: "create", Path: name, Err: syscall.EEXIST}
	}
	n := &memNode{modTime: m.tick()}
	m.link(dir, base, n)
	return m.handle(n, name, false), nil
}

func (m *Mem) handle(n *memNode, name string, readOnly bool) *memFile {
	n.refs++
	return &memFile{m: m, node: n, name: name, readOnly: readOnly}
}

func (m *Mem) open(name string, readOnly bool) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find("open", name)
	if err != nil {
		return nil, err
	}
	if n.dir != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.EISDIR}
	}
	return m.handle(n, name, readOnly), nil
}

// Open implements FS.
func (m *Mem) Open(name string) (File, error) { return m.open(name, false) }

// OpenRead implements FS.
func (m *Mem) OpenRead(name string) (File, error) { return m.open(name, true) }

// Stat implements FS.
func (m *Mem) Stat(name string) (Info, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	n, err := m.find("stat", name)
	if err != nil {
		return Info{}, err
	}
	return n.info(path.Base(path.Clean("/" + name))), nil
}

func (n *memNode) info(name string) Info {
	return Info{
		Name: name, Size: int64(len(n.data)), Dir: n.dir != nil,
		ModTime: time.Unix(0, n.modTime).UTC(),
	}
}

// ReadDir implements FS.
func (m *Mem) ReadDir(dir string) ([]Info, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	n, err := m.find("readdir", dir)
	if err != nil {
		return nil, err
	}
	if n.dir == nil {
		return nil, &fs.PathError{Op: "readdir", Path: dir, Err: syscall.ENOTDIR}
	}
	infos := make([]Info, 0, len(n.dir.entries))
	for name, child := range n.dir.entries {
		infos = append(infos, child.info(name))
	}
	slices.SortFunc(infos, func(a, b Info) int { return strings.Compare(a.Name, b.Name) })
	return infos, nil
}

// Free implements FS.
func (m *Mem) Free(dir string) (free, total int64, err error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if _, err := m.find("statfs", dir); err != nil {
		return 0, 0, err
	}
	total = memTotal
	if m.limit > 0 {
		total = m.limit
	}
	return max(0, total-m.used), total, nil
}

// memLock is held until closed.
type memLock struct {
	m *Mem
	n *memNode
}

// Lock implements FS. A Mem that Crash returns has no locks.
func (m *Mem) Lock(name string) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, base, err := m.parent("lock", name)
	if err != nil {
		return nil, err
	}
	n := dir.dir.entries[base]
	switch {
	case n == nil:
		n = &memNode{modTime: m.tick()}
		m.link(dir, base, n)
	case n.dir != nil:
		return nil, &fs.PathError{Op: "lock", Path: name, Err: syscall.EISDIR}
	case n.locked:
		return nil, &fs.PathError{Op: "lock", Path: name, Err: ErrLocked}
	}
	n.locked = true
	n.refs++
	return &memLock{m: m, n: n}, nil
}

func (l *memLock) Close() error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	if l.n == nil {
		return os.ErrClosed
	}
	l.n.locked = false
	l.m.release(l.n)
	l.n = nil
	return nil
}
