package replica

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/storage/record"
)

func TestOpenBatchIsBounded(t *testing.T) {
	b := lead(t, func(o *Options) { o.PackRecords = 3; o.PackBytes = 2_000 })
	var ps []*Pending
	for range 7 {
		ps = append(ps, b.begin(rec("v")))
	}
	ps = append(ps, b.begin(rec(string(make([]byte, 1_500)))), b.begin(rec(string(make([]byte, 5_000)))))
	b.log.cycle()
	for i, p := range ps {
		if b.wait(p).Offset != int64(i) {
			t.Errorf("record %d got offset %d", i, p.Offset())
		}
	}
	var counts []int32
	for _, fb := range b.log.batches {
		counts = append(counts, fb.h.Count)
	}
	if len(counts) != 4 || counts[0] != 3 || counts[1] != 3 || counts[2] != 2 || counts[3] != 1 {
		t.Errorf("records per batch: %v", counts)
	}
}

func TestMaxMessageBytes(t *testing.T) {
	b := lead(t, func(o *Options) { o.Config = partition.DefaultConfig(); o.Config.MaxMessageBytes = 300 })
	for range 20 {
		b.begin(rec("0123456789"))
	}
	b.log.cycle()
	for _, fb := range b.log.batches {
		if len(fb.bytes) > 300 {
			t.Errorf("packed %d bytes", len(fb.bytes))
		}
	}
	if _, err := b.r.BeginRecord(rec(string(make([]byte, 300)))); !errors.Is(err, record.ErrTooLarge) {
		t.Errorf("large record: %v", err)
	}
	if _, err := b.r.BeginBatch(batch(t, 40, nil)); !errors.Is(err, record.ErrTooLarge) {
		t.Errorf("large batch: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	b := lead(t, nil)
	control := record.NewBuilder(record.CodecNone)
	control.SetControl()
	control.Append(0, []byte("k"), nil, nil)
	raw := control.Build(nil)
	h, _ := record.ParseHeader(raw)
	_, err := b.r.BeginBatch(partition.BatchAppend{Batch: raw, Header: h, Cond: partition.NoConditions})
	if !errors.Is(err, partition.ErrTransactional) {
		t.Errorf("control batch: %v", err)
	}
	forged := batch(t, 1, nil)
	forged.Header.Attributes |= partition.MarkIdempotency
	if _, err := b.r.BeginBatch(forged); !errors.Is(err, partition.ErrInvalidAppend) {
		t.Errorf("batch with the broker's mark: %v", err)
	}
	cut := batch(t, 1, nil)
	cut.Batch = cut.Batch[:len(cut.Batch)-1]
	if _, err := b.r.BeginBatch(cut); !errors.Is(err, partition.ErrInvalidAppend) {
		t.Errorf("batch that is not what its header says: %v", err)
	}
	if b.log.EndOffset() != 0 || b.r.Offsets().LogEnd != 0 {
		t.Error("something was appended")
	}
}

type fakeStore struct{ full, backlog bool }

func (s *fakeStore) DiskFull() bool   { return s.full }
func (s *fakeStore) Backlogged() bool { return s.backlog }

func TestStagedBytesAreBounded(t *testing.T) {
	store := &fakeStore{}
	b := lead(t, func(o *Options) { o.StagedBytes = 10_000; o.Store = store })
	value := string(bytes.Repeat([]byte("x"), 1_000))
	n := 0
	var err error
	for ; n < 100 && err == nil; n++ {
		_, err = b.r.BeginRecord(rec(value))
	}
	var th *partition.ThrottledError
	if !errors.As(err, &th) || n < 8 || n > 10 {
		t.Fatalf("after %d records of 1 kB: %v", n, err)
	}
	if th.RetryAfter != 100*time.Millisecond {
		t.Errorf("hint without a measured cycle: %v", th.RetryAfter)
	}
	b.log.cycle() // about 9 kB in 1 ms, says the fake
	for err = nil; err == nil; {
		_, err = b.r.BeginRecord(rec(value))
	}
	if !errors.As(err, &th) || th.RetryAfter != leastRetry {
		t.Errorf("half of 10 kB at 9 kB/ms: %v", err)
	}
	b.log.cycle()
	if b.r.staged != 0 {
		t.Errorf("%d bytes counted as staged after the sync", b.r.staged)
	}
	store.full = true
	if _, err := b.r.BeginRecord(rec("v")); !errors.Is(err, partition.ErrDiskFull) {
		t.Errorf("disk full: %v", err)
	}
	store.full, store.backlog = false, true
	if _, err := b.r.BeginBatch(batch(t, 1, nil)); !errors.Is(err, partition.ErrThrottled) {
		t.Errorf("backlog: %v", err)
	}
	if r := b.r.Offsets(); r.HighWatermark != r.LogEnd {
		t.Errorf("refusals left a trace: %+v", r)
	}
}

func TestRetryHintFollowsTheRate(t *testing.T) {
	var x rate
	for range 50 {
		x.add(1_000_000, 10*time.Millisecond) // 100 MB/s
	}
	if d := x.retryAfter(50_000_000); d < 490*time.Millisecond || d > 510*time.Millisecond {
		t.Errorf("50 MB at 100 MB/s: %v", d)
	}
	if d := x.retryAfter(1 << 40); d != mostRetry {
		t.Errorf("1 TB: %v", d)
	}
}

func TestWaitersAreBounded(t *testing.T) {
	b := openBench(t, &fakeLog{}, func(o *Options) { o.Waiters = 4 })
	b.r.BecomeLeader(1, 1, []int32{1, 2}, []int32{1, 2}) // 2 never fetches: the watermark stands
	var err error
	n := 0
	for ; n < 10 && err == nil; n++ {
		if _, err = b.r.BeginRecord(rec("v")); err == nil {
			b.log.cycle()
		}
	}
	if !errors.Is(err, partition.ErrThrottled) || n != 5 {
		t.Fatalf("after %d: %v", n, err)
	}
	// Nobody waits for the watermark with acks=leader: no gate is kept.
	c := openBench(t, &fakeLog{}, func(o *Options) { o.Waiters = 4 })
	c.r.BecomeLeader(1, 1, []int32{1, 2}, []int32{1, 2})
	for range 20 {
		a := rec("v")
		a.Acks = partition.AcksLeader
		p := c.begin(a)
		c.log.cycle()
		c.wait(p)
	}
}

func TestCloseWaitsForTheSync(t *testing.T) {
	b := lead(t, nil)
	p := b.begin(rec("v"))
	done, sealed := make(chan error), make(chan struct{})
	b.log.onDirty = func() { close(sealed) }
	go func() { done <- b.r.Close(context.Background()) }()
	<-sealed
	if _, err := b.r.BeginRecord(rec("w")); !errors.Is(err, partition.ErrClosed) {
		t.Errorf("append during close: %v", err)
	}
	select {
	case err := <-done:
		t.Fatalf("closed before the sync: %v", err)
	default:
	}
	b.log.cycle()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if b.wait(p).Offset != 0 {
		t.Error("the append was not answered")
	}
	if err := b.r.Close(context.Background()); err != nil {
		t.Errorf("second close: %v", err)
	}
}

func TestCloseGivesUpOnOtherReplicas(t *testing.T) {
	b := openBench(t, &fakeLog{}, nil)
	b.r.BecomeLeader(1, 1, []int32{1, 2}, []int32{1, 2})
	p := b.begin(rec("v"))
	b.log.cycle()
	if err := b.r.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	b.fails(p, partition.ErrOutcomeUnknown)
}
