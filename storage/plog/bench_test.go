package plog

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/chroniklog/chronik/storage/record"
	"github.com/chroniklog/chronik/storage/vfs"
)

// benchStore is a store on the real disk.
func benchStore(b *testing.B, change func(*Options)) *Store {
	b.Helper()
	o := Options{Dir: filepath.Join(b.TempDir(), "data"), Fatal: func(err error) { b.Error(err) }}
	if change != nil {
		change(&o)
	}
	s, err := Open(context.Background(), o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(s.Abort)
	if err := s.journal.Prepare(context.Background()); err != nil {
		b.Fatal(err)
	}
	return s
}

// packer is an owner that packs what waits into one batch, and wakes all who
// share it with one channel.
type packer struct {
	l     *Log
	mu    sync.Mutex
	n     int // records that wait
	open  chan struct{}
	under []waiting
	b     *record.Builder
	value []byte
}

type waiting struct {
	end  int64
	done chan struct{}
}

func newPacker(l *Log, size int) *packer {
	p := &packer{l: l, b: record.NewBuilder(record.CodecNone), value: make([]byte, size)}
	l.Bind(p)
	return p
}

func (p *packer) put() {
	p.mu.Lock()
	if p.n == 0 {
		p.open = make(chan struct{})
	}
	p.n++
	done := p.open
	p.mu.Unlock()
	p.l.MarkDirty()
	<-done
}

func (p *packer) Seal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.n == 0 {
		return
	}
	p.b.Reset(p.l.EndOffset(), 1)
	for range p.n {
		p.b.Append(1, nil, p.value, nil)
	}
	batch := p.b.Build(nil)
	h, _ := record.ParseHeader(batch)
	p.l.Append(batch, h)
	p.under = append(p.under, waiting{h.NextOffset(), p.open})
	p.n = 0
}

func (p *packer) Flushed(end int64, _ *Cycle) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.under) > 0 && p.under[0].end <= end {
		close(p.under[0].done)
		p.under = p.under[1:]
	}
}

func (p *packer) Failed(error) {}

