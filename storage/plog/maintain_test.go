package plog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/chroniklog/chronik/storage/record"
	"github.com/chroniklog/chronik/storage/vfs"
)

// clocks are a wall clock and a monotonic one, moved by hand.
type clocks struct {
	mu   sync.Mutex
	wall time.Time
	mono time.Duration
}

func newClocks() *clocks { return &clocks{wall: time.UnixMilli(1_000_000_000_000)} }

func (c *clocks) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wall
}

func (c *clocks) monotonic() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mono
}

// pass lets time pass.
func (c *clocks) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall, c.mono = c.wall.Add(d), c.mono+d
}

// jump sets the wall clock.
func (c *clocks) jump(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall = c.wall.Add(d)
}

// kit is a store with its clocks, and one log.
type kit struct {
	t  *testing.T
	fs *vfs.Mem
	o  Options
	ck *clocks
	p  *pauser // nil: none
	s  *Store
	l  *Log
	f  *feeder
}

func newKit(t *testing.T, cfg Config, tune ...func(*Options)) *kit {
	k := &kit{t: t, fs: vfs.NewMem(), ck: newClocks()}
	k.o = testOptions(t, k.fs)
	k.o.Now, k.o.Monotonic, k.o.MaintenanceRate = k.ck.now, k.ck.monotonic, -1
	k.o.TailBytes = 1 // all reads go to segments once they are written
	for _, f := range tune {
		f(&k.o)
	}
	k.open(cfg)
	return k
}

func (k *kit) open(cfg Config) {
	k.o.FS = k.fs
	if k.p != nil {
		k.o.FS, k.o.pause = k.p.over(k.fs), k.p.pause
	}
	var err error
	if k.s, err = Open(context.Background(), k.o); err != nil {
		k.t.Fatalf("%v\n%s", err, describe(k.fs, k.o))
	}
	if k.p == nil { // else it is aborted by who crashes it
		k.t.Cleanup(k.s.Abort)
	}
	k.l = createLog(k.t, k.s, testID(1), cfg)
	k.f = newFeeder(k.l)
}

// crash opens what a power loss leaves.
func (k *kit) crash(seed uint64, cfg Config) {
	k.t.Helper()
	disk := k.fs.Crash(seed)
	k.s.Abort()
	k.fs = disk
	k.open(cfg)
}

func (k *kit) add(recs ...record.Record) {
	k.t.Helper()
	end := k.l.EndOffset() + int64(len(recs))
	k.f.add(recs...)
	k.f.wait(k.t, end)
	k.l.SetHighWatermark(end)
}

func (k *kit) checkpoint() {
	k.t.Helper()
	if err := k.s.Checkpoint(context.Background()); err != nil {
		k.t.Fatal(err)
	}
}

func (k *kit) maintain() {
	k.t.Helper()
	if err := k.s.Maintain(context.Background()); err != nil {
		k.t.Fatal(err)
	}
}

func (k *kit) ms() int64 { return k.ck.now().UnixMilli() }

func TestRetentionByTime(t *testing.T) {
	k := newKit(t, Config{SegmentBytes: 1100, Delete: true, Retention: time.Hour})
	for range 10 {
		k.add(rec(k.ms(), "", value(1, 400)))
		k.ck.pass(10 * time.Minute)
	}
	k.maintain()
	// The records are 100, 90, … 10 minutes old, two in a segment.
	if start := k.l.StartOffset(); start != 4 {
		t.Fatalf("the log starts at %d", start)
	}
	if _, err := k.l.Read(3, 10, 1); !errors.Is(err, ErrTrimmed) {
		t.Fatalf("got %v", err)
	}
	infos, _ := k.fs.ReadDir("data/logs/1")
	if len(infos) > 4 {
		t.Fatalf("files were not removed: %v", infos)
	}
	k.ck.pass(24 * time.Hour)
	k.maintain()
	if start, end := k.l.StartOffset(), k.l.EndOffset(); start != 10 || end != 10 || len(k.l.Segments()) != 0 {
		t.Fatalf("start %d, end %d, segments %v: an idle log keeps what has expired", start, end, k.l.Segments())
	}
	k.crash(1, Config{})
	if start, end := k.l.StartOffset(), k.l.EndOffset(); start != 10 || end != 10 {
		t.Fatalf("after a crash: start %d, end %d", start, end)
	}
	k.add(rec(k.ms(), "", "next"))
	if b, err := k.l.Read(10, 11, 100); err != nil || len(b) == 0 {
		t.Fatalf("%v, %v", b, err)
	}
}

