package replica

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/storage/record"
)

func idem(key string, body byte) partition.RecordAppend {
	a := rec(fmt.Sprintf("body %d", body))
	a.IdempotencyKey, a.BodyHash[0] = key, body
	return a
}

func TestTwinWaitsForTheFirst(t *testing.T) {
	b := lead(t, nil)
	first, twin, other := b.begin(idem("k", 1)), b.begin(idem("k", 1)), b.begin(idem("k", 2))
	if ready(first) || ready(twin) || ready(other) {
		t.Fatal("answered before the commit")
	}
	b.log.cycle()
	want := b.wait(first)
	got := b.wait(twin)
	if !got.Duplicate || want.Duplicate || got.Offset != want.Offset || got.Timestamp != want.Timestamp {
		t.Errorf("twin got %+v, the first %+v", got, want)
	}
	if twin.Cycle() != nil {
		t.Error("a twin appended nothing, so no cycle made it durable")
	}
	b.fails(other, partition.ErrIdempotencyMismatch)
	if again := b.begin(idem("k", 1)); !ready(again) || b.wait(again).Offset != want.Offset {
		t.Error("a later repeat is not answered at once")
	}
	if _, err := b.r.BeginRecord(idem("k", 2)); !errors.Is(err, partition.ErrIdempotencyMismatch) {
		t.Errorf("a later mismatch: %v", err)
	}
	if n := len(b.stored(0)); n != 1 {
		t.Errorf("%d records stored", n)
	}
}

