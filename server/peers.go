package server

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chroniklog/chronik/raft/meta"
	"github.com/chroniklog/chronik/server/forward"
	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/server/replica"
	"github.com/chroniklog/chronik/server/replication"
	"github.com/chroniklog/chronik/server/telemetry"
	"github.com/chroniklog/chronik/storage/plog"
	"github.com/chroniklog/chronik/storage/record"
)

// Peers is how a broker reaches the other nodes; *cluster.Cluster is one.
type Peers interface {
	// Leader asks a node about partitions that it leads.
	Leader(node NodeID) *forward.Client
	// Follow copies a partition from its leader from now on.
	Follow(id plog.ID, leader NodeID, f replication.Followed)
	// Unfollow stops that.
	Unfollow(id plog.ID)
}

// ForwardedErrors are the errors that travel between nodes. Numbers are never
// reused: a node may talk to one of the release before.
func ForwardedErrors() forward.Errors {
	return forward.Errors{
		1: partition.ErrNotLeader, 2: ErrUnknownTopic, 3: ErrUnknownPartition, 4: partition.ErrOffsetTrimmed,
		5: partition.ErrOffsetBeyondEnd, 6: partition.ErrOffsetNotAvailable, 7: partition.ErrNotEnoughReplicas,
		8: partition.ErrOutcomeUnknown, 9: partition.ErrThrottled, 10: partition.ErrDiskFull,
		11: partition.ErrClosed, 12: partition.ErrTransactional, 13: partition.ErrInvalidAppend,
		14: partition.ErrNotCompacted, 15: partition.ErrOffsetConflict, 16: partition.ErrFenced,
		17: partition.ErrKeyPrecondition, 18: partition.ErrSequenceGap, 19: partition.ErrDuplicateSequence,
		20: partition.ErrStaleEpoch, 21: partition.ErrIdempotencyMismatch, 22: ErrUnknownKey,
		23: ErrShuttingDown, 24: ErrNoLeader, 25: record.ErrTooLarge, 26: record.ErrNullKey,
		27: record.ErrCRC, 28: record.ErrCorrupt, 29: record.ErrInvalid, 30: plog.ErrCorrupt,
		31: forward.ErrMalformed, 32: ErrNotRestoring,
	}
}

// Join gives the broker its peers, before Start. Without them the node is
// alone.
func (b *Broker) Join(p Peers) { b.peers = p }

// remote is the leader of a partition where that is another node, nil where
// this node leads. A request that came from a peer is never handed on.
func (b *Broker) remote(p *part) (*forward.Client, error) {
	s := p.state.Load()
	switch {
	case s.Leader == b.o.Node:
		return nil, nil
	case s.Leader == 0:
		return nil, ErrNoLeader
	case b.peers == nil:
		return nil, b.leaderError(s.Leader)
	}
	return b.peers.Leader(s.Leader), nil
}

// relayed explains the error of a leader that was asked.
func (b *Broker) relayed(e *entry, p int32, err error) error {
	switch {
	case err == nil:
		return nil
	case LeaderMoved(err) && b.dir.id(e.topic.ID) == nil:
		return b.goneError(e)
	case errors.Is(err, forward.ErrUnreachable):
		return fmt.Errorf("%s/%d: %w: %w", e.topic.Name, p, ErrNoLeader, err)
	case errors.Is(err, partition.ErrClosed), errors.Is(err, ErrShuttingDown):
		// The leader goes, this node stays: its client may wait for the next.
		return fmt.Errorf("%s/%d: %w: the node that led it shuts down", e.topic.Name, p, ErrNoLeader)
	}
	return b.explain(e, p, err)
}

// Local is this node's partitions, as its peers ask for them.
func (b *Broker) Local() *Local { return &Local{b: b, pace: replication.NewPace(b.o.Now)} }

// Local serves peers from the partitions that this node holds. It never asks
// another node: a loop can't be.
type Local struct {
	b    *Broker
	pace *replication.Pace // of all that is sent to where replicas are moved
}

var (
	_ forward.Local       = (*Local)(nil)
	_ replication.Leaders = (*Local)(nil)
)

// part finds a partition. A topic that this node does not show is one that it
// does not lead, yet or any more: the front node, which does show it, knows
// best whether it exists.
func (l *Local) part(id plog.ID) (*entry, *part, error) {
	e := l.b.dir.id(id.Topic)
	if e == nil {
		return nil, nil, fmt.Errorf("%w: topic %x is not shown here", ErrNoLeader, id.Topic)
	}
	if id.Partition < 0 || int(id.Partition) >= len(e.parts) {
		return nil, nil, fmt.Errorf("%w: %s/%d is not shown here", ErrNoLeader, e.topic.Name, id.Partition)
	}
	return e, e.parts[id.Partition], nil
}

