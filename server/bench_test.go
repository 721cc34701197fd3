package server

import (
	"testing"

	"github.com/chroniklog/chronik/server/partition"
)

// BenchmarkBeginRecord is the broker's part of one acknowledged record, 64
// producers at once; the disk is memory.
func BenchmarkBeginRecord(b *testing.B) {
	broker := newBroker(b, nil)
	mustCreate(b, broker, TopicSpec{Name: "t"})
	value := make([]byte, 100)
	ctx := b.Context()
	b.ReportAllocs()
	b.SetParallelism(32)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			pending, err := broker.BeginRecord(ctx, "t", 0, partition.RecordAppend{
				Value: value, Timestamp: -1, Acks: partition.AcksAll, Cond: partition.NoConditions,
			})
			if err != nil {
				b.Error(err)
				return
			}
			if _, err := pending.Wait(ctx); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
