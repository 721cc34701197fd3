package replica

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/storage/plog"
	"github.com/chroniklog/chronik/storage/vfs"
)

// disk is a replica on a real store.
type disk struct {
	tb    testing.TB
	fs    vfs.FS
	store *plog.Store
	r     *Replica
}

func openDisk(tb testing.TB, fs vfs.FS, dir string, epoch int32, change func(*Options)) *disk {
	tb.Helper()
	ctx := context.Background()
	d := &disk{tb: tb, fs: fs}
	var err error
	d.store, err = plog.Open(ctx, plog.Options{
		FS: fs, Dir: dir, JournalFileBytes: 4 << 20, MaintenanceInterval: -1, ReserveBytes: -1,
		Fatal: func(err error) { tb.Errorf("store failed: %v", err) },
	})
	if err != nil {
		tb.Fatal(err)
	}
	id := plog.ID{Topic: [16]byte{1}}
	log, err := d.store.Create(id, plog.Config{SegmentBytes: 1 << 20}, 1)
	if err != nil {
		tb.Fatal(err)
	}
	o := Options{Topic: "orders", ID: id, Log: log, Store: d.store, Node: 1, Now: time.Now}
	if change != nil {
		change(&o)
	}
	if d.r, err = Open(ctx, o); err != nil {
		tb.Fatal(err)
	}
	d.r.BecomeLeader(epoch, 1, []int32{1}, []int32{1})
	return d
}

func (d *disk) close() {
	d.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := errors.Join(d.r.Close(ctx), d.store.Close(ctx)); err != nil {
		d.tb.Error(err)
	}
}

// ledger is what was answered.
type ledger struct {
	mu    sync.Mutex
	acked map[string]partition.Appended
}

// writer appends with Idempotency-Keys and a producer until stop is closed.
func (l *ledger) writer(r *Replica, name string, pid int64, stop <-chan struct{}) {
	for n := int32(0); ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		key := fmt.Sprintf("%s-%d", name, n)
		a := idem(key, 1)
		if n%3 == 0 {
			a.IdempotencyKey = ""
			a.Producer = &partition.ProducerSeq{ID: pid, Seq: n / 3}
		}
		p, err := r.BeginRecord(a)
		if err != nil {
			return
		}
		res, err := p.Wait(context.Background())
		if err != nil {
			return
		}
		l.mu.Lock()
		l.acked[key] = res
		l.mu.Unlock()
	}
}

// snapshot is what was answered so far.
func (l *ledger) snapshot() map[string]partition.Appended {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make(map[string]partition.Appended, len(l.acked))
	for k, v := range l.acked {
		out[k] = v
	}
	return out
}

// TestPowerLossKeepsWhatWasAnswered crashes a store under load, time and
// again: what was answered is there, and what repeats it gets the same answer.
func TestPowerLossKeepsWhatWasAnswered(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { powerLoss(t, seed) })
	}
}

func powerLoss(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	small := func(o *Options) { o.SnapshotBytes = 20_000; o.PackRecords = 5 }
	fs := vfs.NewMem()
	known := map[string]partition.Appended{}
	for epoch := range int32(3) {
		d := openDisk(t, fs, "data", epoch+1, small)
		d.verify(known)
		l := &ledger{acked: map[string]partition.Appended{}}
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() { l.writer(d.r, fmt.Sprintf("e%d-w%d", epoch, i), int64(100*epoch)+int64(i), stop) })
		}
		target := 200 + rng.IntN(600)
		for len(l.snapshot()) < target {
			time.Sleep(time.Millisecond)
		}
		for k, v := range l.snapshot() {
			known[k] = v
		}
		crashed := fs.Crash(seed + uint64(epoch)) // with writers, cycles and snapshots under way
		close(stop)
		wg.Wait()
		d.close()
		fs = crashed
	}
	d := openDisk(t, fs, "data", 9, small)
	d.verify(known)
	d.close()
}

