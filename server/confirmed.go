package server

import (
	"context"
	"fmt"
	"sync"

	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/storage/plog"
)

// rounds shares confirmations of a leadership among the requests that wait for
// one. A confirmation counts for whoever asked before it began: those that
// come while one is under way share the next.
type rounds struct {
	mu            sync.Mutex
	running, next *round
}

type round struct {
	done chan struct{}
	err  error // once done is closed
}

// join waits for a confirmation that begins after the call; confirm makes one.
// The first of those that share a round runs it, to its end.
func (q *rounds) join(ctx context.Context, confirm func() error) error {
	q.mu.Lock()
	mine := q.next
	if mine != nil {
		q.mu.Unlock()
		select {
		case <-mine.done:
			return mine.err
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", partition.ErrOffsetNotAvailable, context.Cause(ctx))
		}
	}
	mine = &round{done: make(chan struct{})}
	if before := q.running; before != nil {
		q.next = mine
		q.mu.Unlock()
		<-before.done // its time is bounded
		q.mu.Lock()
		q.next = nil
	}
	q.running = mine
	q.mu.Unlock()
	mine.err = confirm()
	q.mu.Lock()
	if q.running == mine {
		q.running = nil
	}
	q.mu.Unlock()
	close(mine.done)
	return mine.err
}

// Confirmed is Offsets, of a leader that makes sure that it is one before it
// answers: every node that may have been elected instead says that it knows of
// no later epoch. Whatever was acknowledged before the call is below the high
// watermark that it tells. While the leader can't be sure, it waits for the
// next one, up to FailoverTime.
//
// All of the ISR is asked, and not only as many as min.insync.replicas: whoever
// is elected belongs to it, but may acknowledge with replicas that enter it
// later. An append waits for the same nodes.
func (b *Broker) Confirmed(ctx context.Context, topic string, p int32) (o partition.Offsets, err error) {
	e, part, err := b.dir.part(topic, p)
	if err != nil {
		return o, err
	}
	err = b.throughFailover(ctx, func() error {
		leader, err := b.remote(part)
		switch {
		case err != nil:
			return fmt.Errorf("confirm the leader of %s/%d: %w", topic, p, err)
		case leader == nil:
			o, err = b.confirmed(ctx, e, part)
			return err
		}
		o, err = leader.Confirmed(ctx, logID(e.topic.ID, p))
		return b.relayed(e, p, err)
	})
	return o, err
}

// confirmed is Confirmed for a partition that this node leads.
func (b *Broker) confirmed(ctx context.Context, e *entry, p *part) (partition.Offsets, error) {
	rep, err := b.replicaOf(e, p)
	if err != nil {
		return partition.Offsets{}, err
	}
	err = p.rounds.join(ctx, func() error {
		ctx, cancel := context.WithTimeout(b.ctx, confirmTime)
		defer cancel()
		return b.confirm(ctx, e, rep)
	})
	if err != nil {
		err = fmt.Errorf("confirm the leader of %s/%d: %w", e.topic.Name, p.number, err)
		return partition.Offsets{}, b.explain(e, p.number, err)
	}
	return b.offsets(e, p)
}

// Confirmed implements forward.Local.
func (l *Local) Confirmed(ctx context.Context, id plog.ID) (partition.Offsets, error) {
	e, p, err := l.part(id)
	if err != nil {
		return partition.Offsets{}, err
	}
	return l.b.confirmed(ctx, e, p)
}

// Remembers implements forward.Local.
func (l *Local) Remembers(_ context.Context, id plog.ID, key string) (bool, error) {
	e, p, err := l.part(id)
	if err != nil {
		return false, err
	}
	if s := p.state.Load(); s.Leader != l.b.o.Node {
		return false, &partition.NotLeaderError{Leader: s.Leader, Epoch: s.LeaderEpoch}
	}
	return l.b.remembersHere(e, p, key)
}
