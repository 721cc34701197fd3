package replica

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/storage/record"
	"github.com/chroniklog/chronik/storage/vfs"
)

func compacted(keys int) func(*Options) {
	return func(o *Options) {
		o.Config = partition.DefaultConfig()
		o.Config.Compact = true
		o.Limits.Keys = keys
	}
}

func kv(key string, value *string) partition.RecordAppend {
	a := rec("")
	a.Key, a.Value = []byte(key), nil
	if value != nil {
		a.Value = []byte(*value)
	}
	return a
}

func TestKeysOfPlainTopics(t *testing.T) {
	b := lead(t, nil)
	if _, _, err := b.r.Key(context.Background(), []byte("k")); !errors.Is(err, partition.ErrNotCompacted) {
		t.Errorf("key: %v", err)
	}
	c := lead(t, compacted(0))
	if _, err := c.r.BeginRecord(rec("no key")); !errors.Is(err, record.ErrNullKey) {
		t.Errorf("null key: %v", err)
	}
}

// TestKeysMatchTheModel writes and looks up random keys, with an index that
// holds fewer of them than there are, and compares with a plain map.
func TestKeysMatchTheModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := lead(t, compacted(rapid.IntRange(2, 4).Draw(rt, "keys")))
		ctx := context.Background()
		staged, settled := map[string]int64{}, map[string]int64{} // last write; negative: a tombstone
		for range rapid.IntRange(1, 50).Draw(rt, "steps") {
			key := fmt.Sprintf("k%d", rapid.IntRange(0, 7).Draw(rt, "key"))
			switch rapid.IntRange(0, 5).Draw(rt, "what") {
			case 0:
				b.log.cycle()
				for k, v := range staged {
					settled[k] = v
				}
			case 1:
				at, live, err := b.r.Key(ctx, []byte(key))
				if errors.Is(err, partition.ErrThrottled) {
					continue
				}
				if err != nil {
					rt.Fatalf("key %s: %v", key, err)
				}
				checkKey(rt, settled, key, at, live)
			default:
				b.write(rt, key, staged)
			}
			// A look-up waits for the watermark to pass what was staged when
			// the index was begun, so don't leave that to chance.
			if !b.r.keys.active.Load() {
				b.log.cycle()
				for k, v := range staged {
					settled[k] = v
				}
			}
		}
		_ = b.r.Close(canceled())
	})
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func checkKey(rt *rapid.T, settled map[string]int64, key string, at int64, live bool) {
	want, ok := settled[key]
	switch {
	case ok && want >= 0 && (at != want || !live),
		ok && want < 0 && (at != -want-1 || live),
		!ok && at != partition.NoOffset:
		rt.Fatalf("key %s: offset %d live %v, want %d", key, at, live, want)
	}
}

// write puts a key under a condition that holds or not, by record or by batch.
func (b *bench) write(rt *rapid.T, key string, staged map[string]int64) {
	end := b.r.Offsets().LogEnd
	tombstone := rapid.IntRange(0, 3).Draw(rt, "tombstone") == 0
	note := func() {
		staged[key] = end
		if tombstone {
			staged[key] = -end - 1
		}
	}
	value := "v"
	a := kv(key, &value)
	if tombstone {
		a.Value = nil
	}
	last, written := staged[key]
	live := written && last >= 0
	holds := true
	switch rapid.IntRange(0, 3).Draw(rt, "condition") {
	case 0:
		a.Cond.IfKeyAbsent, holds = true, !live
	case 1:
		a.Cond.IfKeyOffset = max(0, last)
		holds = live && last == a.Cond.IfKeyOffset
	case 2:
		rb := record.NewBuilder(record.CodecNone)
		rb.Append(1, a.Key, a.Value, nil)
		client := partition.BatchAppend{Batch: rb.Build(nil), Acks: a.Acks, Cond: partition.NoConditions}
		client.Header, _ = record.ParseHeader(client.Batch)
		if _, err := b.r.BeginBatch(client); err == nil {
			note()
		} else if !errors.Is(err, partition.ErrThrottled) {
			rt.Fatalf("batch: %v", err)
		}
		return
	}
	p, err := b.r.BeginRecord(a)
	switch {
	case errors.Is(err, partition.ErrThrottled):
		return
	case err == nil && p.err != nil:
		err = p.err
	}
	if holds != (err == nil) || err != nil && !errors.Is(err, partition.ErrKeyPrecondition) {
		rt.Fatalf("write of %s at %d, %+v: %v; its last write is %d", key, end, a.Cond, err, last)
	}
	if err == nil {
		note()
	}
}

