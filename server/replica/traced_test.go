package replica

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chroniklog/chronik/server/partition"
)

func tracedRec(n byte) partition.RecordAppend {
	a := rec("x")
	a.Trace = &partition.TraceContext{n}
	return a
}

// Sampled appends go with the batches that hold them, until the watermark has
// passed, and only within their epoch.
func TestTracedAppendsTravel(t *testing.T) {
	b := openBench(t, &fakeLog{}, nil)
	b.r.BecomeLeader(1, 1, []int32{1, 2}, []int32{1, 2}) // node 2 never fetches: nothing is committed
	b.begin(rec("not sampled"))
	b.begin(tracedRec(1))
	b.log.cycle()
	b.begin(tracedRec(2))
	b.log.cycle()
	at := func(offset int64, n byte) partition.Traced {
		return partition.Traced{Offset: offset, Context: partition.TraceContext{n}}
	}
	for _, c := range []struct {
		from int64
		max  int
		want []partition.Traced
	}{
		{0, 1, []partition.Traced{at(1, 1)}}, // one batch: the other comes with its own
		{0, 1 << 20, []partition.Traced{at(1, 1), at(2, 2)}},
		{2, 1 << 20, []partition.Traced{at(2, 2)}},
		{3, 1 << 20, nil},
	} {
		_, a, err := b.r.Staged(1, c.from, c.max)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(c.want, a.Traced); d != "" {
			t.Errorf("from %d, %d bytes: %s", c.from, c.max, d)
		}
	}
	b.r.BecomeLeader(2, 2, []int32{1, 2}, []int32{1, 2})
	if _, a, err := b.r.Staged(2, 0, 1<<20); err != nil || a.Traced != nil {
		t.Errorf("of the epoch before: %v, %v", a.Traced, err)
	}
	for range 3 * partition.MaxTraced {
		b.begin(tracedRec(3))
	}
	b.log.cycle()
	if _, a, err := b.r.Staged(2, 0, 1<<20); err != nil || len(a.Traced) != partition.MaxTraced {
		t.Errorf("%d traces travel at once: %v", len(a.Traced), err)
	}
}

func TestTracedAppendsAreForgotten(t *testing.T) {
	b := lead(t, nil)
	b.put(tracedRec(1)) // committed
	b.begin(tracedRec(2))
	if n := len(b.r.traced.list); n != 1 {
		t.Errorf("%d appends are remembered", n)
	}
	b.log.cycle()
}

// Synced waits for the disk of a follower.
func TestSynced(t *testing.T) {
	leader := lead(t, nil)
	leader.put(rec("x"))
	batches, a, err := leader.r.Staged(1, 0, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	f := openBench(t, &fakeLog{}, nil)
	f.r.BecomeFollower(1, 9)
	if err := f.r.Follow(t.Context(), 1, a, batches); err != nil {
		t.Fatal(err)
	}
	p := f.r.Synced(0)
	if ready(p) {
		t.Fatal("synced before the cycle")
	}
	f.log.cycle()
	if !ready(p) || p.Cycle() == nil {
		t.Fatal("not synced after the cycle")
	}
	if p := f.r.Synced(0); !ready(p) {
		t.Error("what is on disk already is waited for")
	}
}