func TestRetentionStaysBelowTheWatermark(t *testing.T) {
	k := newKit(t, Config{SegmentBytes: 1100, Delete: true, Retention: time.Hour})
	for range 10 {
		k.add(rec(k.ms(), "", value(1, 400)))
	}
	k.l.SetHighWatermark(5)
	k.ck.pass(24 * time.Hour)
	k.maintain()
	if start := k.l.StartOffset(); start != 4 {
		t.Fatalf("the log starts at %d, the watermark is 5", start)
	}
}

func TestRetentionByBytes(t *testing.T) {
	k := newKit(t, Config{SegmentBytes: 1100, Delete: true, RetentionBytes: 2000})
	for range 20 {
		k.add(rec(k.ms(), "", value(1, 400)))
	}
	k.maintain()
	if start := k.l.StartOffset(); start != 16 {
		t.Fatalf("the log starts at %d with %d bytes in %v", start, k.l.Size(), k.l.Segments())
	}
	if k.l.Size() < 1900 {
		t.Fatalf("%d bytes are left, 2000 were to stay", k.l.Size())
	}
}

// A wall clock that jumps ahead by days deletes nothing early.
func TestRetentionClock(t *testing.T) {
	cfg := Config{SegmentBytes: 1100, Delete: true, Retention: time.Hour}
	k := newKit(t, cfg)
	k.maintain()
	for range 6 {
		k.add(rec(k.ms(), "", value(1, 400)))
	}
	k.checkpoint()
	k.ck.jump(72 * time.Hour)
	k.ck.pass(10 * time.Minute)
	k.maintain()
	if start := k.l.StartOffset(); start != 0 {
		t.Fatalf("a jump of the clock moved the start to %d", start)
	}
	k.ck.jump(-72 * time.Hour)
	k.ck.pass(40 * time.Minute)
	k.maintain()
	if start := k.l.StartOffset(); start != 0 {
		t.Fatalf("50 minutes moved the start to %d", start)
	}
	k.ck.pass(20 * time.Minute)
	k.maintain()
	if start := k.l.StartOffset(); start != 6 {
		t.Fatalf("after 70 minutes the start is %d", start)
	}
	// A jump that stays is caught up with, in as much time as it was.
	k.add(rec(k.ms(), "", "x"))
	k.ck.jump(10 * time.Hour)
	for range 10 {
		k.ck.pass(time.Hour)
		k.maintain()
	}
	if lag := k.ms() - k.s.clock.Load(); lag > time.Minute.Milliseconds() {
		t.Fatalf("the clock lags %d ms", lag)
	}
}

func TestSegmentAge(t *testing.T) {
	k := newKit(t, Config{SegmentAge: time.Hour})
	k.add(rec(k.ms(), "", "a"))
	k.checkpoint()
	k.maintain()
	if segs := k.l.Segments(); len(segs) != 1 || segs[0].Sealed {
		t.Fatalf("%+v", segs)
	}
	k.ck.pass(2 * time.Hour)
	k.maintain()
	k.add(rec(k.ms(), "", "b"))
	k.checkpoint()
	if segs := k.l.Segments(); len(segs) != 2 || !segs[0].Sealed || segs[1].Base != 1 {
		t.Fatalf("%+v", segs)
	}
}