func TestColdKeyIsFoundInTheLog(t *testing.T) {
	b := lead(t, compacted(3))
	v := "v"
	for i := range 20 {
		b.put(kv(fmt.Sprintf("k%d", i), &v))
	}
	ctx := context.Background()
	if at, live, err := b.r.Key(ctx, []byte("k19")); err != nil || at != 19 || !live {
		t.Fatalf("hot key: %d %v %v", at, live, err)
	}
	reads := b.log.reads
	if at, live, err := b.r.Key(ctx, []byte("k18")); err != nil || at != 18 || !live || b.log.reads != reads {
		t.Fatalf("hot key: %d %v %v, %d reads", at, live, err, b.log.reads-reads)
	}
	if at, live, err := b.r.Key(ctx, []byte("k2")); err != nil || at != 2 || !live || b.log.reads == reads {
		t.Fatalf("cold key: %d %v %v, %d reads", at, live, err, b.log.reads-reads)
	}
	if at, _, err := b.r.Key(ctx, []byte("none")); err != nil || at != partition.NoOffset {
		t.Fatalf("no key: %d %v", at, err)
	}
	a := kv("k2", &v)
	a.Cond.IfKeyOffset = 2
	b.put(a)
	b.r.BecomeFollower(2, 2)
	if _, _, err := b.r.Key(ctx, []byte("k2")); !errors.Is(err, partition.ErrNotLeader) {
		t.Errorf("key on a follower: %v", err)
	}
	b.r.BecomeLeader(3, 1, []int32{1}, []int32{1})
	if at, _, err := b.r.Key(ctx, []byte("k2")); err != nil || at != 20 {
		t.Errorf("key after a new election: %d %v", at, err)
	}
}

// TestCompareAndSwapOfOneKey counts up a key from many goroutines: every
// success builds on the one before.
func TestCompareAndSwapOfOneKey(t *testing.T) {
	d := openDisk(t, vfs.NewMem(), "data", 1, compacted(0))
	defer d.close()
	ctx := context.Background()
	const writers, each = 6, 15
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for done := 0; done < each; {
				if err := countUp(ctx, d.r); err == nil {
					done++
				} else if !errors.Is(err, partition.ErrKeyPrecondition) {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b := &bench{tb: t, t: t, r: d.r}
	all := b.stored(0)
	for i, r := range all {
		if string(r.Value) != strconv.Itoa(i+1) {
			t.Fatalf("record %d counts %s", i, r.Value)
		}
	}
	if len(all) != writers*each {
		t.Errorf("counted to %d", len(all))
	}
}

// countUp tries once to add one to the counter.
func countUp(ctx context.Context, r *Replica) error {
	at, live, err := r.Key(ctx, []byte("counter"))
	if err != nil {
		return err
	}
	n := 0
	if live {
		batches, _, err := r.Read(at, 1, partition.ReadUncommitted)
		if err != nil {
			return err
		}
		if n, err = counter(batches, at); err != nil {
			return err
		}
	}
	v := strconv.Itoa(n + 1)
	a := kv("counter", &v)
	a.Cond.IfKeyOffset, a.Cond.IfKeyAbsent = at, !live
	p, err := r.BeginRecord(a)
	if err != nil {
		return err
	}
	_, err = p.Wait(ctx)
	return err
}

func counter(batches []byte, at int64) (int, error) {
	var (
		reader record.Reader
		rec    record.Record
	)
	if _, err := reader.Reset(batches, 0); err != nil {
		return 0, err
	}
	for reader.Next(&rec) {
		if rec.Offset == at {
			return strconv.Atoi(string(rec.Value))
		}
	}
	return 0, fmt.Errorf("no record at %d: %v", at, reader.Err())
}

func TestIndexGoesWithThePolicy(t *testing.T) {
	b := lead(t, compacted(0))
	v := "v"
	b.put(kv("k", &v))
	ctx := context.Background()
	if at, _, err := b.r.Key(ctx, []byte("k")); err != nil || at != 0 {
		t.Fatalf("%d %v", at, err)
	}
	plain := b.r.Config()
	plain.Compact = false
	b.r.SetConfig(plain)
	if _, _, err := b.r.Key(ctx, []byte("k")); !errors.Is(err, partition.ErrNotCompacted) {
		t.Errorf("plain: %v", err)
	}
	b.put(kv("k", &v))
	plain.Compact = true
	b.r.SetConfig(plain)
	if at, _, err := b.r.Key(ctx, []byte("k")); err != nil || at != 1 {
		t.Errorf("compacted again: %d %v", at, err)
	}
}

// TestFirstLookUpWaitsForTheWatermark: what the index finds in the log is
// taken as committed, so it has to be.
func TestFirstLookUpWaitsForTheWatermark(t *testing.T) {
	b := lead(t, compacted(0))
	v := "v"
	b.put(kv("k", &v))
	b.begin(kv("k", &v)) // staged
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := b.r.findKey(context.Background(), []byte("k")); err != nil { // builds the index
		t.Fatal(err)
	}
	if at, _, err := b.r.Key(ctx, []byte("k")); !errors.Is(err, partition.ErrOffsetNotAvailable) {
		t.Errorf("key: offset %d, %v", at, err)
	}
	b.log.cycle()
	if at, _, err := b.r.Key(ctx, []byte("k")); err != nil || at != 1 {
		t.Errorf("key: offset %d, %v", at, err)
	}
}
