package server

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/server/replica"
)

// confirmTime bounds the question to one replica.
const confirmTime = time.Second

// confirm is nil if this node led the partition when confirm was called: it
// asks every node that may have been elected instead. A node that was cut off
// does not know that it is deposed; what it says of the log's end is then old.
func (b *Broker) confirm(ctx context.Context, e *entry, rep *replica.Replica) error {
	epoch, nodes, err := rep.Electable()
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, id := range nodes {
		g.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, confirmTime)
			defer cancel()
			if err := b.peers.Leader(id).Confirm(ctx, rep.ID(), epoch); err != nil {
				return fmt.Errorf("%w: node %d does not confirm that this one leads: %w",
					partition.ErrOffsetNotAvailable, id, b.relayed(e, rep.ID().Partition, err))
			}
			return nil
		})
	}
	return g.Wait()
}

// beyondEnd is the error of a read beyond the end of this node's log. A reader
// takes it as final, so it must be the leader's own.
func (b *Broker) beyondEnd(ctx context.Context, e *entry, rep *replica.Replica, beyond error) error {
	if err := b.confirm(ctx, e, rep); err != nil {
		return err
	}
	return beyond
}
