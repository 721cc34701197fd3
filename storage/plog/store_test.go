package plog

import (
	"context"
	"errors"
	"testing"

	"github.com/chroniklog/chronik/storage/vfs"
)

func TestAppendReadRestart(t *testing.T) {
	fs := vfs.NewMem()
	o := testOptions(t, fs)
	s := openStore(t, o)
	l := createLog(t, s, testID(1), Config{})
	f := newFeeder(l)
	for i := range 50 {
		f.add(rec(int64(i), "", value(i, i)))
		if i%7 == 0 {
			f.wait(t, int64(i+1))
		}
	}
	f.wait(t, 50)
	sameBatches(t, "live", readAll(t, l), f.model)
	if err := l.Truncate(context.Background(), 40); err != nil {
		t.Fatal(err)
	}
	f.rewind(40)
	if err := l.Trim(context.Background(), 10); err != nil {
		t.Fatal(err)
	}
	f.model = f.model[10:40]
	f.add(rec(1, "", "again"))
	f.wait(t, 41)
	sameBatches(t, "changed", readAll(t, l), f.model)
	s.Abort()

	o.FS = fs.Crash(1)
	s = openStore(t, o)
	l = createLog(t, s, testID(1), Config{})
	if l.StartOffset() != 10 || l.FlushedOffset() != 41 {
		t.Fatalf("start %d, flushed %d", l.StartOffset(), l.FlushedOffset())
	}
	sameBatches(t, "restarted", readAll(t, l), f.model)
	if _, err := l.Read(9, 41, 1); !errors.Is(err, ErrTrimmed) {
		t.Fatalf("got %v", err)
	}
	if _, err := l.Read(42, 43, 1); !errors.Is(err, ErrBeyondEnd) {
		t.Fatalf("got %v", err)
	}
}
