package replica

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/storage/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// failer is what testing.TB and rapid.T share.
type failer interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// bench is a replica on a fake log, with a clock that the test sets.
type bench struct {
	tb  testing.TB
	t   failer
	r   *Replica
	log *fakeLog
	now atomic.Int64 // Unix milliseconds
}

func openBench(t testing.TB, log *fakeLog, change func(*Options)) *bench {
	b := &bench{tb: t, t: t, log: log}
	b.now.Store(1_000)
	o := Options{
		Topic: "orders", Log: log, Node: 1,
		Now: func() time.Time { return time.UnixMilli(b.now.Load()) },
	}
	if change != nil {
		change(&o)
	}
	r, err := Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	b.r = r
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // a test that cares for a clean close makes one
		_ = r.Close(ctx)
	})
	return b
}

// lead opens a replica that is the only one and leads.
func lead(t testing.TB, change func(*Options)) *bench {
	b := openBench(t, &fakeLog{}, change)
	b.r.BecomeLeader(1, 1, []int32{1}, []int32{1})
	return b
}

func rec(value string) partition.RecordAppend {
	return partition.RecordAppend{
		Value: []byte(value), Timestamp: -1, Acks: partition.AcksAll, Cond: partition.NoConditions,
	}
}

func (b *bench) begin(a partition.RecordAppend) *Pending {
	b.t.Helper()
	p, err := b.r.BeginRecord(a)
	if err != nil {
		b.t.Fatalf("begin: %v", err)
	}
	return p
}

// put appends and commits.
func (b *bench) put(a partition.RecordAppend) partition.Appended {
	b.t.Helper()
	p := b.begin(a)
	b.log.cycle()
	return b.wait(p)
}

func (b *bench) wait(p *Pending) partition.Appended {
	b.t.Helper()
	if !ready(p) {
		b.t.Fatalf("no answer yet for offset %d", p.Offset())
	}
	res, err := p.Wait(context.Background())
	if err != nil {
		b.t.Fatalf("wait: %v", err)
	}
	return res
}

func (b *bench) fails(p *Pending, want error) {
	b.t.Helper()
	if !ready(p) {
		b.t.Fatalf("no answer yet, want %v", want)
	}
	if _, err := p.Wait(context.Background()); !errors.Is(err, want) {
		b.t.Fatalf("wait: %v, want %v", err, want)
	}
}

func ready(p *Pending) bool {
	select {
	case <-p.Done():
		return true
	default:
		return false
	}
}

// batch is a client's batch.
func batch(t testing.TB, count int, change func(*record.Builder)) partition.BatchAppend {
	b := record.NewBuilder(record.CodecNone)
	for range count {
		b.Append(77, []byte("k"), []byte("v"), nil)
	}
	if change != nil {
		change(b)
	}
	a := partition.BatchAppend{Batch: b.Build(nil), Acks: partition.AcksAll, Cond: partition.NoConditions}
	var err error
	if a.Header, err = record.Validate(a.Batch, record.Limits{}); err != nil {
		t.Fatal(err)
	}
	return a
}

// stored are the records below the watermark.
func (b *bench) stored(from int64) (out []record.Record) {
	b.t.Helper()
	for {
		data, offs, err := b.r.Read(from, 1<<20, partition.ReadUncommitted)
		if err != nil {
			b.t.Fatal(err)
		}
		if len(data) == 0 {
			if from != offs.HighWatermark {
				b.t.Fatalf("read ends at %d, the watermark is %d", from, offs.HighWatermark)
			}
			return out
		}
		for len(data) > 0 {
			var one []byte
			if one, data, err = record.Split(data); err != nil {
				b.t.Fatal(err)
			}
			var (
				reader record.Reader
				rec    record.Record
			)
			h, err := reader.Reset(one, 0)
			if err != nil {
				b.t.Fatal(err)
			}
			for reader.Next(&rec) {
				out = append(out, rec.Clone())
			}
			from = h.NextOffset()
		}
	}
}

func TestRecordsOfOneCycleShareABatch(t *testing.T) {
	b := lead(t, nil)
	p1, p2 := b.begin(rec("one")), b.begin(rec("two"))
	if ready(p1) || b.log.dirty != 1 {
		t.Fatalf("answered before the sync, or told the log %d times", b.log.dirty)
	}
	end := b.log.seal()
	p3 := b.begin(rec("three")) // arrives during the sync: the next cycle's
	b.log.sync(end)
	if r := b.wait(p1); r.Offset != 0 || r.Timestamp != 1_000 || r.LeaderEpoch != 1 || r.Duplicate {
		t.Errorf("first: %+v", r)
	}
	if r := b.wait(p2); r.Offset != 1 || r.LastOffset != 1 {
		t.Errorf("second: %+v", r)
	}
	if p1.Cycle() != p2.Cycle() || p1.Cycle() == nil || p1.Cycle().ID != 1 {
		t.Errorf("cycles %+v and %+v", p1.Cycle(), p2.Cycle())
	}
	if ready(p3) {
		t.Fatal("the third is answered by a sync that did not hold it")
	}
	b.log.cycle()
	if r := b.wait(p3); r.Offset != 2 {
		t.Errorf("third: %+v", r)
	}
	if n := len(b.log.batches); n != 2 {
		t.Errorf("%d batches, want 2", n)
	}
	got := b.stored(0)
	if len(got) != 3 || string(got[2].Value) != "three" || got[2].Offset != 2 {
		t.Errorf("stored %+v", got)
	}
}

