package plog

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/chroniklog/chronik/storage/record"
	"github.com/chroniklog/chronik/storage/vfs"
)

// BenchmarkCrossover compares, for one log and a size per cycle, the journal
// with the direct way and with the disk's own append and fdatasync. The three
// take turns within each round, so that what else the disk does hits all of
// them alike; the medians of the rounds are reported in microseconds.
func BenchmarkCrossover(b *testing.B) {
	for _, size := range []int{64 << 10, 256 << 10, 512 << 10, 1 << 20, 4 << 20} {
		b.Run(fmt.Sprint(size>>10, "KiB"), func(b *testing.B) {
			ways := map[string]func(){
				"plain": plainWay(b, size), "direct": storeWay(b, size, 1), "journal": storeWay(b, size, -1),
			}
			took := map[string][]float64{}
			b.SetBytes(int64(len(ways) * size))
			b.ResetTimer()
			for range b.N {
				for name, do := range ways {
					start := time.Now()
					do()
					took[name] = append(took[name], float64(time.Since(start).Microseconds()))
				}
			}
			for name, t := range took {
				slices.Sort(t)
				b.ReportMetric(t[len(t)/2], name+"-us")
			}
		})
	}
}

func plainWay(b *testing.B, size int) func() {
	f, err := vfs.OS().Create(filepath.Join(b.TempDir(), "plain"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = f.Close() })
	chunk, at := make([]byte, size), int64(0)
	return func() {
		if _, err := f.WriteAt(chunk, at); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
		at += int64(size)
	}
}

func storeWay(b *testing.B, size int, direct int64) func() {
	s := benchStore(b, func(o *Options) { o.DirectBytes = direct })
	l, err := s.Create(testID(1), Config{}, 1)
	if err != nil {
		b.Fatal(err)
	}
	n := max(1, size/(64<<10))
	batch := makeBatch(0, 1, record.Record{Value: make([]byte, size/n-100)})
	o := &loader{l: l, batch: batch, synced: make(chan int64, 1)}
	l.Bind(o)
	return func() {
		if err := s.Reserve(context.Background(), size); err != nil {
			b.Fatal(err)
		}
		o.n = n
		l.MarkDirty()
		<-o.synced
	}
}
