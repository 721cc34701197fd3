package server

import (
	"context"

	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/server/replica"
)

// LedLogs are the logs of the partitions that this node leads, by topic name
// and partition. Unlike the broker's own methods these never ask another node,
// nor wait for a leader: ErrNotLeader, or ErrNoLeader, comes back at once. The
// Kafka listener stands on them, whose clients go to each leader themselves.
type LedLogs struct{ b *Broker }

// LedLogs are the logs that this node leads.
func (b *Broker) LedLogs() *LedLogs { return &LedLogs{b: b} }

// BeginBatch is Broker.BeginBatch.
func (l *LedLogs) BeginBatch(ctx context.Context, topic string, p int32, r partition.BatchAppend,
) (*replica.Pending, error) {
	e, part, err := l.b.dir.part(topic, p)
	if err != nil {
		return nil, err
	}
	return l.b.beginBatch(ctx, e, part, r)
}

// Read is Broker.Read.
func (l *LedLogs) Read(ctx context.Context, req ReadRequest) (ReadResult, error) {
	e, part, err := l.b.dir.part(req.Topic, req.Partition)
	if err != nil {
		return ReadResult{}, err
	}
	req.MaxBytes = min(max(req.MaxBytes, 1), maxReadBytes)
	return l.b.read(ctx, e, part, req)
}

// Offsets is Broker.Offsets.
func (l *LedLogs) Offsets(topic string, p int32) (partition.Offsets, error) {
	e, part, err := l.b.dir.part(topic, p)
	if err != nil {
		return partition.Offsets{}, err
	}
	return l.b.offsets(e, part)
}

// OffsetForTime is Broker.OffsetForTime.
func (l *LedLogs) OffsetForTime(topic string, p int32, ts int64) (offset, timestamp int64, ok bool, err error) {
	e, part, err := l.b.dir.part(topic, p)
	if err != nil {
		return 0, 0, false, err
	}
	return l.b.offsetForTime(e, part, ts)
}

// Subscribe signals ch, without ever blocking on it, when the partition's
// watermark, start or leadership changes, until cancel.
func (l *LedLogs) Subscribe(topic string, p int32, ch chan<- struct{}) (cancel func(), err error) {
	_, rep, err := l.b.open(topic, p)
	if err != nil {
		return nil, err
	}
	return rep.Subscribe(ch), nil
}

// Trim is Broker.Trim.
func (l *LedLogs) Trim(ctx context.Context, topic string, p int32, before int64) (logStart int64, err error) {
	e, part, err := l.b.dir.part(topic, p)
	if err != nil {
		return 0, err
	}
	return l.b.trim(ctx, e, part, before)
}
