package kv

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// Nobody but the compactor makes room in level 0: without it writes would wait
// for ever at its bound. What it merges is still there, also after a restart.
func TestTablesAreMerged(t *testing.T) {
	const table, value, keys = 8 << 20, 500 << 10, 280
	o := Options{Dir: t.TempDir(), MinFree: -1, memTable: table}
	d, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	go func() {
		for i := range keys {
			var b Batch
			b.Put(fmt.Appendf(nil, "k%d", i%(keys/2)), make([]byte, value+i))
			if err := d.Write(&b); err != nil {
				written <- err
				return
			}
		}
		written <- nil
	}()
	select {
	case err := <-written:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("writes wait")
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	var b Batch
	b.Put([]byte("k"), nil)
	if err := d.Write(&b); !errors.Is(err, ErrFailed) {
		t.Errorf("a write after the end: %v", err)
	}
	d = open(t, o)
	for deadline := time.Now().Add(time.Minute); d.db.Levels()[0].NumTables > level0Tables; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("an opened store does not merge: %+v", d.db.Levels())
		}
	}
	for i := range keys / 2 {
		got, err := d.Get(fmt.Appendf(nil, "k%d", i))
		if want := value + i + keys/2; err != nil || len(got) != want {
			t.Fatalf("key %d: %d bytes, want %d: %v", i, len(got), want, err)
		}
	}
}
