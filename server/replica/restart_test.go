package replica

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/chroniklog/chronik/server/partition"
)

// restart opens the log as power loss left it, and leads again.
func (b *bench) restart(change func(*Options)) *bench {
	b.t.Helper()
	again := openBench(b.tb, b.log.crash(), change)
	again.now.Store(b.now.Load())
	again.r.BecomeLeader(b.r.Offsets().LeaderEpoch+1, 1, []int32{1}, []int32{1})
	return again
}

func TestWindowsSurviveARestart(t *testing.T) {
	b := lead(t, nil)
	b.put(idem("k", 1))
	seq := rec("v")
	seq.Producer = &partition.ProducerSeq{ID: 9, Epoch: 2, Seq: 0}
	b.put(seq)
	p, err := b.r.beginFence("w1", nil)
	if err != nil {
		t.Fatal(err)
	}
	b.log.cycle()
	b.wait(p)
	lost := b.begin(idem("unsynced", 1)) // sealed, not synced: gone, and so is what it meant
	b.log.seal()

	b = b.restart(nil)
	if ready(lost) {
		t.Error("an append that was never synced was answered")
	}
	if r := b.wait(b.begin(idem("k", 1))); !r.Duplicate || r.Offset != 0 || r.Timestamp != 1_000 {
		t.Errorf("repeat: %+v", r)
	}
	if _, err := b.r.BeginRecord(idem("k", 2)); !errors.Is(err, partition.ErrIdempotencyMismatch) {
		t.Errorf("other body: %v", err)
	}
	if r := b.wait(b.begin(seq)); !r.Duplicate || r.Offset != 1 {
		t.Errorf("repeated sequence: %+v", r)
	}
	wrong := rec("v")
	wrong.Cond.Fence = new(string)
	if _, err := b.r.BeginRecord(wrong); !errors.Is(err, partition.ErrFenced) {
		t.Errorf("wrong fence: %v", err)
	}
	if r := b.put(idem("unsynced", 1)); r.Duplicate || r.Offset != 3 {
		t.Errorf("what was lost, again: %+v", r)
	}
}

// hasSnapshot waits for the background to save one.
func (b *bench) hasSnapshot(atLeast int) {
	b.t.Helper()
	b.r.wg.Wait()
	if n := len(b.log.states); n < atLeast {
		b.t.Fatalf("%d snapshots, want %d", n, atLeast)
	}
}

func TestSnapshotBySize(t *testing.T) {
	small := func(o *Options) { o.SnapshotBytes = 2_000 }
	b := lead(t, small)
	b.put(idem("k", 1))
	if b.log.hw != 0 {
		t.Errorf("the log may compact up to %d, no snapshot holds the key", b.log.hw)
	}
	b.put(rec(string(make([]byte, 3_000))))
	b.hasSnapshot(1)
	if b.log.hw != 2 || b.log.states[0].offset != 2 {
		t.Errorf("watermark hint %d after a snapshot at %d", b.log.hw, b.log.states[0].offset)
	}
	// All that the snapshot covers may go.
	if err := b.log.Trim(context.Background(), 2); err != nil {
		t.Fatal(err)
	}
	b.put(rec("after"))
	b = b.restart(small)
	if r := b.wait(b.begin(idem("k", 1))); !r.Duplicate || r.Offset != 0 {
		t.Errorf("repeat: %+v", r)
	}
	if r := b.put(rec("next")); r.Offset != 3 || r.LogStart != 2 {
		t.Errorf("next: %+v", r)
	}
}

func TestSnapshotByTime(t *testing.T) {
	b := lead(t, func(o *Options) { o.SnapshotInterval = time.Millisecond })
	changed := make(chan struct{}, 1)
	defer b.r.Subscribe(changed)()
	b.put(rec("means nothing"))
	if b.r.snap.timer != nil {
		t.Error("a timer runs though there is nothing to remember")
	}
	b.put(idem("k", 1))
	for b.log.get(&b.log.hw) != 2 { // the hint follows the snapshot
		time.Sleep(time.Millisecond)
	}
	b.hasSnapshot(1)
}

func TestSnapshotWaitsForTheWatermark(t *testing.T) {
	b := openBench(t, &fakeLog{}, func(o *Options) { o.SnapshotBytes = 100 })
	b.r.BecomeLeader(1, 1, []int32{1, 2}, []int32{1, 2})
	p := b.begin(idem("k", 1))
	b.log.cycle()
	if len(b.log.states) != 0 || ready(p) {
		t.Fatal("a snapshot was saved that a failover may undo")
	}
	f := partition.Fetch{Node: 2, BrokerEpoch: 1, LeaderEpoch: 1, Offset: 1, Flushed: 1}
	if _, err := b.r.Fetched(f, 1); err != nil {
		t.Fatal(err)
	}
	b.hasSnapshot(1)

	// Deposed before the watermark gets there: nothing is saved.
	b.begin(idem("l", 1))
	b.log.cycle()
	b.r.BecomeFollower(2, 2)
	_ = b.r.Close(canceled())
	if n := len(b.log.states); n != 1 {
		t.Errorf("%d snapshots", n)
	}
}

func TestSnapshotFailureIsRetried(t *testing.T) {
	b := lead(t, func(o *Options) { o.SnapshotBytes = 100 })
	b.log.saveErr = errors.New("disk is full")
	b.put(idem("k", 1))
	b.r.wg.Wait()
	if b.log.hw != 0 {
		t.Errorf("hint %d without a snapshot", b.log.hw)
	}
	b.log.saveErr = nil
	b.put(idem("l", 1))
	b.hasSnapshot(1)
}

