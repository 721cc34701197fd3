package plog

import (
	"context"
	"testing"

	"github.com/chroniklog/chronik/storage/vfs"
)

// The store's size is that of its logs: it grows by what is appended, whether
// that is in segments yet or not, is the same after a restart, and shrinks by a
// log that is deleted.
func TestStoreSize(t *testing.T) {
	fs := vfs.NewMem()
	o := testOptions(t, fs)
	s := openStore(t, o)
	if n := s.Size(); n != 0 {
		t.Errorf("an empty store has %d bytes", n)
	}
	var sizes [2]int64
	for i := range sizes {
		l := createLog(t, s, testID(byte(i+1)), Config{})
		f := newFeeder(l)
		for n := range 10 * (i + 1) {
			f.add(rec(int64(n), "", value(n, 1000)))
		}
		f.wait(t, int64(10*(i+1)))
		for _, b := range f.model {
			sizes[i] += int64(len(b))
		}
	}
	within := func(when string, appended int64) {
		t.Helper()
		if got := s.Size(); got < appended || got > appended+200 { // a segment has a header
			t.Errorf("%d bytes %s, %d were appended", got, when, appended)
		}
	}
	within("live", sizes[0]+sizes[1])
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, o)
	for i := range sizes {
		createLog(t, s, testID(byte(i+1)), Config{})
	}
	within("after a restart", sizes[0]+sizes[1])
	if err := s.Delete(context.Background(), testID(1)); err != nil {
		t.Fatal(err)
	}
	within("without the deleted log", sizes[1])
}
