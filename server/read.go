package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/chroniklog/chronik/server/forward"
	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/server/replica"
	"github.com/chroniklog/chronik/server/telemetry"
)

// maxReadBytes bounds the batches of one read.
const maxReadBytes = 64 << 20

// Read returns whole batches from req.Offset on. While nothing is readable it
// waits up to req.Wait, woken by the partition's watermark; the result is then
// empty, not an error. It returns early, empty, when the node begins to shut
// down. While the partition changes its leader it waits for the next one, up
// to failoverTime.
func (b *Broker) Read(ctx context.Context, req ReadRequest) (ReadResult, error) {
	e, part, err := b.dir.part(req.Topic, req.Partition)
	if err != nil {
		return ReadResult{}, err
	}
	req.MaxBytes = min(max(req.MaxBytes, 1), maxReadBytes)
	var res ReadResult
	err = b.throughFailover(ctx, func() error {
		leader, err := b.remote(part)
		switch {
		case err != nil:
			return fmt.Errorf("read %s/%d: %w", req.Topic, req.Partition, err)
		case leader == nil:
			res, err = b.read(ctx, e, part, req)
		default:
			res, err = b.readThere(ctx, leader, e, req)
		}
		if err == nil && res.Offsets.HighWatermark < req.AtLeast {
			return fmt.Errorf("read %s/%d: %w", req.Topic, req.Partition, partition.ErrOffsetNotAvailable)
		}
		return err
	})
	return res, err
}

// readThere reads from the node that leads. When this node begins to shut down
// it asks again without waiting: what it says must be the leader's answer.
// Looks that find nothing leave no spans: streams look for ever.
func (b *Broker) readThere(ctx context.Context, leader *forward.Client, e *entry, req ReadRequest) (ReadResult, error) {
	there := forward.Read{Offset: req.Offset, MaxBytes: req.MaxBytes, Isolation: req.Isolation, Wait: req.Wait}
	ctx, end := telemetry.StartForward(ctx, b.o.Tracer, e.topic.Name, req.Partition)
	ask := func(ctx context.Context) ([]byte, partition.Offsets, error) {
		return leader.Read(ctx, logID(e.topic.ID, req.Partition), there)
	}
	patient := there.Wait > 0 && b.drained.Err() == nil
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	if patient {
		defer context.AfterFunc(b.drained, cancel)()
	} else {
		there.Wait = 0
	}
	batches, offsets, err := ask(waiting)
	if err != nil && patient && waiting.Err() != nil && ctx.Err() == nil {
		there.Wait = 0
		batches, offsets, err = ask(ctx)
	}
	if worthSpan(batches, err) {
		end(err)
	}
	if err != nil {
		return ReadResult{}, b.relayed(e, req.Partition, err)
	}
	b.o.Metrics.Read.Add(float64(len(batches)))
	return ReadResult{TopicID: e.topic.ID, Batches: batches, Offsets: offsets}, nil
}

// worthSpan tells whether a look is shown in its trace: one that found something,
// or failed. That the reader left while it waited is neither.
func worthSpan(batches []byte, err error) bool {
	return len(batches) > 0 || err != nil && !errors.Is(err, context.Canceled)
}

