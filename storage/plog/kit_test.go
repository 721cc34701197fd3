package plog

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/chroniklog/chronik/storage/record"
	"github.com/chroniklog/chronik/storage/vfs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// feeder is an owner that appends what it is given, when a cycle asks for it.
type feeder struct {
	l *Log

	mu      sync.Mutex
	staged  [][]record.Record
	epoch   int32
	flushed int64
	changed chan struct{} // closed when flushed or failed change
	failed  error
	cycles  []Cycle
	model   [][]byte // every batch, by order
}

func newFeeder(l *Log) *feeder {
	f := &feeder{l: l, flushed: l.FlushedOffset(), changed: make(chan struct{})}
	l.Bind(f)
	return f
}

func (f *feeder) add(recs ...record.Record) {
	f.mu.Lock()
	f.staged = append(f.staged, recs)
	f.mu.Unlock()
	f.l.MarkDirty()
}

func (f *feeder) Seal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, recs := range f.staged {
		b := makeBatch(f.l.EndOffset(), f.epoch, recs...)
		h, err := record.ParseHeader(b)
		if err != nil {
			panic(err)
		}
		f.model = append(f.model, bytes.Clone(b))
		f.l.Append(b, h)
	}
	f.staged = nil
}

func (f *feeder) Flushed(end int64, c *Cycle) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.flushed = max(f.flushed, end)
	f.cycles = append(f.cycles, *c)
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *feeder) Failed(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failed = err
	close(f.changed)
	f.changed = make(chan struct{})
}

// rewind takes a truncation or a reset.
func (f *feeder) rewind(to int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.flushed = to
}

// wait waits until the log is flushed up to end.
func (f *feeder) wait(t testing.TB, end int64) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		f.mu.Lock()
		flushed, failed, changed := max(f.flushed, f.l.FlushedOffset()), f.failed, f.changed
		f.mu.Unlock()
		if failed != nil {
			t.Fatalf("owner failed: %v", failed)
		}
		if flushed >= end {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("flushed %d, waited for %d", flushed, end)
		}
	}
}

func makeBatch(base int64, epoch int32, recs ...record.Record) []byte {
	b := record.NewBuilder(record.CodecNone)
	b.Reset(base, epoch)
	for _, r := range recs {
		b.Append(r.Timestamp, r.Key, r.Value, r.Headers)
	}
	return b.Build(nil)
}

func rec(ts int64, key, value string) record.Record {
	r := record.Record{Timestamp: ts, Value: []byte(value)}
	if key != "" {
		r.Key = []byte(key)
	}
	return r
}

func testID(n byte) ID { return ID{Topic: [16]byte{n, 15: n}, Partition: int32(n)} }

func testOptions(t testing.TB, fs vfs.FS) Options {
	return Options{
		FS: fs, Dir: "data", JournalFileBytes: 256 << 10, MaintenanceInterval: -1, ReserveBytes: -1,
		Fatal: func(err error) { t.Errorf("fatal: %v", err) },
	}
}

func openStore(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Abort)
	return s
}

func createLog(t testing.TB, s *Store, id ID, cfg Config) *Log {
	t.Helper()
	l, err := s.Create(id, cfg, 1)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// readAll reads a log from its start to its end, a little at a time, and
// checks that the batches follow each other.
func readAll(t testing.TB, l *Log) [][]byte {
	t.Helper()
	var all [][]byte
	next := int64(-1)
	for from := l.StartOffset(); from < l.EndOffset(); from = next {
		b, err := l.Read(from, l.EndOffset(), 1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) == 0 {
			t.Fatalf("nothing at %d, the end is %d", from, l.EndOffset())
		}
		for len(b) > 0 {
			one, rest, err := record.Split(b)
			if err == nil {
				err = record.CheckCRC(one)
			}
			if err != nil {
				t.Fatalf("at %d: %v", from, err)
			}
			h, _ := record.ParseHeader(one)
			if next >= 0 && h.BaseOffset != next {
				t.Fatalf("log %s: batch at %d, want %d; segments %+v, end %d",
					l.id, h.BaseOffset, next, l.Segments(), l.EndOffset())
			}
			next = h.NextOffset()
			all, b = append(all, one), rest
		}
	}
	return all
}

func sameBatches(t testing.TB, what string, got, want [][]byte) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d batches, want %d", what, len(got), len(want))
	}
	for i := range got {
		if !bytes.Equal(got[i], want[i]) {
			t.Fatalf("%s: batch %d differs:\n%x\n%x", what, i, got[i], want[i])
		}
	}
}

func value(n, size int) string {
	s := fmt.Sprintf("%d-", n)
	return s + strings.Repeat("x", max(0, size-len(s)))
}

func mustHeader(b []byte) record.Header {
	h, err := record.ParseHeader(b)
	if err != nil {
		panic(err)
	}
	return h
}
