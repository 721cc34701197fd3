package plog

import (
	"context"
	"testing"

	"github.com/chroniklog/chronik/storage/record"
)

// BenchmarkRestart opens a store that was killed: with a gigabyte in one log,
// or with 10,000 logs; both have as much in the journal as the checkpoints
// allow.
func BenchmarkRestart(b *testing.B) {
	b.Run("1GiB", func(b *testing.B) { benchRestart(b, 1, 1<<20, 1024) })
	b.Run("10000-logs", func(b *testing.B) { benchRestart(b, 10_000, 2<<10, 5) })
}

func benchRestart(b *testing.B, logs, size, each int) {
	o := realOptions(b)
	o.JournalFileBytes = 0
	s, err := Open(context.Background(), o)
	if err != nil {
		b.Fatal(err)
	}
	all := make([]*loader, logs)
	batch := makeBatch(0, 1, record.Record{Value: make([]byte, size)})
	for i := range all {
		l, err := s.Create(ID{Topic: [16]byte{1, 15: byte(i)}, Partition: int32(i)}, Config{}, 1)
		if err != nil {
			b.Fatal(err)
		}
		all[i] = &loader{l: l, batch: batch, synced: make(chan int64, 1)}
		l.Bind(all[i])
	}
	for range each {
		if err := s.Reserve(context.Background(), logs*size); err != nil {
			b.Fatal(err)
		}
		for _, l := range all {
			l.n = 1
			l.l.MarkDirty()
		}
		for _, l := range all {
			<-l.synced
		}
	}
	s.Abort()
	b.ResetTimer()
	for range b.N {
		s, err := Open(context.Background(), o)
		if err != nil {
			b.Fatal(err)
		}
		if n := len(s.IDs()); n != logs {
			b.Fatalf("%d logs", n)
		}
		b.StopTimer()
		s.Abort()
		b.StartTimer()
	}
}
