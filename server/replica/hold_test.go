package replica

import (
	"testing"

	"github.com/chroniklog/chronik/server/partition"
)

// While a record is in flight to followers the next ones gather in one batch,
// until the watermark moves.
func TestRecordsGatherWhileOthersAreInFlight(t *testing.T) {
	b := openBench(t, &fakeLog{}, nil)
	b.r.BecomeLeader(1, 1, []int32{1, 2}, []int32{1, 2})
	dirty := func(want bool, when string) {
		t.Helper()
		if b.log.dirty > 0 != want {
			t.Fatalf("%s: marked %d times", when, b.log.dirty)
		}
	}
	fetched := func(end int64) {
		t.Helper()
		if _, err := b.r.Fetched(partition.Fetch{Node: 2, LeaderEpoch: 1, Offset: end, Flushed: end}, 1); err != nil {
			t.Fatal(err)
		}
	}
	b.begin(rec("first"))
	dirty(true, "nothing is in flight")
	b.log.cycle()
	second, third := b.begin(rec("second")), b.begin(rec("third"))
	dirty(false, "one is in flight")
	fetched(1)
	dirty(true, "the first is committed")
	b.log.cycle()
	if n := len(b.log.batches); n != 2 || b.log.end != 3 {
		t.Fatalf("%d batches up to %d", n, b.log.end)
	}
	fetched(3)
	for _, p := range []*Pending{second, third} {
		if _, err := p.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// Nothing is held that need not wait for followers, or would wait for long.
func TestRecordsThatAreNotHeld(t *testing.T) {
	leaderOnly := rec("leader only")
	leaderOnly.Acks = partition.AcksLeader
	for name, change := range map[string]func(b *bench){
		"acks=leader":          func(b *bench) { b.begin(leaderOnly) },
		"it waited for long":   func(b *bench) { b.now.Add(patience); b.begin(rec("late")) },
		"the batch was closed": func(b *bench) { b.r.SetConfig(b.r.Config()) },
		"no follower is left":  func(b *bench) { b.r.BecomeLeader(1, 2, []int32{1, 2}, []int32{1}) },
		"another leads":        func(b *bench) { b.r.BecomeFollower(2, 2) },
	} {
		b := openBench(t, &fakeLog{}, nil)
		b.r.BecomeLeader(1, 1, []int32{1, 2}, []int32{1, 2})
		b.begin(rec("first"))
		b.log.cycle()
		b.begin(rec("held"))
		if b.log.dirty != 0 {
			t.Fatalf("%s: not held before", name)
		}
		if change(b); b.log.dirty == 0 {
			t.Errorf("%s: held", name)
		}
		if b.log.cycle(); b.log.end < 2 {
			t.Errorf("%s: the log ends at %d", name, b.log.end)
		}
	}
}

// A leader without followers is paced by its own disk only.
func TestNothingIsHeldAlone(t *testing.T) {
	b := lead(t, nil)
	b.begin(rec("first"))
	synced := b.log.seal()
	b.begin(rec("second"))
	if b.log.dirty == 0 {
		t.Error("held")
	}
	b.log.sync(synced)
}
