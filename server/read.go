package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/server/replica"
)

// maxReadBytes bounds the batches of one read.
const maxReadBytes = 64 << 20

// Read returns whole batches from req.Offset on. While nothing is readable it
// waits up to req.Wait, woken by the partition's watermark; the result is then
// empty, not an error. It returns early, empty, when the node begins to shut
// down.
func (b *Broker) Read(ctx context.Context, req ReadRequest) (ReadResult, error) {
	e, rep, err := b.open(req.Topic, req.Partition)
	if err != nil {
		return ReadResult{}, err
	}
	req.MaxBytes = min(max(req.MaxBytes, 1), maxReadBytes)
	res, err := b.readOnce(e, rep, req)
	if err != nil || len(res.Batches) > 0 || req.Wait <= 0 {
		return res, err
	}
	wake := make(chan struct{}, 1)
	defer rep.Subscribe(wake)()
	timer := time.NewTimer(req.Wait)
	defer timer.Stop()
	for {
		// Look once more after subscribing: what came between is not signalled.
		if b.dir.id(e.topic.ID) == nil {
			return ReadResult{}, b.goneError(e)
		}
		res, err = b.readOnce(e, rep, req)
		if err != nil || len(res.Batches) > 0 {
			return res, err
		}
		select {
		case <-wake:
		case <-timer.C:
			return res, nil
		case <-b.draining:
			return res, nil
		case <-ctx.Done():
			return res, fmt.Errorf("read %s/%d: %w", req.Topic, req.Partition, context.Cause(ctx))
		}
	}
}

func (b *Broker) readOnce(e *entry, rep *replica.Replica, req ReadRequest) (ReadResult, error) {
	batches, offsets, err := rep.Read(req.Offset, req.MaxBytes, req.Isolation)
	if err != nil {
		return ReadResult{}, b.explain(e, req.Partition, fmt.Errorf("read %s/%d: %w", req.Topic, req.Partition, err))
	}
	b.o.Metrics.Read.Add(float64(len(batches)))
	return ReadResult{TopicID: e.topic.ID, Batches: batches, Offsets: offsets}, nil
}

// Offsets tells a partition's offsets. A leader that does not know yet where
// the committed log ends answers ErrOffsetNotAvailable of package partition.
func (b *Broker) Offsets(_ context.Context, topic string, p int32) (partition.Offsets, error) {
	e, rep, err := b.open(topic, p)
	if err != nil {
		return partition.Offsets{}, err
	}
	if err := rep.TailKnown(); err != nil {
		return partition.Offsets{}, b.explain(e, p, fmt.Errorf("offsets of %s/%d: %w", topic, p, err))
	}
	return rep.Offsets(), nil
}

// OffsetForTime finds the first record whose timestamp (Unix milliseconds) is
// at or after ts; ok is false if there is none.
func (b *Broker) OffsetForTime(ctx context.Context, topic string, p int32, ts int64,
) (offset, timestamp int64, ok bool, err error) {
	e, rep, err := b.open(topic, p)
	if err != nil {
		return 0, 0, false, err
	}
	offset, timestamp, ok, err = rep.OffsetForTime(ts)
	if err != nil {
		return 0, 0, false, b.explain(e, p, fmt.Errorf("offset for time in %s/%d: %w", topic, p, err))
	}
	return offset, timestamp, ok, nil
}

// Subscribe signals ch, without ever blocking on it, when the partition's
// watermark, start or leadership changes, until cancel.
func (b *Broker) Subscribe(topic string, p int32, ch chan<- struct{}) (cancel func(), err error) {
	_, rep, err := b.open(topic, p)
	if err != nil {
		return nil, err
	}
	return rep.Subscribe(ch), nil
}

// KeyOffset finds the offset that a key of a compacted topic was last written
// at; live is false when that was a tombstone. ErrUnknownKey if it never was.
func (b *Broker) KeyOffset(ctx context.Context, topic string, p int32, key []byte,
) (offset int64, live bool, err error) {
	e, rep, err := b.open(topic, p)
	if err != nil {
		return 0, false, err
	}
	offset, live, err = rep.Key(ctx, key)
	if err != nil {
		return 0, false, b.explain(e, p, fmt.Errorf("key in %s/%d: %w", topic, p, err))
	}
	if offset < 0 {
		return 0, false, fmt.Errorf("%w in %s/%d", ErrUnknownKey, topic, p)
	}
	return offset, live, nil
}

// open finds a partition and its replica.
func (b *Broker) open(topic string, p int32) (*entry, *replica.Replica, error) {
	e, part, err := b.dir.part(topic, p)
	if err != nil {
		return nil, nil, err
	}
	rep, err := b.replicaOf(e, part)
	return e, rep, err
}

// explain adds what the partition can't know to its error: where the leader
// can be reached, and why its replica was closed.
func (b *Broker) explain(e *entry, p int32, err error) error {
	var notLeader *partition.NotLeaderError
	switch {
	case errors.As(err, &notLeader):
		return fmt.Errorf("%s/%d: %w", e.topic.Name, p, b.leaderError(notLeader.Leader))
	case errors.Is(err, partition.ErrClosed):
		return b.goneError(e)
	}
	return err
}

// leaderError tells where the leader is.
func (b *Broker) leaderError(leader NodeID) error {
	if leader == 0 {
		return ErrNoLeader
	}
	return &NotLeaderError{Leader: leader, Addr: b.nodeAddress(leader)}
}

// goneError tells why a replica is closed: its topic was deleted, or the
// broker closes.
func (b *Broker) goneError(e *entry) error {
	if b.dir.id(e.topic.ID) == nil {
		return fmt.Errorf("%w: %q was deleted", ErrUnknownTopic, e.topic.Name)
	}
	return ErrShuttingDown
}