// table reads a log as a table: the last value of each key, "" for a tombstone.
func table(t *testing.T, l *Log) (last map[string]string, records int) {
	t.Helper()
	last = map[string]string{}
	var r record.Reader
	offset := int64(-1)
	err := l.Scan(context.Background(), l.StartOffset(), func(b []byte, h record.Header) error {
		if h.BaseOffset <= offset {
			return fmt.Errorf("offset %d after %d", h.BaseOffset, offset)
		}
		if _, err := r.Reset(b, 1<<20); err != nil {
			return err
		}
		var x record.Record
		for r.Next(&x) {
			if x.Offset <= offset {
				return fmt.Errorf("offset %d after %d", x.Offset, offset)
			}
			offset = x.Offset
			records++
			last[string(x.Key)] = string(x.Value)
		}
		offset = max(offset, h.LastOffset())
		return r.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	return last, records
}

func tomb(ts int64, key string) record.Record { return record.Record{Timestamp: ts, Key: []byte(key)} }

func TestCompaction(t *testing.T) {
	for _, memory := range []int64{1, 300, 1 << 20} {
		t.Run(fmt.Sprint(memory), func(t *testing.T) { testCompaction(t, memory) })
	}
}

func testCompaction(t *testing.T, memory int64) {
	cfg := Config{SegmentBytes: 2000, Compact: true, DeleteRetention: time.Hour, MinDirtyRatio: 0.01}
	k := newKit(t, cfg)
	k.s.opts.CompactionMemory, k.o.CompactionMemory = memory, memory
	for i := range 200 {
		k.add(rec(k.ms(), fmt.Sprint("k", i%7), value(i, 50)), rec(k.ms(), fmt.Sprint("once", i/20), value(i, 10)))
	}
	k.add(tomb(k.ms(), "k3"))
	for i := range 40 {
		k.add(rec(k.ms(), "filler", value(i, 100)))
	}
	k.checkpoint()
	want, before := table(t, k.l)
	size := k.l.Size()
	k.maintain()
	got, after := table(t, k.l)
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("compaction changed the table:\n%v\n%v", got, want)
	}
	if after > 70 || k.l.Size() > size/2 {
		t.Fatalf("%d of %d records are left, %d of %d bytes", after, before, k.l.Size(), size)
	}
	if _, ok := got["k3"]; !ok {
		t.Fatal("the tombstone is gone too early")
	}
	for seed := range uint64(3) {
		k.crash(seed, cfg)
		if again, n := table(t, k.l); fmt.Sprint(again) != fmt.Sprint(want) || n != after {
			t.Fatalf("after a crash: %d records, %v", n, again)
		}
	}
	// A hole is no end: a read from within it finds the next batch.
	for from := int64(0); from < k.l.EndOffset(); from += 7 {
		if b, err := k.l.Read(from, k.l.EndOffset(), 1); err != nil || len(b) == 0 {
			t.Fatalf("read from %d: %d bytes, %v", from, len(b), err)
		}
	}
	k.ck.pass(2 * time.Hour)
	k.maintain()
	delete(want, "k3")
	if got, _ := table(t, k.l); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("after delete.retention:\n%v\n%v", got, want)
	}
	infos, _ := k.fs.ReadDir("data/logs/1")
	if n := len(k.l.Segments()); len(infos) > 2*n {
		t.Fatalf("%d files for %d segments", len(infos), n)
	}
}

// What compaction has removed can't be read from memory either.
func TestCompactionOfWhatIsInMemory(t *testing.T) {
	cfg := Config{SegmentBytes: 1200, Compact: true, MinDirtyRatio: 0.01}
	k := newKit(t, cfg, func(o *Options) { o.TailBytes = 1 << 20 })
	for i := range 20 {
		k.add(rec(k.ms(), "k", value(i, 300)))
	}
	k.checkpoint()
	before := k.s.cached.Load()
	k.maintain()
	if _, records := table(t, k.l); records > 4 { // in the active segment
		t.Fatalf("%d records can be read, the segments are %+v", records, k.l.Segments())
	}
	if after := k.s.cached.Load(); after <= 0 || after > before/4 {
		t.Fatalf("the account of the tails was %d and is %d", before, after)
	}
	k.add(rec(k.ms(), "k", "last"))
	if got, _ := table(t, k.l); got["k"] != "last" {
		t.Fatalf("got %v", got)
	}
	k.crash(1, cfg)
	if got, records := table(t, k.l); got["k"] != "last" || records > 5 {
		t.Fatalf("after a crash: %d records, %v", records, got)
	}
}