func TestConcurrentTwins(t *testing.T) {
	b := lead(t, nil)
	const twins = 16
	answers := make([]partition.Appended, twins)
	var wg, begun sync.WaitGroup
	begun.Add(twins)
	for i := range twins {
		wg.Go(func() {
			p, err := b.r.BeginRecord(idem("k", 1))
			begun.Done()
			if err != nil {
				t.Error(err)
				return
			}
			if answers[i], err = p.Wait(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	begun.Wait()
	b.log.cycle()
	wg.Wait()
	firsts := 0
	for _, a := range answers {
		if !a.Duplicate {
			firsts++
		}
		if a.Offset != 0 || a.Timestamp != 1_000 {
			t.Errorf("answer %+v", a)
		}
	}
	if firsts != 1 || len(b.stored(0)) != 1 {
		t.Errorf("%d first answers, %d records", firsts, len(b.stored(0)))
	}
}

func TestConflictIsToldWhenCommitted(t *testing.T) {
	b := lead(t, nil)
	expect := func(offset int64) *Pending {
		a := rec("v")
		a.Cond.ExpectOffset = offset
		return b.begin(a)
	}
	first, second := expect(0), expect(0)
	if ready(second) {
		t.Fatal("a conflict with what is staged only was told at once")
	}
	end := b.log.seal()
	third := expect(0) // cites the same sealed batch
	b.log.sync(end)
	b.wait(first)
	for _, p := range []*Pending{second, third} {
		b.fails(p, partition.ErrOffsetConflict)
		var c *partition.OffsetConflictError
		if _, err := p.Wait(context.Background()); !errors.As(err, &c) || c.Current != 1 {
			t.Errorf("conflict: %v", err)
		}
	}
}

func TestDepositionFailsWaiters(t *testing.T) {
	b := lead(t, nil)
	appended := b.begin(rec("v"))
	client, err := b.r.BeginBatch(batch(t, 2, nil))
	if err != nil {
		t.Fatal(err)
	}
	acked := rec("leader")
	acked.Acks = partition.AcksLeader
	leader := b.begin(acked)
	twin := rec("v")
	twin.Cond.ExpectOffset = 0
	conflict := b.begin(twin)

	b.r.BecomeFollower(2, 3)
	b.fails(appended, partition.ErrOutcomeUnknown)
	b.fails(client, partition.ErrOutcomeUnknown)
	b.fails(leader, partition.ErrOutcomeUnknown)
	b.fails(conflict, partition.ErrNotLeader) // nothing of it was appended
	if _, err := appended.Wait(context.Background()); errors.Is(err, partition.ErrNotLeader) {
		t.Errorf("an unknown outcome must not match a refusal: %v", err)
	}
	var nl *partition.NotLeaderError
	if _, err := b.r.BeginRecord(rec("v")); !errors.As(err, &nl) || nl.Leader != 3 {
		t.Errorf("append on a follower: %v", err)
	}
	if _, _, err := b.r.Read(0, 1, partition.ReadUncommitted); !errors.Is(err, partition.ErrNotLeader) {
		t.Errorf("read on a follower: %v", err)
	}
	// What was accepted is in the log, of the epoch that accepted it: the next
	// leader decides about it.
	if b.log.EndOffset() != 4 || b.log.LastEpoch() != 1 {
		t.Errorf("log ends at %d, epoch %d", b.log.EndOffset(), b.log.LastEpoch())
	}
	b.log.cycle() // nobody is answered a second time

	b.r.BecomeLeader(3, 1, []int32{1}, []int32{1})
	if r := b.put(rec("after")); r.Offset != 4 || r.LeaderEpoch != 3 {
		t.Errorf("after: %+v", r)
	}
}

func TestNewEpochOfTheSameLeaderKeepsWaiters(t *testing.T) {
	b := lead(t, nil)
	p := b.begin(rec("v"))
	b.r.BecomeLeader(2, 2, []int32{1}, []int32{1})
	q := b.begin(rec("w"))
	b.log.cycle()
	if b.wait(p).LeaderEpoch != 1 || b.wait(q).LeaderEpoch != 2 {
		t.Error("wrong epochs")
	}
	if len(b.log.batches) != 2 || b.log.batches[0].h.LeaderEpoch != 1 || b.log.batches[1].h.LeaderEpoch != 2 {
		t.Errorf("batches %+v", b.log.batches)
	}
}

func TestStoreFailure(t *testing.T) {
	b := lead(t, nil)
	p := b.begin(rec("v"))
	dead := errors.New("fsync: input/output error")
	b.r.Failed(dead)
	b.fails(p, partition.ErrOutcomeUnknown)
	if _, err := b.r.BeginRecord(rec("v")); !errors.Is(err, dead) || !errors.Is(err, partition.ErrClosed) {
		t.Errorf("append after the failure: %v", err)
	}
	if err := b.r.Close(context.Background()); err != nil {
		t.Errorf("close: %v", err)
	}
}

func TestProducerSequences(t *testing.T) {
	b := lead(t, nil)
	one := func(seq int32) partition.RecordAppend {
		a := rec("v")
		a.Producer = &partition.ProducerSeq{ID: 9, Epoch: 0, Seq: seq}
		return a
	}
	loose := b.begin(rec("x"))
	p0, p1 := b.begin(one(0)), b.begin(one(1))
	dup, gap := b.begin(one(0)), b.begin(one(5))
	b.log.cycle()
	if b.wait(loose).Offset != 0 || b.wait(p0).Offset != 1 || b.wait(p1).Offset != 2 {
		t.Error("wrong offsets")
	}
	if r := b.wait(dup); !r.Duplicate || r.Offset != 1 || r.Timestamp != 1_000 {
		t.Errorf("duplicate: %+v", r)
	}
	var g *partition.SequenceGapError
	if _, err := gap.Wait(context.Background()); !errors.As(err, &g) || g.Expected != 2 {
		t.Errorf("gap: %v", err)
	}
	a := batch(t, 3, func(rb *record.Builder) { rb.SetProducer(9, 0, 2) })
	p, err := b.r.BeginBatch(a)
	if err != nil {
		t.Fatal(err)
	}
	b.log.cycle()
	if r := b.wait(p); r.Offset != 3 || r.LastOffset != 5 {
		t.Errorf("batch: %+v", r)
	}
	for i, fb := range b.log.batches {
		if want := []int64{-1, 9, 9, 9}[i]; fb.h.ProducerID != want {
			t.Errorf("batch %d is of producer %d", i, fb.h.ProducerID)
		}
	}
}

func TestFence(t *testing.T) {
	b := lead(t, nil)
	set := func(token string, expect *string) (int64, error) {
		p, err := b.r.beginFence(token, expect)
		if err != nil {
			return 0, err
		}
		if !ready(p) {
			b.log.cycle()
		}
		res, err := p.Wait(context.Background())
		return res.Offset, err
	}
	if at, err := set("w1", nil); err != nil || at != 0 {
		t.Fatalf("fence at %d: %v", at, err)
	}
	wrong, right := "w0", "w1"
	if _, err := set("w2", &wrong); !errors.Is(err, partition.ErrFenced) {
		t.Errorf("expect w0: %v", err)
	}
	a := rec("v")
	a.Cond.Fence = &wrong
	if _, err := b.r.BeginRecord(a); !errors.Is(err, partition.ErrFenced) {
		t.Errorf("append with w0: %v", err)
	}
	a.Cond.Fence = &right
	if r := b.put(a); r.Offset != 1 {
		t.Errorf("append with w1: %+v", r)
	}
	if _, err := set("w2", &right); err != nil {
		t.Errorf("expect w1: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := b.r.SetFence(ctx, "w3", nil); !errors.Is(err, partition.ErrOutcomeUnknown) {
		t.Errorf("end of ctx: %v", err)
	}
	if !b.log.batches[0].h.Control() {
		t.Error("the fence is no control batch")
	}
}