// Led implements replication.Leaders.
func (l *Local) Led(id plog.ID) (replication.Led, bool) {
	e, p, err := l.part(id)
	if err != nil || p.state.Load().Leader != l.b.o.Node {
		return nil, false
	}
	r, err := l.b.replicaOf(e, p)
	if err != nil {
		return nil, false
	}
	return led{Replica: r, part: p, pace: l.pace, sent: l.b.o.Metrics.ReplicaSent}, true
}

// led is a replica as its followers' sessions see it.
type led struct {
	*replica.Replica
	part *part
	pace *replication.Pace
	sent prometheus.Counter
}

// Staged implements replication.Led. What is read is sent.
func (l led) Staged(epoch int32, from int64, maxBytes int) ([]byte, partition.FetchAnswer, error) {
	batches, a, err := l.Replica.Staged(epoch, from, maxBytes)
	if len(batches) > 0 {
		l.sent.Add(float64(len(batches)))
	}
	return batches, a, err
}

// Throttle implements replication.Throttled.
func (l led) Throttle(follower int32) (*replication.Pace, int64) {
	s := l.part.state.Load()
	if s.Throttle == 0 || slices.Contains(s.ISR, follower) || !slices.Contains(s.Target, follower) {
		return nil, 0
	}
	return l.pace, s.Throttle
}

// BeginRecord implements forward.Local.
func (l *Local) BeginRecord(ctx context.Context, id plog.ID, r partition.RecordAppend) (*replica.Pending, error) {
	e, p, err := l.part(id)
	if err != nil {
		return nil, err
	}
	return l.b.beginRecord(ctx, e, p, r)
}

// BeginBatch implements forward.Local.
func (l *Local) BeginBatch(ctx context.Context, id plog.ID, r partition.BatchAppend) (*replica.Pending, error) {
	e, p, err := l.part(id)
	if err != nil {
		return nil, err
	}
	return l.b.beginBatch(ctx, e, p, r)
}

// Read implements forward.Local.
func (l *Local) Read(ctx context.Context, id plog.ID, r forward.Read) ([]byte, partition.Offsets, error) {
	e, p, err := l.part(id)
	if err != nil {
		return nil, partition.Offsets{}, err
	}
	end := l.serving(ctx, telemetry.ServedRead, e, p)
	res, err := l.b.read(ctx, e, p, ReadRequest{
		Topic: e.topic.Name, Partition: p.number, Offset: r.Offset, MaxBytes: r.MaxBytes,
		Isolation: r.Isolation, Wait: r.Wait,
	})
	if worthSpan(res.Batches, err) {
		end(err)
	}
	return res.Batches, res.Offsets, err
}

// serving begins this node's span of what a peer asks.
func (l *Local) serving(ctx context.Context, method string, e *entry, p *part) (end func(error)) {
	return telemetry.StartServed(ctx, l.b.o.Tracer, method, e.topic.Name, p.number)
}

// Offsets implements forward.Local.
func (l *Local) Offsets(_ context.Context, id plog.ID) (partition.Offsets, error) {
	e, p, err := l.part(id)
	if err != nil {
		return partition.Offsets{}, err
	}
	return l.b.offsets(e, p)
}

// Await implements forward.Local.
func (l *Local) Await(ctx context.Context, id plog.ID, known partition.Offsets) (partition.Offsets, error) {
	e, p, err := l.part(id)
	if err != nil {
		return partition.Offsets{}, err
	}
	return l.b.await(ctx, e, p, known)
}

// OffsetForTime implements forward.Local.
func (l *Local) OffsetForTime(ctx context.Context, id plog.ID, ts int64) (offset, at int64, ok bool, err error) {
	e, p, err := l.part(id)
	if err != nil {
		return 0, 0, false, err
	}
	end := l.serving(ctx, telemetry.ServedTime, e, p)
	offset, at, ok, err = l.b.offsetForTime(e, p, ts)
	end(err)
	return offset, at, ok, err
}

// Trim implements forward.Local.
func (l *Local) Trim(ctx context.Context, id plog.ID, before int64) (logStart int64, err error) {
	e, p, err := l.part(id)
	if err != nil {
		return 0, err
	}
	end := l.serving(ctx, telemetry.ServedTrim, e, p)
	logStart, err = l.b.trim(ctx, e, p, before)
	end(err)
	return logStart, err
}

