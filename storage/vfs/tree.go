package vfs

import (
	"errors"
	"io"
)

// Tree makes many files durable at once.
type Tree interface {
	// Sync makes durable what was written to any file below the directory,
	// but no names. Every error of writing back since OpenTree or the last
	// Sync is reported, also of files that are closed.
	Sync() error
	io.Closer
}

// TreeOpener is what an FS may offer beside its own methods.
type TreeOpener interface {
	// OpenTree prepares for Tree.Sync of what is below dir. It may sync more
	// than that: everything on the same disk. errors.ErrUnsupported: sync the
	// files one by one.
	OpenTree(dir string) (Tree, error)
}

// OpenTree is fs.OpenTree, or errors.ErrUnsupported.
func OpenTree(fs FS, dir string) (Tree, error) {
	if t, ok := fs.(TreeOpener); ok {
		return t.OpenTree(dir)
	}
	return nil, errors.ErrUnsupported
}

// OpenTree implements TreeOpener.
func (f *Fault) OpenTree(dir string) (Tree, error) {
	t, err := OpenTree(f.fs, dir)
	if err != nil {
		return nil, err
	}
	return &faultTree{Tree: t, owner: f, dir: dir}, nil
}

// faultTree counts as the OpSync of its directory.
type faultTree struct {
	Tree
	owner *Fault
	dir   string
}

func (t *faultTree) Sync() error {
	if err := t.owner.err(OpSync, t.dir); err != nil {
		return err
	}
	return t.Tree.Sync()
}

// OpenTree implements TreeOpener.
func (m *Mem) OpenTree(dir string) (Tree, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	n, err := m.find("opentree", dir)
	if err != nil {
		return nil, err
	}
	return memTree{m: m, root: n}, nil
}

type memTree struct {
	m    *Mem
	root *memNode
}

func (memTree) Close() error { return nil }

func (t memTree) Sync() error {
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	t.root.syncTree()
	return nil
}

func (n *memNode) syncTree() {
	if n.dir == nil {
		n.sync()
		return
	}
	for _, child := range n.dir.entries {
		child.syncTree()
	}
}
