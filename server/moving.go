package server

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/chroniklog/chronik/raft/meta"
	"github.com/chroniklog/chronik/server/forward"
)

// movingTime bounds the question for what is left: nodes that don't answer in
// time are as good as none.
const movingTime = 2 * time.Second

var _ forward.Mover = (*Local)(nil)

// Moving implements forward.Mover. Bytes are estimated from offsets and the
// log's size; of several new replicas each counts.
func (l *Local) Moving(_ context.Context, leaving int32) (bytes int64) {
	for _, e := range l.b.dir.all() {
		for _, n := range e.led {
			p := e.parts[n]
			s := p.state.Load()
			r := p.replica.Load()
			log, ok := l.b.store.Log(logID(e.topic.ID, n))
			if r == nil || !ok || len(s.Target) == 0 || !leaves(s, leaving) {
				continue
			}
			for _, id := range s.Target {
				if missing, total := r.Missing(id); total > 0 && !slices.Contains(s.ISR, id) {
					bytes += int64(float64(log.Size()) * float64(missing) / float64(total))
				}
			}
		}
	}
	return bytes
}

// leaves tells whether a node holds a replica that goes when the partition has
// moved.
func leaves(s *meta.Partition, id NodeID) bool {
	return slices.Contains(s.Replicas, id) && !slices.Contains(s.Assigned(), id)
}

// Moving is about how many bytes are still to be copied before a node gives up
// the replicas that leave it. Every leader is asked; an error tells that one
// did not answer.
func (b *Broker) Moving(ctx context.Context, leaving NodeID) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, movingTime)
	defer cancel()
	var total atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for _, leader := range b.leadersOf(leaving) {
		g.Go(func() error {
			if leader == b.o.Node {
				total.Add(b.Local().Moving(ctx, leaving))
				return nil
			}
			if b.peers == nil {
				return errors.ErrUnsupported
			}
			n, err := b.peers.Leader(leader).Moving(ctx, leaving)
			total.Add(n)
			return err
		})
	}
	err := g.Wait()
	return total.Load(), err
}

// leadersOf are the nodes that lead what leaves a node.
func (b *Broker) leadersOf(leaving NodeID) (leaders []NodeID) {
	b.meta.View(func(img *meta.Image) {
		topics, _ := img.Topics("", "", 0)
		for _, t := range topics {
			for i := range t.Partitions {
				p := &t.Partitions[i]
				if p.Leader != 0 && leaves(p, leaving) && !slices.Contains(leaders, p.Leader) {
					leaders = append(leaders, p.Leader)
				}
			}
		}
	})
	return leaders
}
