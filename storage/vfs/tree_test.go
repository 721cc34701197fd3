package vfs

import (
	"errors"
	"syscall"
	"testing"
)

func TestTree(t *testing.T) {
	for name, fs := range map[string]FS{"os": OS(), "mem": NewMem()} {
		t.Run(name, func(t *testing.T) {
			dir := "d"
			if name == "os" {
				dir = t.TempDir()
			} else if err := errors.Join(fs.MkdirAll("d/e"), fs.SyncDir("."), fs.SyncDir("d")); err != nil {
				t.Fatal(err)
			}
			tree, err := OpenTree(fs, dir)
			if errors.Is(err, errors.ErrUnsupported) {
				t.Skip("unsupported here")
			}
			if err != nil {
				t.Fatal(err)
			}
			f, err := fs.Create(dir + "/f")
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := f.WriteAt([]byte("hello"), 0); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(tree.Sync(), fs.SyncDir(dir), tree.Close()); err != nil {
				t.Fatal(err)
			}
			if mem, ok := fs.(*Mem); ok {
				g, err := mem.CrashLosingAll().Open(dir + "/f")
				if err != nil {
					t.Fatal(err)
				}
				b := make([]byte, 5)
				if _, err := g.ReadAt(b, 0); err != nil || string(b) != "hello" {
					t.Fatalf("%q, %v", b, err)
				}
			}
		})
	}
}

func TestTreeOfAFault(t *testing.T) {
	fs := NewFault(NewMem())
	tree, err := OpenTree(fs, ".")
	if err != nil {
		t.Fatal(err)
	}
	fs.Add(Rule{Op: OpSync, Err: syscall.EIO, Times: 1})
	if err := tree.Sync(); !errors.Is(err, syscall.EIO) {
		t.Fatalf("got %v", err)
	}
	if err := tree.Sync(); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenTree(noTree{fs}, "."); !errors.Is(err, errors.ErrUnsupported) {
		t.Fatalf("got %v", err)
	}
}

// noTree hides the optional method.
type noTree struct{ FS }