// read reads from a partition that this node leads.
func (b *Broker) read(ctx context.Context, e *entry, part *part, req ReadRequest) (ReadResult, error) {
	rep, err := b.replicaOf(e, part)
	if err != nil {
		return ReadResult{}, err
	}
	req.MaxBytes = min(max(req.MaxBytes, 1), maxReadBytes)
	res, err := b.readOnce(ctx, e, rep, req)
	if err != nil || len(res.Batches) > 0 || req.Wait <= 0 {
		return res, err
	}
	wake := make(chan struct{}, 1)
	defer rep.Subscribe(wake)()
	timer := time.NewTimer(req.Wait)
	defer timer.Stop()
	for {
		// Read once more after subscribing: what came between is not signalled.
		res, err = b.readOnce(ctx, e, rep, req)
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

func (b *Broker) readOnce(ctx context.Context, e *entry, rep *replica.Replica, req ReadRequest) (ReadResult, error) {
	batches, offsets, err := rep.Read(req.Offset, req.MaxBytes, req.Isolation)
	if err = b.final(ctx, e, rep, err); err != nil {
		return ReadResult{}, b.explain(e, req.Partition, fmt.Errorf("read %s/%d: %w", req.Topic, req.Partition, err))
	}
	b.o.Metrics.Read.Add(float64(len(batches)))
	return ReadResult{TopicID: e.topic.ID, Batches: batches, Offsets: offsets}, nil
}

// Offsets tells a partition's offsets. A leader that does not know yet where
// the committed log ends answers ErrOffsetNotAvailable of package partition.
func (b *Broker) Offsets(ctx context.Context, topic string, p int32) (o partition.Offsets, err error) {
	e, part, err := b.dir.part(topic, p)
	if err != nil {
		return o, err
	}
	err = b.throughFailover(ctx, func() error {
		leader, err := b.remote(part)
		switch {
		case err != nil:
			return fmt.Errorf("offsets of %s/%d: %w", topic, p, err)
		case leader == nil:
			o, err = b.offsets(e, part)
			return err
		}
		o, err = leader.Offsets(ctx, logID(e.topic.ID, p))
		return b.relayed(e, p, err)
	})
	return o, err
}

func (b *Broker) offsets(e *entry, part *part) (partition.Offsets, error) {
	rep, err := b.replicaOf(e, part)
	if err != nil {
		return partition.Offsets{}, err
	}
	if err := rep.TailKnown(); err != nil {
		p := part.number
		return partition.Offsets{}, b.explain(e, p, fmt.Errorf("offsets of %s/%d: %w", e.topic.Name, p, err))
	}
	return rep.Offsets(), nil
}

// await waits until a partition that this node leads has other offsets than
// known, or is not led here any more.
func (b *Broker) await(ctx context.Context, e *entry, part *part, known partition.Offsets) (partition.Offsets, error) {
	rep, err := b.replicaOf(e, part)
	if err != nil {
		return partition.Offsets{}, err
	}
	wake := make(chan struct{}, 1)
	defer rep.Subscribe(wake)()
	for {
		o, err := b.offsets(e, part)
		if err != nil || !sameToReaders(o, known) {
			return o, err
		}
		select {
		case <-wake:
		case <-b.draining:
			return o, ErrShuttingDown
		case <-ctx.Done():
			return o, fmt.Errorf("await %s/%d: %w", e.topic.Name, part.number, context.Cause(ctx))
		}
	}
}

// sameToReaders ignores the log's staged end: readers don't see it.
func sameToReaders(a, b partition.Offsets) bool {
	a.LogEnd, b.LogEnd = 0, 0
	return a == b
}

// OffsetForTime finds the first record whose timestamp (Unix milliseconds) is
// at or after ts; ok is false if there is none.
func (b *Broker) OffsetForTime(ctx context.Context, topic string, p int32, ts int64,
) (offset, timestamp int64, ok bool, err error) {
	e, part, err := b.dir.part(topic, p)
	if err != nil {
		return 0, 0, false, err
	}
	err = b.throughFailover(ctx, func() error {
		leader, err := b.remote(part)
		switch {
		case err != nil:
			return fmt.Errorf("offset for time in %s/%d: %w", topic, p, err)
		case leader == nil:
			offset, timestamp, ok, err = b.offsetForTime(e, part, ts)
			return err
		}
		ctx, answered := b.asking(ctx, e, p)
		offset, timestamp, ok, err = leader.OffsetForTime(ctx, logID(e.topic.ID, p), ts)
		return answered(err)
	})
	return offset, timestamp, ok, err
}

func (b *Broker) offsetForTime(e *entry, part *part, ts int64) (offset, timestamp int64, ok bool, err error) {
	rep, err := b.replicaOf(e, part)
	if err != nil {
		return 0, 0, false, err
	}
	offset, timestamp, ok, err = rep.OffsetForTime(ts)
	if err != nil {
		p := part.number
		return 0, 0, false, b.explain(e, p, fmt.Errorf("offset for time in %s/%d: %w", e.topic.Name, p, err))
	}
	return offset, timestamp, ok, nil
}

// KeyOffset finds the offset that a key of a compacted topic was last written
// at; live is false when that was a tombstone. ErrUnknownKey if it never was.
func (b *Broker) KeyOffset(ctx context.Context, topic string, p int32, key []byte,
) (offset int64, live bool, err error) {
	e, part, err := b.dir.part(topic, p)
	if err != nil {
		return 0, false, err
	}
	err = b.throughFailover(ctx, func() error {
		leader, err := b.remote(part)
		switch {
		case err != nil:
			return fmt.Errorf("key in %s/%d: %w", topic, p, err)
		case leader == nil:
			offset, live, err = b.keyOffset(ctx, e, part, key)
			return err
		}
		ctx, answered := b.asking(ctx, e, p)
		offset, live, err = leader.KeyOffset(ctx, logID(e.topic.ID, p), key)
		return answered(err)
	})
	return offset, live, err
}

func (b *Broker) keyOffset(ctx context.Context, e *entry, part *part, key []byte) (offset int64, live bool, err error) {
	rep, err := b.replicaOf(e, part)
	if err != nil {
		return 0, false, err
	}
	p := part.number
	offset, live, err = rep.Key(ctx, key)
	if err != nil {
		return 0, false, b.explain(e, p, fmt.Errorf("key in %s/%d: %w", e.topic.Name, p, err))
	}
	if offset < 0 {
		return 0, false, fmt.Errorf("%w in %s/%d", ErrUnknownKey, e.topic.Name, p)
	}
	return offset, live, nil
}

// open finds a partition and its replica on this node.
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