func TestAcks(t *testing.T) {
	b := openBench(t, &fakeLog{}, func(o *Options) { o.Config = partition.DefaultConfig(); o.Config.MinISR = 2 })
	b.r.BecomeLeader(1, 1, []int32{1, 2}, []int32{1, 2})
	var ps []*Pending
	for _, acks := range []partition.Acks{partition.AcksNone, partition.AcksLeader, partition.AcksAll} {
		a := rec("v")
		a.Acks = acks
		ps = append(ps, b.begin(a))
	}
	if !ready(ps[0]) || ready(ps[1]) || ready(ps[2]) {
		t.Fatal("only acks=none is answered when accepted")
	}
	if r := b.wait(ps[0]); r.Offset != 0 || ps[0].Cycle() != nil {
		t.Errorf("acks=none: %+v, cycle %+v", r, ps[0].Cycle())
	}
	b.log.cycle()
	if !ready(ps[1]) || ready(ps[2]) {
		t.Fatal("acks=leader waits for the sync here, acks=all for the watermark")
	}
	if b.wait(ps[1]).Offset != 1 || ps[1].Cycle() == nil {
		t.Error("acks=leader: wrong answer")
	}

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := ps[2].Wait(ctx); !errors.Is(err, partition.ErrOutcomeUnknown) {
		t.Errorf("end of ctx: %v", err)
	}
	b.r.Apply(partition.Leadership{
		Leader: 1, LeaderEpoch: 1, PartitionEpoch: 2, Replicas: []int32{1, 2}, ISR: []int32{1},
	})
	if ready(ps[2]) {
		t.Fatal("acks=all is answered below min.insync.replicas")
	}
	if _, err := b.r.BeginRecord(rec("v")); !errors.Is(err, partition.ErrNotEnoughReplicas) {
		t.Errorf("append below min.insync.replicas: %v", err)
	}
	cfg := b.r.Config()
	cfg.MinISR = 1
	b.r.SetConfig(cfg)
	if b.wait(ps[2]).Offset != 2 {
		t.Error("acks=all: wrong offset")
	}
}

// TestSyncAnswersWhatItHeldOnly: two batches are in the log, the cycle synced
// the first.
func TestSyncAnswersWhatItHeldOnly(t *testing.T) {
	b := lead(t, nil)
	a := batch(t, 1, nil)
	a.Acks = partition.AcksLeader
	first, err := b.r.BeginBatch(a)
	if err != nil {
		t.Fatal(err)
	}
	end := b.log.seal()
	a = batch(t, 1, nil)
	a.Acks = partition.AcksLeader
	second, err := b.r.BeginBatch(a)
	if err != nil {
		t.Fatal(err)
	}
	b.log.sync(end)
	if !ready(first) || ready(second) {
		t.Fatalf("first answered: %v, second: %v", ready(first), ready(second))
	}
	b.log.cycle()
	b.wait(second)
}

func TestBatchesKeepTheirOrderAmongRecords(t *testing.T) {
	b := lead(t, nil)
	p1 := b.begin(rec("a"))
	p2, err := b.r.BeginBatch(batch(t, 3, nil))
	if err != nil {
		t.Fatal(err)
	}
	p3 := b.begin(rec("b"))
	b.log.cycle()
	if r := b.wait(p2); r.Offset != 1 || r.LastOffset != 3 || r.Timestamp != -1 {
		t.Errorf("batch: %+v", r)
	}
	if b.wait(p1).Offset != 0 || b.wait(p3).Offset != 4 {
		t.Error("records are not around the batch")
	}
	if got := b.stored(0); len(got) != 5 || got[1].Timestamp != 77 || got[0].Timestamp != 1_000 {
		t.Errorf("stored %+v", got)
	}
}

func TestLogAppendTime(t *testing.T) {
	b := lead(t, func(o *Options) { o.Config = partition.DefaultConfig(); o.Config.LogAppendTime = true })
	a := rec("a")
	a.Timestamp = 5
	p1 := b.begin(a)
	b.now.Add(10)
	p2 := b.begin(rec("b"))
	p3, err := b.r.BeginBatch(batch(t, 1, nil))
	if err != nil {
		t.Fatal(err)
	}
	b.log.cycle()
	answers := []int64{b.wait(p1).Timestamp, b.wait(p2).Timestamp, b.wait(p3).Timestamp}
	for i, r := range b.stored(0) {
		if r.Timestamp != answers[i] || r.Timestamp < 1_000 {
			t.Errorf("record %d is stored with %d, answered with %d", i, r.Timestamp, answers[i])
		}
	}
}

func TestCompressionOfPackedBatchesOnly(t *testing.T) {
	b := lead(t, func(o *Options) { o.Config = partition.DefaultConfig(); o.Config.Compression = record.CodecZstd })
	b.put(rec("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"))
	if _, err := b.r.BeginBatch(batch(t, 1, nil)); err != nil {
		t.Fatal(err)
	}
	b.log.cycle()
	if c := b.log.batches[0].h.Codec(); c != record.CodecZstd {
		t.Errorf("packed with %v", c)
	}
	if c := b.log.batches[1].h.Codec(); c != record.CodecNone {
		t.Errorf("client's batch became %v", c)
	}
	if got := b.stored(0); len(got) != 2 || len(got[0].Value) != 48 {
		t.Errorf("stored %+v", got)
	}
}
