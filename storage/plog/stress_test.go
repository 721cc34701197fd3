package plog

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chroniklog/chronik/storage/record"
	"github.com/chroniklog/chronik/storage/vfs"
)

// Appends, reads, trims, checkpoints and maintenance at once: what is read is
// always whole and in place.
func TestEverythingAtOnce(t *testing.T) {
	fs := vfs.NewMem()
	o := testOptions(t, fs)
	o.TailBytes, o.MaxOpenFiles, o.DirectBytes, o.WriteBehindBytes = 32<<10, 3, 6<<10, 16<<10
	o.CheckpointBytes, o.MaintenanceRate = 64<<10, -1
	s := openStore(t, o)
	ctx, cancel := context.WithTimeout(context.Background(), 700*time.Millisecond)
	defer cancel()
	var wg sync.WaitGroup
	var reads atomic.Int64
	for i := range 3 {
		cfg := Config{SegmentBytes: 20 << 10, Delete: true, RetentionBytes: 200 << 10}
		l := createLog(t, s, testID(byte(i+1)), cfg)
		f := newFeeder(l)
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 1))
			for ctx.Err() == nil {
				f.add(rec(1, "", value(1, rng.IntN(4000))))
				if rng.IntN(3) == 0 {
					f.wait(t, l.EndOffset())
					l.SetHighWatermark(l.FlushedOffset())
				}
				f.mu.Lock()
				f.model = nil
				f.mu.Unlock()
			}
		})
		for r := range 2 {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(uint64(i), uint64(r)))
				for ctx.Err() == nil {
					n, err := readSome(rng, l)
					if err != nil {
						t.Error(err)
						return
					}
					reads.Add(int64(n))
				}
			})
		}
	}
	for _, work := range []func() error{
		func() error { return s.Checkpoint(ctx) },
		func() error { return s.Maintain(ctx) },
		func() error {
			l, _ := s.Log(testID(1))
			return l.Trim(ctx, l.StartOffset()+(l.FlushedOffset()-l.StartOffset())/10)
		},
	} {
		wg.Go(func() {
			for ctx.Err() == nil {
				if err := work(); err != nil && ctx.Err() == nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if n := s.cached.Load(); n < 0 {
		t.Fatalf("the account of the tails is at %d", n)
	}
	if reads.Load() < 1<<20 {
		t.Fatalf("only %d bytes were read", reads.Load())
	}
}

// readSome reads from a random place, and checks what it gets.
func readSome(rng *rand.Rand, l *Log) (read int, err error) {
	start, end := l.StartOffset(), l.EndOffset()
	if start >= end {
		runtime.Gosched()
		return 0, nil
	}
	from := start + rng.Int64N(end-start)
	b, err := l.Read(from, end, 1+rng.IntN(20_000))
	if errors.Is(err, ErrTrimmed) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if len(b) == 0 {
		return 0, fmt.Errorf("nothing at %d, the end was %d", from, end)
	}
	for next := from; read < len(b); {
		one, _, err := record.Split(b[read:])
		if err == nil {
			err = record.CheckCRC(one)
		}
		if err != nil {
			return read, fmt.Errorf("at %d: %w", next, err)
		}
		h := mustHeader(one)
		if h.BaseOffset > next || h.NextOffset() <= next {
			return read, fmt.Errorf("batch %d to %d at %d", h.BaseOffset, h.LastOffset(), next)
		}
		next = h.NextOffset()
		read += len(one)
	}
	return read, nil
}

// Compaction is cut off at any moment: the table that the log stands for stays.
func TestCompactionCrashes(t *testing.T) {
	passes := int64(0)
	for seed := range uint64(25) {
		passes += crashCompaction(t, seed)
	}
	if passes < 20 {
		t.Fatalf("%d passes of compaction: nothing was tested", passes)
	}
}

// crashCompaction returns how many passes there were.
func crashCompaction(t *testing.T, seed uint64) int64 {
	var passes atomic.Int64
	cfg := Config{SegmentBytes: 2500, Compact: true, DeleteRetention: time.Hour, MinDirtyRatio: 0.01}
	rng := rand.New(rand.NewPCG(seed, 5))
	k := newKit(t, cfg)
	k.s.Abort()
	k.o.Metrics = &Metrics{Compacted: func(_, _ int64) { passes.Add(1) }}
	k.o.CompactionMemory, k.o.TailBytes = 700, []int64{1, 1 << 20}[rng.IntN(2)]
	if seed%2 == 1 {
		k.o.DirectBytes = 1
	}
	want := map[string]string{}
	k.p = newPauser(seed, []float64{0, 0.1}[rng.IntN(2)])
	k.open(cfg)
	for range 5 {
		for range 20 + rng.IntN(60) {
			key := fmt.Sprint("k", rng.IntN(12))
			if rng.IntN(10) == 0 {
				k.add(tomb(k.ms(), key))
				want[key] = ""
			} else {
				v := value(rng.IntN(1e6), rng.IntN(200))
				k.add(rec(k.ms(), key, v))
				want[key] = v
			}
		}
		if rng.IntN(3) == 0 {
			k.checkpoint()
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = k.s.Maintain(context.Background()) // the crash may cut it off
		}()
		k.p.moved(rng.Int64N(200)) // let it get somewhere
		if rng.IntN(3) == 0 {
			<-done
		}
		disk := k.fs.Crash(rng.Uint64())
		k.s.Abort()
		<-done
		k.fs = disk
		k.open(cfg)
		k.l.SetHighWatermark(k.l.EndOffset())
		if got, _ := table(t, k.l); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("seed %d:\n%v\n%v\n%s", seed, got, want, describe(disk, k.o))
		}
	}
	k.s.Abort()
	return passes.Load()
}

// Trims and truncations of a log whose start is within a batch.
func TestMidBatch(t *testing.T) {
	k := newKit(t, Config{})
	ctx := context.Background()
	k.add(rec(1, "", "a"), rec(2, "", "b"), rec(3, "", "c"))
	k.add(rec(4, "", "d"), rec(5, "", "e"))
	k.checkpoint()
	if err := k.l.Trim(ctx, 1); err != nil {
		t.Fatal(err)
	}
	if b, err := k.l.Read(1, 5, 1); err != nil || mustHeader(b).BaseOffset != 0 {
		t.Fatalf("%x, %v", b, err)
	}
	if offset, ts, ok, err := k.l.OffsetForTime(0, 5); !ok || err != nil || offset != 1 || ts != 2 {
		t.Fatalf("offset %d, time %d, %v, %v: the trimmed record was found", offset, ts, ok, err)
	}
	if err := k.l.Truncate(ctx, 4); err != nil {
		t.Fatal(err)
	}
	if end := k.l.EndOffset(); end != 3 {
		t.Fatalf("the log ends at %d: a batch isn't cut in two", end)
	}
	if err := k.l.Truncate(ctx, 2); err != nil {
		t.Fatal(err)
	}
	if start, end := k.l.StartOffset(), k.l.EndOffset(); start != 1 || end != 1 {
		t.Fatalf("start %d, end %d", start, end)
	}
	k.f.rewind(1)
	k.add(rec(9, "", "z"))
	k.crash(4, Config{})
	if start, end := k.l.StartOffset(), k.l.EndOffset(); start != 1 || end != 2 {
		t.Fatalf("after a crash: start %d, end %d", start, end)
	}
	if err := k.l.Truncate(ctx, 0); !errors.Is(err, ErrTrimmed) {
		t.Fatalf("got %v", err)
	}
	if err := k.l.Trim(ctx, 3); !errors.Is(err, ErrBeyondEnd) {
		t.Fatalf("got %v", err)
	}
}

func TestTimes(t *testing.T) {
	k := newKit(t, Config{SegmentBytes: 40 << 10})
	for i := range 100 {
		k.add(rec(int64(i*10), "", value(i, 2000)), rec(int64(i*10+5), "", "x"))
	}
	check := func() {
		t.Helper()
		for _, c := range []struct{ ts, limit, offset, found int64 }{
			{0, 200, 0, 0}, {1, 200, 1, 5}, {500, 200, 100, 500}, {501, 200, 101, 505}, {995, 200, 199, 995}, {996, 200, -1, 0},
			{500, 100, -1, 0}, {500, 102, 100, 500},
		} {
			offset, ts, ok, err := k.l.OffsetForTime(c.ts, c.limit)
			if err != nil || ok != (c.offset >= 0) || ok && (offset != c.offset || ts != c.found) {
				t.Fatalf("time %d below %d: offset %d, time %d, %v, %v", c.ts, c.limit, offset, ts, ok, err)
			}
		}
		for _, c := range []struct{ limit, offset int64 }{{200, 199}, {100, 99}, {101, 99}, {2, 1}, {1, -1}} {
			offset, _, ok, err := k.l.MaxTimestamp(c.limit)
			if err != nil || ok != (c.offset >= 0) || ok && offset != c.offset {
				t.Fatalf("highest below %d: offset %d, %v, %v", c.limit, offset, ok, err)
			}
		}
	}
	check()
	k.checkpoint()
	check()
	k.crash(2, Config{SegmentBytes: 40 << 10})
	check()
	// The highest timestamp goes with a trim, though its segment stays.
	k.add(rec(9999, "", "high"))
	k.add(rec(7, "", "low"), rec(8, "", "lower"))
	if err := k.l.Trim(context.Background(), 202); err != nil {
		t.Fatal(err)
	}
	if offset, ts, ok, err := k.l.MaxTimestamp(203); err != nil || !ok || offset != 202 || ts != 8 {
		t.Fatalf("offset %d, time %d, %v, %v", offset, ts, ok, err)
	}
}

func TestEpochs(t *testing.T) {
	k := newKit(t, Config{})
	for i, e := range []int32{2, 2, 5, 7, 7} {
		k.f.epoch = e
		k.add(rec(int64(i), "", "x"))
	}
	check := func(want ...[3]int64) {
		t.Helper()
		for _, w := range want {
			if found, end := k.l.EpochEnd(int32(w[0])); int64(found) != w[1] || end != w[2] {
				t.Errorf("epoch %d: found %d, end %d, want %d, %d", w[0], found, end, w[1], w[2])
			}
		}
	}
	at := func(want ...int32) {
		t.Helper()
		for offset, epoch := range want {
			if found := k.l.EpochAt(int64(offset)); found != epoch {
				t.Errorf("offset %d is of epoch %d, want %d", offset, found, epoch)
			}
		}
	}
	at(2, 2, 5, 7, 7, -1)
	all := [][3]int64{{0, 0, 0}, {2, 2, 2}, {3, 2, 2}, {5, 5, 3}, {6, 5, 3}, {7, 7, 5}, {8, -1, -1}, {-1, -1, -1}}
	check(all...)
	k.checkpoint()
	k.crash(1, Config{})
	check(all...)
	if err := k.l.Truncate(context.Background(), 3); err != nil {
		t.Fatal(err)
	}
	check([3]int64{5, 5, 3}, [3]int64{7, -1, -1})
	if err := k.l.Trim(context.Background(), 2); err != nil {
		t.Fatal(err)
	}
	k.crash(2, Config{})
	check([3]int64{2, 2, 2}, [3]int64{5, 5, 3}, [3]int64{7, -1, -1})
	at(-1, -1, 5, -1)
	if e := k.l.LastEpoch(); e != 5 {
		t.Errorf("last epoch %d", e)
	}
	if err := k.l.Trim(context.Background(), 3); err != nil {
		t.Fatal(err)
	}
	k.checkpoint()
	k.crash(3, Config{})
	if e := k.l.LastEpoch(); e != 5 {
		t.Errorf("last epoch %d of an empty log", e)
	}
	if err := k.l.Reset(context.Background(), 50); err != nil {
		t.Fatal(err)
	}
	check([3]int64{5, -1, -1})
}