// BenchmarkAppend is W1's core: clients that append one record of 100 B each
// and wait for the sync. "fdatasync" is the disk's own time for one page.
func BenchmarkAppend(b *testing.B) {
	b.Run("fdatasync", func(b *testing.B) {
		f, err := vfs.OS().Create(filepath.Join(b.TempDir(), "f"))
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		page := make([]byte, 4096)
		for i := range int64(4096) {
			if _, err := f.WriteAt(page, i*4096); err != nil {
				b.Fatal(err)
			}
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
		for i := range b.N {
			if _, err := f.WriteAt(page, int64(i%4096)*4096); err != nil {
				b.Fatal(err)
			}
			if err := f.Sync(); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, clients := range []int{1, 64, 256} {
		b.Run(fmt.Sprint("clients=", clients), func(b *testing.B) { benchClients(b, clients, 1, 1) })
	}
	for _, logs := range []int{100, 10_000} {
		b.Run(fmt.Sprint("clients=64,logs=", logs), func(b *testing.B) { benchClients(b, 64, logs, logs) })
	}
}

func benchClients(b *testing.B, clients, logs, _ int) {
	var cycles int64
	var syncing time.Duration
	var took []time.Duration
	s := benchStore(b, func(o *Options) {
		o.Metrics = &Metrics{Cycle: func(c *Cycle) {
			cycles++
			took = append(took, c.End.Sub(c.SyncStart))
			syncing += took[len(took)-1]
		}}
	})
	packers := make([]*packer, logs)
	for i := range packers {
		id := ID{Topic: [16]byte{1, 15: byte(i)}, Partition: int32(i)}
		l, err := s.Create(id, Config{}, 1)
		if err != nil {
			b.Fatal(err)
		}
		packers[i] = newPacker(l, 100)
	}
	b.ResetTimer()
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			for i := c; i < b.N; i += clients {
				packers[i*7919%logs].put()
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/float64(cycles), "records/cycle")
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(cycles), "us/cycle")
	b.ReportMetric(float64(syncing.Microseconds())/float64(cycles), "us-sync/cycle")
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "us-sync-p99")
	b.ReportMetric(float64(took[len(took)*999/1000].Microseconds()), "us-sync-p99.9")
}

// BenchmarkLarge is W2's core: batches of 100 KB, some of them staged per
// cycle, by the journal or straight to the segment; "plain" is the disk's own
// append and fdatasync of 1 MiB.
func BenchmarkLarge(b *testing.B) {
	b.Run("plain-1MiB", func(b *testing.B) {
		f, err := vfs.OS().Create(filepath.Join(b.TempDir(), "f"))
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		chunk := make([]byte, 1<<20)
		b.SetBytes(1 << 20)
		for i := range b.N {
			if _, err := f.WriteAt(chunk, int64(i)<<20); err != nil {
				b.Fatal(err)
			}
			if err := f.Sync(); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, staged := range []int{1, 4, 10, 40} {
		for way, direct := range map[string]int64{"direct": 1, "journal": -1} {
			b.Run(fmt.Sprintf("%s,batches=%d", way, staged), func(b *testing.B) { benchLarge(b, staged, direct) })
		}
	}
}

// loader is an owner that appends copies of one batch.
type loader struct {
	l      *Log
	batch  []byte
	n      int // to append at the next cycle
	synced chan int64
}

func (o *loader) Seal() {
	for ; o.n > 0; o.n-- {
		b := append(make([]byte, 0, len(o.batch)), o.batch...)
		record.Place(b, o.l.EndOffset(), 1)
		o.l.Append(b, mustHeader(b))
	}
}
func (o *loader) Flushed(end int64, _ *Cycle) { o.synced <- end }
func (o *loader) Failed(error)                {}

func benchLarge(b *testing.B, staged int, direct int64) {
	s := benchStore(b, func(o *Options) { o.DirectBytes = direct })
	l, err := s.Create(testID(1), Config{}, 1)
	if err != nil {
		b.Fatal(err)
	}
	o := &loader{l: l, batch: makeBatch(0, 1, record.Record{Value: make([]byte, 100<<10)}), synced: make(chan int64, 1)}
	l.Bind(o)
	b.SetBytes(int64(staged * len(o.batch)))
	b.ResetTimer()
	for range b.N {
		if err := s.Reserve(context.Background(), staged*len(o.batch)); err != nil {
			b.Fatal(err)
		}
		o.n = staged
		l.MarkDirty()
		<-o.synced
	}
}

// BenchmarkRead reads 1 MiB at a time: from memory, and from segments in the
// page cache.
func BenchmarkRead(b *testing.B) {
	for _, size := range []int{1 << 10, 100 << 10} {
		for _, where := range []string{"memory", "segment"} {
			b.Run(fmt.Sprintf("%s,batch=%d", where, size), func(b *testing.B) { benchRead(b, where, size) })
		}
	}
}

func benchRead(b *testing.B, where string, size int) {
	s := benchStore(b, func(o *Options) {
		if where == "segment" {
			o.TailBytes = 1
		}
	})
	l, err := s.Create(testID(1), Config{}, 1)
	if err != nil {
		b.Fatal(err)
	}
	f := newFeeder(l)
	value := make([]byte, size)
	n := (32 << 20) / size
	for range n {
		f.add(rec(1, "", string(value)))
	}
	f.wait(b, int64(n))
	if err := s.Checkpoint(context.Background()); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	var total, from int64
	for range b.N {
		got, err := l.Read(from, int64(n), 1<<20)
		if err != nil {
			b.Fatal(err)
		}
		total += int64(len(got))
		for len(got) > 0 {
			h, _ := record.ParseHeader(got)
			from, got = h.NextOffset(), got[h.Size():]
		}
		if from >= int64(n) {
			from = 0
		}
	}
	b.SetBytes(total / int64(b.N))
}
