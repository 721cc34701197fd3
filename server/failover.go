package server

import (
	"context"
	"errors"
	"time"

	"github.com/chroniklog/chronik/server/partition"
)

// FailoverTime is how long a request waits for a partition that changes its
// leader: the detection of a dead one, its election, and some.
const FailoverTime = 5 * time.Second

// failoverPause is the wait between two attempts when no change of metadata
// ends it before: a leader may be known and not be ready yet.
const failoverPause = 50 * time.Millisecond

// throughFailover repeats ask, which must change nothing, while it fails for
// want of a leader.
func (b *Broker) throughFailover(ctx context.Context, ask func() error) error {
	err := ask()
	if !LeaderMoved(err) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, FailoverTime)
	defer cancel()
	for LeaderMoved(err) && b.AwaitLeader(ctx) {
		err = ask()
	}
	return err
}

// LeaderMoved tells that an error is one of a partition between two leaders,
// that nothing was applied, and that a later attempt may succeed.
func LeaderMoved(err error) bool {
	return errors.Is(err, ErrNoLeader) || errors.Is(err, ErrNotLeader) ||
		errors.Is(err, partition.ErrOffsetNotAvailable) ||
		errors.Is(err, partition.ErrStaleLeaderEpoch) || errors.Is(err, partition.ErrUnknownLeaderEpoch)
}

// awaitChange waits until the directory changes or a pause is over; false when
// ctx ended.
func (b *Broker) awaitChange(ctx context.Context) bool {
	b.dir.mu.RLock()
	changed := b.dir.changed
	b.dir.mu.RUnlock()
	t := time.NewTimer(failoverPause)
	defer t.Stop()
	select {
	case <-changed:
		return ctx.Err() == nil
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// AwaitLeader waits a moment for a partition that has lost its leader, so that
// what was not applied can be tried again. It reports whether that is worth
// while: false once ctx ended, or the node shuts down.
func (b *Broker) AwaitLeader(ctx context.Context) bool {
	return b.drained.Err() == nil && b.awaitChange(ctx)
}

// Subscribe signals ch, without ever blocking on it, when the partition's
// watermark, start or leadership changes, until cancel. Where this node has no
// replica, the leader is asked.
func (b *Broker) Subscribe(topic string, p int32, ch chan<- struct{}) (cancel func(), err error) {
	e, part, err := b.dir.part(topic, p)
	if err != nil {
		return nil, err
	}
	if b.assigned(part.state.Load()) {
		rep, err := b.replicaOf(e, part)
		if err != nil {
			return nil, err
		}
		return rep.Subscribe(ch), nil
	}
	ctx, cancel := context.WithCancel(b.drained)
	b.wg.Go(func() { b.listen(ctx, e, part, ch) })
	return cancel, nil
}

// listen asks a partition's leader for changes and passes them on.
func (b *Broker) listen(ctx context.Context, e *entry, p *part, ch chan<- struct{}) {
	var known partition.Offsets
	for ctx.Err() == nil {
		leader, err := b.remote(p)
		if leader != nil {
			known, err = leader.Await(ctx, logID(e.topic.ID, p.number), known)
		}
		select {
		case ch <- struct{}{}:
		default:
		}
		if (err != nil || leader == nil) && !b.awaitChange(ctx) {
			return
		}
	}
}
