package server

import (
	"context"
	"errors"
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
// does not know that it is deposed; what it says of the log's state is then
// old.
func (b *Broker) confirm(ctx context.Context, e *entry, rep *replica.Replica) error {
	epoch, nodes, err := rep.Electable()
	if err != nil {
		return err
	}
	return b.askEpoch(ctx, e, rep, epoch, nodes)
}

// askEpoch is nil if none of the nodes knows of a later epoch.
func (b *Broker) askEpoch(ctx context.Context, e *entry, rep *replica.Replica, epoch int32, nodes []NodeID) error {
	if b.o.Mutation.Unconfirmed {
		return nil
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

// tellsState: the refusal is true of the log as it is now, and may be of a
// later one no more. Whoever gets it takes it as final.
func tellsState(refused error) bool {
	return errors.Is(refused, partition.ErrOffsetBeyondEnd) || errors.Is(refused, partition.ErrOffsetConflict) ||
		errors.Is(refused, partition.ErrFenced) || errors.Is(refused, partition.ErrKeyPrecondition) ||
		errors.Is(refused, partition.ErrSequenceGap)
}

// final is the refusal, if it holds: a leader's own, and no deposed one's.
func (b *Broker) final(ctx context.Context, e *entry, rep *replica.Replica, refused error) error {
	if tellsState(refused) {
		if err := b.confirm(ctx, e, rep); err != nil {
			return err
		}
	}
	return refused
}

// finalAppend is final for an append, which must not block where it begins:
// the refusal comes when the others have confirmed it.
func (b *Broker) finalAppend(ctx context.Context, e *entry, rep *replica.Replica, refused error,
) (*replica.Pending, error) {
	if !tellsState(refused) {
		return nil, refused
	}
	epoch, nodes, err := rep.Electable()
	if err != nil {
		return nil, err
	}
	if len(nodes) == 0 {
		return nil, refused
	}
	p, resolve := replica.NewRelayed()
	b.wg.Go(func() {
		if err := b.askEpoch(ctx, e, rep, epoch, nodes); err != nil {
			refused = fmt.Errorf("%w: %v", partition.ErrNotLeader, err)
		}
		resolve(partition.Appended{}, refused)
	})
	return p, nil
}