// SetFence implements forward.Local.
func (l *Local) SetFence(ctx context.Context, id plog.ID, token string, expect *string) (offset int64, err error) {
	e, p, err := l.part(id)
	if err != nil {
		return 0, err
	}
	end := l.serving(ctx, telemetry.ServedFence, e, p)
	offset, err = l.b.setFence(ctx, e, p, token, expect)
	end(err)
	return offset, err
}

// KeyOffset implements forward.Local.
func (l *Local) KeyOffset(ctx context.Context, id plog.ID, key []byte) (offset int64, live bool, err error) {
	e, p, err := l.part(id)
	if err != nil {
		return 0, false, err
	}
	end := l.serving(ctx, telemetry.ServedKey, e, p)
	offset, live, err = l.b.keyOffset(ctx, e, p, key)
	end(failure(err))
	return offset, live, err
}

// Confirm implements forward.Local.
func (l *Local) Confirm(_ context.Context, id plog.ID, epoch int32) error {
	_, p, err := l.part(id)
	if err != nil {
		return err
	}
	if s := p.state.Load(); s.LeaderEpoch > epoch {
		return &partition.NotLeaderError{Leader: s.Leader, Epoch: s.LeaderEpoch}
	}
	return nil
}

// Visible implements forward.Local.
func (l *Local) Visible(ctx context.Context, index uint64) error {
	return l.b.dir.awaitIndex(ctx, index)
}

// forwarding begins the span of a request that is handed on, and translates
// its error.
func (b *Broker) forwarding(ctx context.Context, e *entry, p int32) (context.Context, forward.Answered) {
	ctx, end := telemetry.StartForward(ctx, b.o.Tracer, e.topic.Name, p)
	return ctx, func(a *partition.Appended, err error) error {
		if err == nil {
			e.parts[p].prove(a.LeaderEpoch)
		}
		err = b.relayed(e, p, err)
		end(err)
		return err
	}
}

// asking begins the span of a question that the leader answers; answered ends
// it and explains the leader's error.
func (b *Broker) asking(ctx context.Context, e *entry, p int32) (out context.Context, answered func(error) error) {
	ctx, end := telemetry.StartForward(ctx, b.o.Tracer, e.topic.Name, p)
	return ctx, func(err error) error {
		err = b.relayed(e, p, err)
		end(failure(err))
		return err
	}
}

// failure is what makes a span one of an error: that a key has no value is an
// answer.
func failure(err error) error {
	if errors.Is(err, ErrUnknownKey) {
		return nil
	}
	return err
}

// followed is a replica as its fetcher sees it.
type followed struct {
	*replica.Replica
	id      plog.ID
	topic   string
	traces  *telemetry.Replicates
	metrics *telemetry.Metrics
}

// Follow takes over batches, and has the traces show it that they belong to.
func (f followed) Follow(ctx context.Context, epoch int32, a partition.FetchAnswer, batches []byte) error {
	spans := f.traces.Start(f.topic, f.id.Partition, a.Traced)
	err := f.Replica.Follow(ctx, epoch, a, batches)
	if err == nil {
		f.metrics.ReplicaReceived.Add(float64(len(batches)))
	}
	if spans != nil {
		spans.End(err, func(offset int64) telemetry.Pending { return f.Synced(offset) })
	}
	return err
}

// Diverged implements replication.Followed.
func (f followed) Diverged(ctx context.Context, epoch int32, d partition.EpochEnd) error {
	f.metrics.Diverged.Inc()
	return f.Replica.Diverged(ctx, epoch, d)
}

// Position implements replication.Followed.
func (f followed) Position() (replication.Position, bool) {
	p, ok := f.Replica.Position()
	return replication.Position{
		ID: f.id, LeaderEpoch: p.LeaderEpoch, Offset: p.Offset, Flushed: p.Flushed, LastEpoch: p.LastEpoch,
	}, ok
}

// assigned tells whether this node is to keep a copy of a partition.
func (b *Broker) assigned(s *meta.Partition) bool { return slices.Contains(s.Replicas, b.o.Node) }

// inSync tells whether this node's copy counts as one that has everything.
func (b *Broker) inSync(s *meta.Partition) bool { return slices.Contains(s.ISR, b.o.Node) }

// holds tells whether it is one copy of several.
func (b *Broker) holds(s *meta.Partition) bool { return len(s.Replicas) > 1 && b.assigned(s) }
