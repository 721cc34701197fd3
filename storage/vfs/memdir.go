package vfs

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
)

// memDir holds the names of a directory: as everyone sees them, as a crash
// surely leaves them, and the changes between the two.
type memDir struct {
	entries map[string]*memNode
	synced  map[string]*memNode
	changes []memChange // oldest first
}

// memChange is what became of one name. The two changes of a rename share an
// id; ids grow with time.
type memChange struct {
	id   int64
	name string
	node *memNode // nil: removed
}

func newMemDir() *memNode {
	return &memNode{dir: &memDir{
		entries: map[string]*memNode{}, synced: map[string]*memNode{},
	}}
}

func (c memChange) apply(entries map[string]*memNode) {
	if c.node == nil {
		delete(entries, c.name)
	} else {
		entries[c.name] = c.node
	}
}

// change applies c to dir; the caller counts references.
func (m *Mem) change(dir *memNode, c memChange) {
	c.apply(dir.dir.entries)
	dir.dir.changes = append(dir.dir.changes, c)
	dir.modTime = m.tick()
}

func (m *Mem) link(dir *memNode, name string, n *memNode) {
	n.refs++
	m.change(dir, memChange{id: m.tick(), name: name, node: n})
}

func (m *Mem) unlink(dir *memNode, name string) {
	n := dir.dir.entries[name]
	m.change(dir, memChange{id: m.tick(), name: name})
	m.release(n)
}

// MkdirAll implements FS.
func (m *Mem) MkdirAll(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.root
	for _, e := range split(dir) {
		child := n.dir.entries[e]
		if child == nil {
			child = newMemDir()
			child.modTime = m.tick()
			m.link(n, e, child)
		}
		if child.dir == nil {
			return &fs.PathError{Op: "mkdir", Path: dir, Err: syscall.ENOTDIR}
		}
		n = child
	}
	return nil
}

// Remove implements FS.
func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, base, err := m.parent("remove", name)
	if err != nil {
		return err
	}
	n := dir.dir.entries[base]
	switch {
	case n == nil:
		return &fs.PathError{Op: "remove", Path: name, Err: syscall.ENOENT}
	case n.dir != nil && len(n.dir.entries) > 0:
		return &fs.PathError{Op: "remove", Path: name, Err: syscall.ENOTEMPTY}
	}
	m.unlink(dir, base)
	return nil
}

// RemoveAll implements FS. Like the real thing it removes the innermost first,
// each a change of its own to a crash.
func (m *Mem) RemoveAll(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, base, err := m.parent("removeall", name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	m.removeAll(dir, base)
	return nil
}

func (m *Mem) removeAll(dir *memNode, base string) {
	n := dir.dir.entries[base]
	if n == nil {
		return
	}
	if n.dir != nil {
		for _, name := range slices.Sorted(maps.Keys(n.dir.entries)) {
			m.removeAll(n, name)
		}
	}
	m.unlink(dir, base)
}

// Rename implements FS. A crash keeps or loses it whole, except that, between
// two directories, each half is durable once its own directory was synced.
func (m *Mem) Rename(oldName, newName string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.rename(oldName, newName); err != nil {
		return &os.LinkError{Op: "rename", Old: oldName, New: newName, Err: err}
	}
	return nil
}

func (m *Mem) rename(oldName, newName string) error {
	from, oldBase, err := m.parent("rename", oldName)
	if err != nil {
		return errors.Unwrap(err)
	}
	to, newBase, err := m.parent("rename", newName)
	if err != nil {
		return errors.Unwrap(err)
	}
	n, target := from.dir.entries[oldBase], to.dir.entries[newBase]
	switch {
	case n == nil:
		return syscall.ENOENT
	case target != nil && target.dir != nil:
		return syscall.EEXIST // as package os does, even if it is empty
	case n == target:
		return nil
	case n.dir != nil && within(split(newName), split(oldName)):
		return syscall.EINVAL
	case n.dir != nil && target != nil:
		return syscall.ENOTDIR
	}
	id := m.tick()
	m.change(from, memChange{id: id, name: oldBase})
	m.change(to, memChange{id: id, name: newBase, node: n})
	if target != nil {
		m.release(target)
	}
	return nil
}

func within(name, dir []string) bool {
	return len(name) >= len(dir) && slices.Equal(name[:len(dir)], dir)
}

// SyncDir implements FS.
func (m *Mem) SyncDir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find("syncdir", dir)
	if err != nil {
		return err
	}
	if n.dir == nil {
		return &fs.PathError{Op: "syncdir", Path: dir, Err: syscall.ENOTDIR}
	}
	for _, c := range n.dir.changes {
		c.apply(n.dir.synced)
	}
	n.dir.changes = nil
	return nil
}

// String draws the tree with sizes, for messages of failing tests.
func (m *Mem) String() string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var b strings.Builder
	m.root.draw(&b, "")
	return b.String()
}