func TestCloseSavesASnapshotWhenItPays(t *testing.T) {
	b := lead(t, nil)
	b.put(idem("k", 1))
	if err := b.r.Close(context.Background()); err != nil || len(b.log.states) != 0 {
		t.Errorf("%v; %d snapshots for a few bytes", err, len(b.log.states))
	}
	b = lead(t, func(o *Options) { o.Config = partition.DefaultConfig(); o.Config.MaxMessageBytes = 4 << 20 })
	b.put(idem("k", 1))
	b.put(rec(string(make([]byte, 2<<20))))
	if err := b.r.Close(context.Background()); err != nil || len(b.log.states) != 1 {
		t.Errorf("%v; %d snapshots for 2 MiB", err, len(b.log.states))
	}
}

func TestTrim(t *testing.T) {
	b := lead(t, nil)
	ctx := context.Background()
	b.put(idem("k", 1))
	b.put(rec("a"))
	b.put(rec("b"))
	b.begin(rec("staged"))
	changed := make(chan struct{}, 1)
	defer b.r.Subscribe(changed)()
	var beyond *partition.OffsetBeyondEndError
	if _, err := b.r.Trim(ctx, 4); !errors.As(err, &beyond) || beyond.HighWatermark != 3 {
		t.Errorf("trim beyond the watermark: %v", err)
	}
	// The key's snapshot needs the watermark to pass what is staged.
	done := make(chan error)
	go func() {
		start, err := b.r.Trim(ctx, 2)
		if start != 2 {
			t.Errorf("log starts at %d", start)
		}
		done <- err
	}()
	for finished := false; !finished; {
		b.log.cycle()
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			finished = true
		case <-time.After(time.Millisecond):
		}
	}
	if len(b.log.states) != 1 {
		t.Errorf("%d snapshots", len(b.log.states))
	}
	<-changed
	var trimmed *partition.OffsetTrimmedError
	if _, _, err := b.r.Read(1, 1, partition.ReadUncommitted); !errors.As(err, &trimmed) || trimmed.LogStart != 2 {
		t.Errorf("read below the start: %v", err)
	}
	if start, err := b.r.Trim(ctx, 1); err != nil || start != 2 {
		t.Errorf("trim below the start: %d, %v", start, err)
	}
	if start, err := b.r.Trim(ctx, partition.NoOffset); err != nil || start != 4 {
		t.Errorf("trim of all that is committed: %d, %v", start, err)
	}
	if r := b.wait(b.begin(idem("k", 1))); !r.Duplicate || r.Offset != 0 || r.LogStart != 4 {
		t.Errorf("repeat of what was trimmed: %+v", r)
	}
	b = b.restart(nil)
	if r := b.wait(b.begin(idem("k", 1))); !r.Duplicate || r.Offset != 0 {
		t.Errorf("repeat after a restart: %+v", r)
	}
}

func TestDamagedSnapshotStopsTheOpen(t *testing.T) {
	b := lead(t, func(o *Options) { o.SnapshotBytes = 100 })
	b.put(idem("k", 1))
	b.hasSnapshot(1)
	log := b.log.crash()
	log.states[0].state = []byte("damaged")
	_, err := Open(context.Background(), Options{Log: log, Node: 1, Now: time.Now, Topic: "orders"})
	if !errors.Is(err, partition.ErrSnapshot) {
		t.Errorf("open: %v", err)
	}
}

func TestSnapshotEndsWhereABatchEnds(t *testing.T) {
	b := lead(t, nil)
	b.begin(idem("a", 1))
	b.log.seal()
	b.begin(idem("b", 1)) // the batch is open when the snapshot is taken
	done := make(chan error)
	go func() { done <- b.r.snapshot(context.Background()) }()
	for b.log.EndOffset() < 2 { // sealed by the snapshot, not by a cycle
		time.Sleep(time.Millisecond)
	}
	b.begin(idem("c", 1))
	b.log.cycle()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if len(b.log.states) != 1 || b.log.states[0].offset != 2 || b.log.batches[1].h.NextOffset() != 2 {
		t.Errorf("states %+v, batches %+v", b.log.states, b.log.batches)
	}
}

// TestSnapshotOfACutLogIsDropped: a follower's snapshot waits for the
// watermark; what it holds is cut off; the watermark then passes its offset.
func TestSnapshotOfACutLogIsDropped(t *testing.T) {
	b := openBench(t, &fakeLog{}, nil)
	b.r.BecomeFollower(1, 2)
	ctx := context.Background()
	if err := b.r.Follow(ctx, 1, partition.FetchAnswer{}, batch(t, 2, nil).Batch); err != nil {
		t.Fatal(err)
	}
	b.log.cycle()
	done := make(chan error)
	go func() { done <- b.r.snapshot(ctx) }()
	for waits := false; !waits; time.Sleep(time.Millisecond) {
		b.r.mu.Lock()
		waits = len(b.r.gates.q) > 0
		b.r.mu.Unlock()
	}
	if err := b.r.Diverged(ctx, 1, partition.EpochEnd{Epoch: -1, End: 0}); err != nil {
		t.Fatal(err)
	}
	if err := b.r.Follow(ctx, 1, partition.FetchAnswer{}, batch(t, 2, nil).Batch); err != nil {
		t.Fatal(err)
	}
	b.log.cycle()
	if err := b.r.Follow(ctx, 1, partition.FetchAnswer{HighWatermark: 2}, nil); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, partition.ErrNotLeader) || len(b.log.states) != 0 {
		t.Errorf("%v; %d snapshots", err, len(b.log.states))
	}
}
