package kv

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/chroniklog/chronik/storage/vfs"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

func open(t *testing.T, o Options) *DB {
	t.Helper()
	d, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func put(t *testing.T, d *DB, pairs ...string) {
	t.Helper()
	var b Batch
	for i := 0; i < len(pairs); i += 2 {
		b.Put([]byte(pairs[i]), []byte(pairs[i+1]))
	}
	if err := d.Write(&b); err != nil {
		t.Fatal(err)
	}
}

func scan(t *testing.T, s *Snapshot, prefix, from string) string {
	t.Helper()
	var out []string
	var start []byte
	if from != "" {
		start = []byte(from)
	}
	err := s.Scan([]byte(prefix), start, func(k, v []byte) error {
		out = append(out, string(k)+"="+string(v))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(out, " ")
}

func TestStore(t *testing.T) {
	dir := t.TempDir()
	d, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	put(t, d, "a", "1", "b1", "2", "b2", "3", "c", "")
	before := d.Snapshot()
	var b Batch
	b.Put([]byte("b1"), []byte("x"))
	b.Put([]byte("b1"), []byte("y"))
	b.Delete([]byte("b2"))
	b.Delete([]byte("never"))
	b.Put([]byte("b3"), []byte("4"))
	if err := d.Write(&b); err != nil {
		t.Fatal(err)
	}
	if got := scan(t, before, "", ""); got != "a=1 b1=2 b2=3 c=" {
		t.Errorf("snapshot: %s", got)
	}
	before.Close()
	check := func(d *DB) {
		t.Helper()
		s := d.Snapshot()
		defer s.Close()
		if got := scan(t, s, "b", ""); got != "b1=y b3=4" {
			t.Errorf("prefix: %s", got)
		}
		if got := scan(t, s, "b", "b2"); got != "b3=4" {
			t.Errorf("from: %s", got)
		}
		if v, err := d.Get([]byte("c")); err != nil || len(v) != 0 {
			t.Errorf("empty value: %q, %v", v, err)
		}
		if _, err := d.Get([]byte("b2")); !errors.Is(err, ErrNotFound) {
			t.Errorf("deleted: %v", err)
		}
	}
	check(d)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	check(open(t, Options{Dir: dir}))
}

func TestBounds(t *testing.T) {
	d := open(t, Options{Dir: t.TempDir()})
	var b Batch
	b.Put([]byte("k"), make([]byte, MaxBatch))
	if err := d.Write(&b); !errors.Is(err, ErrTooLarge) {
		t.Errorf("large: %v", err)
	}
	b.Reset()
	for i := range MaxBatchKeys + 1 {
		b.Put(fmt.Append(nil, i), nil)
	}
	if err := d.Write(&b); !errors.Is(err, ErrTooLarge) {
		t.Errorf("many: %v", err)
	}
	// What is within the bounds is within Badger's.
	b.Reset()
	for i := range MaxBatchKeys {
		b.Put(fmt.Append(nil, i), make([]byte, MaxBatch/MaxBatchKeys-overhead-8))
	}
	if err := d.Write(&b); err != nil {
		t.Errorf("at the bounds (%d bytes): %v", b.Size(), err)
	}
	b.Reset()
	b.Put([]byte("x"), make([]byte, MaxValue))
	b.Put([]byte("y"), make([]byte, MaxValue))
	if err := d.Write(&b); err != nil {
		t.Errorf("two large values: %v", err)
	}
	vlogs, err := filepath.Glob(filepath.Join(d.dir, "*.vlog"))
	if err != nil || len(vlogs) != 1 {
		t.Errorf("value logs: %v, %v", vlogs, err)
	}
}

func TestDamagedTable(t *testing.T) {
	dir := t.TempDir()
	d, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		put(t, d, fmt.Sprintf("key-%d", i), strings.Repeat("v", 50))
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	whole, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := verifyTable(whole); err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(whole); at += 7 {
		bad := append([]byte(nil), whole...)
		bad[at] ^= 0x40
		if verifyTable(bad) == nil {
			t.Errorf("byte %d of %d is not covered", at, len(whole))
		}
	}
	whole[100] ^= 1
	if err := os.WriteFile(files[0], whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: dir}); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), files[0]) {
		t.Errorf("open: %v", err)
	}
}

func FuzzTable(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) { _ = verifyTable(b) })
}

func TestSeal(t *testing.T) {
	d := &DB{dir: "d"}
	key := []byte("key")
	b := seal(key, []byte("value"))
	if v, err := d.unseal(key, b); err != nil || string(v) != "value" {
		t.Fatalf("%q, %v", v, err)
	}
	for i := range b {
		b[i] ^= 8
		if _, err := d.unseal(key, b); !errors.Is(err, ErrCorrupt) {
			t.Errorf("byte %d: %v", i, err)
		}
		b[i] ^= 8
	}
	if _, err := d.unseal([]byte("other"), b); !errors.Is(err, ErrCorrupt) {
		t.Error("a value moved to another key is accepted")
	}
}

type smallDisk struct {
	vfs.FS
	free atomic.Int64
}

func (s *smallDisk) Free(string) (free, total int64, err error) { return s.free.Load(), 1 << 40, nil }

func TestDiskFull(t *testing.T) {
	disk := &smallDisk{FS: vfs.OS()}
	disk.free.Store(100 << 20)
	dir := t.TempDir()
	d := open(t, Options{Dir: dir, FS: disk, MinFree: 10 << 20, Ballast: 1 << 20})
	put(t, d, "a", "1")
	if info, err := os.Stat(filepath.Join(dir, ballastName)); err != nil || info.Size() != 1<<20 {
		t.Errorf("ballast: %v, %v", info, err)
	}
	disk.free.Store(10<<20 + 5)
	var b Batch
	b.Put([]byte("b"), nil)
	if err := d.Write(&b); !errors.Is(err, ErrDiskFull) {
		t.Errorf("write: %v", err)
	}
	if err := d.CheckSpace(1); err != nil {
		t.Errorf("one byte: %v", err)
	}
	if err := d.CheckSpace(6); !errors.Is(err, ErrDiskFull) {
		t.Errorf("six bytes: %v", err)
	}
	if v, err := d.Get([]byte("a")); err != nil || string(v) != "1" {
		t.Errorf("read: %q, %v", v, err)
	}
	disk.free.Store(100 << 20)
	put(t, d, "b", "2") // a refusal is not a failure
	if _, err := Open(Options{Dir: t.TempDir(), FS: disk, MinFree: 1 << 40}); !errors.Is(err, ErrDiskFull) {
		t.Errorf("open: %v", err)
	}
}

// TestFilesAreReserved: the files that are written through mmap have their
// blocks from the start.
func TestFilesAreReserved(t *testing.T) {
	dir := t.TempDir()
	d := open(t, Options{Dir: dir})
	put(t, d, "a", "1")
	for _, name := range []string{"*.mem", "*.vlog"} {
		files, err := filepath.Glob(filepath.Join(dir, name))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v", name, err)
		}
		for _, f := range files {
			size, blocks := usage(t, f)
			if blocks < size {
				t.Errorf("%s: %d of %d bytes are reserved", f, blocks, size)
			}
		}
	}
}
