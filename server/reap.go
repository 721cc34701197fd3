package server

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/chroniklog/chronik/storage/plog"
)

// closeParallel is how many replicas are closed, or logs deleted, at once:
// enough that they share commit cycles.
const closeParallel = 64

// adoptLogs gives every log on disk the configs of its topic, so that
// retention goes on without anybody using it, and removes the logs of topics
// that were deleted while this node was away. The image has caught up: a topic
// that it does not know is gone.
func (b *Broker) adoptLogs(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(closeParallel)
	for _, id := range b.store.IDs() {
		e := b.dir.id(id.Topic)
		if e == nil || int(id.Partition) >= len(e.parts) {
			g.Go(func() error {
				b.o.Logger.Info("removing the log of a deleted topic", "topic_id", fmt.Sprintf("%x", id.Topic),
					"partition", id.Partition)
				return b.store.Delete(ctx, id)
			})
			continue
		}
		p := e.parts[id.Partition]
		state := p.state.Load()
		_, err := b.store.Create(id, logConfig(&e.values), b.incarnation(id, state))
		if errors.Is(err, plog.ErrCorrupt) && b.holds(state) {
			b.Corrupt(id, err)
			continue
		}
		if err != nil {
			return errors.Join(fmt.Errorf("adopt log of %s/%d: %w", e.topic.Name, id.Partition, err), g.Wait())
		}
	}
	return g.Wait()
}

// reapQueue holds deleted topics until their logs are removed.
type reapQueue struct {
	mu     sync.Mutex
	queued []*entry
	wake   chan struct{}
}

func newReapQueue() reapQueue { return reapQueue{wake: make(chan struct{}, 1)} }

func (q *reapQueue) add(e *entry) {
	q.mu.Lock()
	q.queued = append(q.queued, e)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *reapQueue) take() []*entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	queued := q.queued
	q.queued = nil
	return queued
}

// reaper removes the logs of deleted topics until Close; what it leaves is
// removed by the next start's adoptLogs.
func (b *Broker) reaper() {
	for {
		select {
		case <-b.reap.wake:
			for _, e := range b.reap.take() {
				if err := b.remove(e); err != nil && b.ctx.Err() == nil {
					b.o.Logger.Error("removing the logs of a deleted topic failed; the next start tries again",
						"topic", e.topic.Name, "error", err)
				}
			}
		case <-b.ctx.Done():
			return
		}
	}
}

// remove closes the replicas of a deleted topic and deletes their logs.
func (b *Broker) remove(e *entry) error {
	g, ctx := errgroup.WithContext(b.ctx)
	g.SetLimit(closeParallel)
	for _, p := range e.parts {
		g.Go(func() error {
			id := logID(e.topic.ID, p.number)
			if b.peers != nil {
				b.peers.Unfollow(id)
			}
			if err := closePart(ctx, p); err != nil {
				return err
			}
			if _, ok := b.store.Log(id); !ok {
				return nil
			}
			return b.store.Delete(ctx, id)
		})
	}
	return g.Wait()
}

// closeReplicas closes every open replica.
func (b *Broker) closeReplicas(ctx context.Context) error {
	var g errgroup.Group
	g.SetLimit(closeParallel)
	for _, e := range b.dir.all() {
		for _, p := range e.parts {
			g.Go(func() error { return closePart(ctx, p) })
		}
	}
	return g.Wait()
}

// closePart closes a partition's replica, if it is open, for good.
func closePart(ctx context.Context, p *part) error {
	p.mu.Lock()
	p.gone = true
	r := p.replica.Load()
	p.mu.Unlock()
	if r == nil {
		return nil
	}
	return r.Close(ctx)
}
