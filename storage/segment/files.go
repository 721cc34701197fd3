package segment

import (
	"container/list"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/chroniklog/chronik/storage/vfs"
)

// Files opens files and keeps a bounded number of them open, those that were
// used last. Files in use count, but are never closed: more than the bound may
// be open while more are in use.
type Files struct {
	fs   vfs.FS
	max  int
	lazy bool        // what is dirty is closed as it is
	fail func(error) // of a sync that failed outside any call

	mu   sync.Mutex
	open map[string]*Handle
	idle list.List // of *Handle without users, least recently used first
}

// NewFiles keeps at most max files open (at least 1). What is dirty is synced
// before it is closed to make room, and fail is told if that fails: the kernel
// reports a write-back error to who has the file open. lazy leaves that out,
// for who syncs by a vfs.Tree, which hears of those errors too.
func NewFiles(fs vfs.FS, max int, lazy bool, fail func(error)) *Files {
	return &Files{fs: fs, max: max, lazy: lazy, fail: fail, open: map[string]*Handle{}}
}

// Handle is an open file in use. Release it.
type Handle struct {
	files *Files
	name  string
	once  sync.Once
	f     vfs.File
	err   error
	dirty atomic.Bool // written since the last Sync

	// Guarded by Files.mu.
	users  int
	at     *list.Element // in idle, when there are no users
	forgot bool          // close it when it has no users
}

// Get opens an existing file, or finds it open.
func (c *Files) Get(name string) (*Handle, error) {
	return c.get(name, c.fs.Open)
}

// Create makes a file; fs.ErrExist if there is one.
func (c *Files) Create(name string) (*Handle, error) {
	return c.get(name, c.fs.Create)
}

func (c *Files) get(name string, open func(string) (vfs.File, error)) (*Handle, error) {
	c.mu.Lock()
	h := c.open[name]
	if h == nil {
		h = &Handle{files: c, name: name}
		c.open[name] = h
	}
	if h.at != nil {
		c.idle.Remove(h.at)
		h.at = nil
	}
	h.users++
	shut := c.surplus()
	c.mu.Unlock()
	closeAll(shut)

	h.once.Do(func() { h.f, h.err = open(name) })
	if h.err != nil {
		c.mu.Lock()
		if c.open[name] == h {
			delete(c.open, name)
		}
		c.mu.Unlock()
		return nil, h.err
	}
	return h, nil
}

// Release ends the use of the file.
func (h *Handle) Release() {
	c := h.files
	c.mu.Lock()
	h.users--
	var shut []*Handle
	if h.users == 0 {
		if h.forgot {
			shut = append(shut, h)
		} else {
			h.at = c.idle.PushBack(h)
		}
	}
	shut = append(shut, c.surplus()...)
	c.mu.Unlock()
	closeAll(shut)
}

// surplus takes the idle files out that are too many. Under mu.
func (c *Files) surplus() (shut []*Handle) {
	for len(c.open) > c.max && c.idle.Len() > 0 {
		old := c.idle.Remove(c.idle.Front()).(*Handle)
		old.at = nil
		delete(c.open, old.name)
		shut = append(shut, old)
	}
	return shut
}

func closeAll(shut []*Handle) {
	for _, h := range shut {
		h.close()
	}
}

// close closes a file that nobody can get any more.
func (h *Handle) close() {
	var err error
	if h.dirty.Load() && !h.forgot && !h.files.lazy {
		err = h.f.Sync()
	}
	if err = errors.Join(err, h.f.Close()); err != nil {
		h.files.fail(err)
	}
}

// Forget closes the file once nobody uses it: it is about to be removed, and
// what was not synced doesn't matter.
func (c *Files) Forget(name string) {
	c.mu.Lock()
	h := c.open[name]
	if h == nil {
		c.mu.Unlock()
		return
	}
	delete(c.open, name)
	h.forgot = true
	idle := h.at != nil
	if idle {
		c.idle.Remove(h.at)
		h.at = nil
	}
	c.mu.Unlock()
	if idle {
		h.close()
	}
}

// Open is the number of files that are open.
func (c *Files) Open() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.open)
}

// Close closes the files that nobody uses, without syncing them; the others
// are closed when they are released.
func (c *Files) Close() error {
	c.mu.Lock()
	var idle []*Handle
	for name, h := range c.open {
		delete(c.open, name)
		h.forgot = true
		if h.at != nil {
			c.idle.Remove(h.at)
			h.at = nil
			idle = append(idle, h)
		}
	}
	c.mu.Unlock()
	var errs []error
	for _, h := range idle {
		errs = append(errs, h.f.Close())
	}
	return errors.Join(errs...)
}

// ReadAt reads from the file.
func (h *Handle) ReadAt(b []byte, at int64) (int, error) { return h.f.ReadAt(b, at) }

// WriteAt writes to the file.
func (h *Handle) WriteAt(b []byte, at int64) (int, error) {
	h.dirty.Store(true)
	return h.f.WriteAt(b, at)
}

// Truncate sets the file's size.
func (h *Handle) Truncate(size int64) error {
	h.dirty.Store(true)
	return h.f.Truncate(size)
}

// Preallocate reserves disk space up to size.
func (h *Handle) Preallocate(size int64) error { return h.f.Preallocate(size) }

// Size is the file's size.
func (h *Handle) Size() (int64, error) { return h.f.Size() }

// Sync makes what was written durable.
func (h *Handle) Sync() error {
	h.dirty.Store(false) // before: what is written meanwhile is dirty again
	err := h.f.Sync()
	if err != nil {
		h.dirty.Store(true)
	}
	return err
}