func TestCompactionKeepsBatches(t *testing.T) {
	k := newKit(t, Config{SegmentBytes: 1500, Compact: true, MinDirtyRatio: 0.01})
	b := record.NewBuilder(record.CodecLZ4)
	put := func(fill func()) {
		b.Reset(k.l.EndOffset(), 5)
		fill()
		batch := b.Build(nil)
		h, _ := record.ParseHeader(batch)
		k.l.Append(batch, h)
		k.l.MarkDirty()
		k.f.wait(t, h.NextOffset())
		k.l.SetHighWatermark(h.NextOffset())
	}
	put(func() {
		b.SetProducer(77, 3, 1000)
		for i := range 10 {
			headers := []record.HeaderKV{{Key: "h", Value: []byte("v")}}
			b.Append(int64(100+i), fmt.Append(nil, "k", i%2), []byte(value(i, 100)), headers)
		}
	})
	fence := record.FenceControl("token", 200)
	record.Place(fence, k.l.EndOffset(), 5)
	h, _ := record.ParseHeader(fence)
	k.l.Append(fence, h)
	for i := range 30 {
		k.add(rec(300, "k0", value(i, 100)))
	}
	k.checkpoint()
	k.maintain()
	all, err := k.l.Read(0, 11, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	first, rest, err := record.Split(all)
	if err != nil {
		t.Fatal(err)
	}
	h, err = record.ParseHeader(first)
	if err != nil || record.CheckCRC(first) != nil {
		t.Fatal(err, record.CheckCRC(first))
	}
	if h.BaseOffset != 0 || h.LastOffset() != 9 || h.ProducerID != 77 || h.ProducerEpoch != 3 || h.BaseSequence != 1000 ||
		h.LeaderEpoch != 5 || h.Codec() != record.CodecLZ4 || h.Count != 1 {
		t.Fatalf("the batch was rewritten to %+v", h)
	}
	var r record.Reader
	var x record.Record
	if _, err := r.Reset(first, 1<<20); err != nil || !r.Next(&x) || x.Offset != 9 || string(x.Key) != "k1" ||
		x.Timestamp != 109 || len(x.Headers) != 1 {
		t.Fatalf("%+v, %v", x, err)
	}
	if len(rest) != len(fence) {
		t.Fatalf("the control batch has %d bytes, it had %d", len(rest), len(fence))
	}
	if found, end := k.l.EpochEnd(4); found != 4 || end != 0 {
		t.Fatalf("epoch 4 ended at %d (%d)", end, found)
	}
}

// Compaction stays below the watermark, and out of what is younger than the lag.
func TestCompactionBounds(t *testing.T) {
	k := newKit(t, Config{SegmentBytes: 1000, Compact: true, MinDirtyRatio: 0.01, MinCompactionLag: time.Hour})
	for i := range 40 {
		k.add(rec(k.ms(), "k", value(i, 100)))
	}
	k.checkpoint()
	k.maintain()
	if _, n := table(t, k.l); n != 40 {
		t.Fatalf("%d records are left: they were too young", n)
	}
	k.ck.pass(2 * time.Hour)
	k.l.SetHighWatermark(10)
	k.maintain()
	if _, n := table(t, k.l); n < 31 || n == 40 {
		t.Fatalf("%d records are left, the watermark was 10", n)
	}
}

// What is older than the longest lag is compacted, however little of the log
// that is, and the active segment too.
func TestCompactionInTime(t *testing.T) {
	k := newKit(t, Config{SegmentBytes: 4000, Compact: true, MinDirtyRatio: 0.9, MaxCompactionLag: time.Hour})
	k.add(rec(k.ms(), "k", value(0, 100)), rec(k.ms(), "k", value(1, 100)))
	k.checkpoint()
	k.maintain()
	if _, n := table(t, k.l); n != 2 {
		t.Fatalf("%d records are left: it was too early, and the segment is active", n)
	}
	k.ck.pass(2 * time.Hour)
	k.maintain()
	k.checkpoint()
	k.maintain()
	if _, n := table(t, k.l); n != 1 {
		t.Fatalf("%d records are left of one key", n)
	}
	k.add(rec(k.ms(), "k", value(2, 100)))
	k.checkpoint()
	k.maintain()
	k.ck.pass(30 * time.Minute)
	k.maintain()
	if _, n := table(t, k.l); n != 2 {
		t.Fatalf("%d records are left: the new one is young", n)
	}
	k.ck.pass(time.Hour)
	k.maintain()
	k.checkpoint()
	k.maintain()
	if _, n := table(t, k.l); n != 1 {
		t.Fatalf("%d records are left of one key", n)
	}
}

func TestScrub(t *testing.T) {
	k := newKit(t, Config{SegmentBytes: 2000})
	var found []error
	k.s.opts.OnCorrupt = func(_ ID, err error) { found = append(found, err) }
	for i := range 30 {
		k.add(rec(1, "", value(i, 300)))
	}
	k.checkpoint()
	if err := k.s.Scrub(context.Background()); err != nil || len(found) > 0 {
		t.Fatalf("%v %v", err, found)
	}
	name := k.l.segs[1].Name
	if err := k.fs.FlipBit(name, 700); err != nil {
		t.Fatal(err)
	}
	if err := k.s.Scrub(context.Background()); !errors.Is(err, ErrCorrupt) || len(found) != 1 {
		t.Fatalf("got %v, reported %v", err, found)
	}
	base := k.l.Segments()[1].Base
	if _, err := k.l.Read(base, k.l.EndOffset(), 1<<20); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("a read of the damaged segment gives %v", err)
	}
	if _, err := k.l.Read(0, base, 1<<20); err != nil {
		t.Fatal(err)
	}
	k.ck.pass(30 * 24 * time.Hour)
	if err := k.s.Maintain(context.Background()); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("the pass of maintenance that was due gives %v", err)
	}
	k.ck.pass(time.Hour)
	if err := k.s.Maintain(context.Background()); err != nil {
		t.Fatalf("what was scrubbed an hour ago is not due: %v", err)
	}
}