// verify repeats what was answered.
func (d *disk) verify(known map[string]partition.Appended) {
	d.tb.Helper()
	b := &bench{tb: d.tb, t: d.tb, r: d.r}
	stored := map[int64]string{}
	next := int64(0)
	for _, r := range b.stored(0) {
		if r.Offset != next {
			d.tb.Fatalf("offset %d follows %d", r.Offset, next-1)
		}
		next++
		if len(r.Headers) > 0 {
			stored[r.Offset] = string(r.Headers[0].Value[25:])
		}
	}
	for key, want := range known {
		a := idem(key, 1)
		if n := stored[want.Offset]; n == "" { // a producer's; its window holds the last five only
			continue
		} else if n != key {
			d.tb.Fatalf("%s was answered with offset %d; there is %q", key, want.Offset, n)
		}
		p, err := d.r.BeginRecord(a)
		if err != nil {
			d.tb.Fatalf("repeat of %s: %v", key, err)
		}
		got, err := p.Wait(context.Background())
		if err != nil || !got.Duplicate || got.Offset != want.Offset || got.Timestamp != want.Timestamp {
			d.tb.Fatalf("repeat of %s: %+v, %v; the first answer was %+v", key, got, err, want)
		}
	}
}

func TestTrimAndReopen(t *testing.T) {
	fs := vfs.NewMem()
	d := openDisk(t, fs, "data", 1, nil)
	b := &bench{tb: t, t: t, r: d.r}
	for i := range 50 {
		p := b.begin(idem(fmt.Sprintf("k%d", i), 1))
		if _, err := p.Wait(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if start, err := d.r.Trim(context.Background(), 40); err != nil || start != 40 {
		t.Fatalf("trim: %d, %v", start, err)
	}
	crashed := fs.CrashLosingAll()
	d.close()
	d = openDisk(t, crashed, "data", 2, nil)
	defer d.close()
	for i := range 50 {
		p, err := d.r.BeginRecord(idem(fmt.Sprintf("k%d", i), 1))
		if err != nil {
			t.Fatal(err)
		}
		if r, err := p.Wait(context.Background()); err != nil || !r.Duplicate || r.Offset != int64(i) {
			t.Fatalf("repeat of k%d: %+v, %v", i, r, err)
		}
	}
}

// BenchmarkAppendRecord64 is 64 goroutines that append records of 100 bytes to
// one partition and wait for each, on a memory disk whose sync costs nothing,
// and on the real one.
func BenchmarkAppendRecord64(b *testing.B) {
	for _, c := range []struct {
		name string
		fs   vfs.FS
		dir  string
	}{{"mem", vfs.NewMem(), "data"}, {"disk", vfs.OS(), b.TempDir()}} {
		b.Run(c.name, func(b *testing.B) { benchmarkAppend(b, c.fs, c.dir) })
	}
}

func benchmarkAppend(b *testing.B, fs vfs.FS, dir string) {
	d := openDisk(b, fs, dir, 1, nil)
	defer d.close()
	value := make([]byte, 100)
	var wg sync.WaitGroup
	before := d.cycles()
	b.ReportAllocs()
	b.ResetTimer()
	const clients = 64
	for i := range clients {
		n := b.N / clients
		if i < b.N%clients {
			n++
		}
		wg.Go(func() {
			for range n {
				p, err := d.r.BeginRecord(partition.RecordAppend{
					Value: value, Timestamp: -1, Acks: partition.AcksAll, Cond: partition.NoConditions,
				})
				if err != nil {
					b.Error(err)
					return
				}
				if _, err := p.Wait(context.Background()); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/float64(d.cycles()-before), "records/cycle")
}

// cycles is how many commit cycles there were, by the last one's number.
func (d *disk) cycles() uint64 {
	p, err := d.r.BeginRecord(rec("last"))
	if err != nil {
		d.tb.Fatal(err)
	}
	if _, err := p.Wait(context.Background()); err != nil {
		d.tb.Fatal(err)
	}
	return p.Cycle().ID
}

// BenchmarkBeginRecord is the path under the lock alone.
func BenchmarkBeginRecord(b *testing.B) {
	t := lead(b, func(o *Options) { o.StagedBytes = 1 << 40 })
	value := make([]byte, 100)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := t.r.BeginRecord(partition.RecordAppend{
			Value: value, Timestamp: -1, Acks: partition.AcksAll, Cond: partition.NoConditions,
		}); err != nil {
			b.Fatal(err)
		}
		if i%64 == 63 {
			t.log.cycle()
			t.log.batches = t.log.batches[:0]
		}
	}
}
