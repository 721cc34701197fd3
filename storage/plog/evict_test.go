package plog

import (
	"context"
	"testing"

	"github.com/chroniklog/chronik/storage/record"
)

// budget is what the tails of these tests may hold.
const budget = 64 << 10

// newEvictKit has a store that writes to segments at checkpoints only.
func newEvictKit(t *testing.T) *kit {
	return newKit(t, Config{}, func(o *Options) {
		o.TailBytes, o.JournalFileBytes, o.WriteBehindBytes, o.DirectBytes = budget, 16<<20, 8<<20, -1
		o.CheckpointBytes = 64 << 20
	})
}

// quiet makes a log that has one record in the journal, and none in a segment.
func quiet(t *testing.T, k *kit, n byte) *Log {
	t.Helper()
	l := createLog(t, k.s, testID(n), Config{})
	f := newFeeder(l)
	f.add(record.Record{Value: []byte("quiet")})
	f.wait(t, 1)
	return l
}

// fill appends so much to the kit's log that the budget is exceeded many times
// over, and has it all written to segments, by the log alone.
func fill(t *testing.T, k *kit) {
	t.Helper()
	for range 40 {
		k.add(rec(k.ms(), "k", value(1, 8<<10)))
		if err := k.l.writeBack(1); err != nil {
			t.Fatal(err)
		}
	}
	k.add(rec(k.ms(), "k", "the cycle that accounts"))
}

func expectWithinBudget(t *testing.T, k *kit) {
	t.Helper()
	// The last batches are younger than any eviction.
	if n := k.s.cached.Load(); n > budget+16<<10 {
		t.Errorf("tails hold %d bytes, and may %d", n, budget)
	}
}

// A deleted log's memory is nobody's, and must not keep the others' from being
// let go of.
func TestDeletedLogHoldsNoMemory(t *testing.T) {
	k := newEvictKit(t)
	l := quiet(t, k, 2)
	if err := k.s.Delete(context.Background(), l.ID()); err != nil {
		t.Fatal(err)
	}
	fill(t, k)
	expectWithinBudget(t, k)
}

// The bytes of a quiet log are pinned until they are in a segment, but those
// that came after them are not.
func TestQuietLogHoldsOnlyItsOwnMemory(t *testing.T) {
	k := newEvictKit(t)
	logs := make([]*Log, 0, 2*maxPinned)
	for i := range 2 * maxPinned {
		logs = append(logs, quiet(t, k, byte(2+i)))
	}
	fill(t, k)
	expectWithinBudget(t, k)
	for _, l := range logs {
		if got := readAll(t, l); len(got) != 1 {
			t.Fatalf("log %s: %d batches can be read", l.id, len(got))
		}
	}
}

// What trims and deletions have taken out of the tails leaves nothing behind.
func TestEvictionQueueStaysSmall(t *testing.T) {
	k := newEvictKit(t)
	for i := range 400 {
		l := createLog(t, k.s, testID(2), Config{})
		f := newFeeder(l)
		f.add(record.Record{Value: make([]byte, 1<<10)})
		f.wait(t, 1)
		if i%2 == 0 {
			k.add(rec(k.ms(), "k", "x")) // others are in between
		}
		if err := k.s.Delete(context.Background(), l.ID()); err != nil {
			t.Fatal(err)
		}
	}
	k.add(rec(k.ms(), "k", "the cycle that accounts"))
	k.s.evicting.Lock()
	defer k.s.evicting.Unlock()
	if refs := len(k.s.cachedQueue.q) - k.s.cachedQueue.head; k.s.cachedQueue.cost > 2*budget || refs > 300 {
		t.Errorf("%d refs tell of %d bytes, where tails may hold %d", refs, k.s.cachedQueue.cost, budget)
	}
}
