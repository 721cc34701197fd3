package server

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/chroniklog/chronik/raft"
	"github.com/chroniklog/chronik/raft/meta"
	"github.com/chroniklog/chronik/server/topicconfig"
)

// reassignParallel is how many reassignments are proposed at once.
const reassignParallel = 16

// Members changes who belongs to the metadata group; *raft.Node does. Both work
// from any node, and both may be repeated.
type Members interface {
	// RemoveNode takes a node out of the group.
	RemoveNode(ctx context.Context, node NodeID) error
	// TransferController makes a voter the controller and waits until it is.
	TransferController(ctx context.Context, node NodeID) error
}

// Node describes one member of the cluster. ErrUnknownNode.
func (b *Broker) Node(id NodeID) (NodeInfo, error) {
	for _, n := range b.Cluster().Nodes {
		if n.ID == id {
			return n, nil
		}
	}
	return NodeInfo{}, fmt.Errorf("%w: %d", ErrUnknownNode, id)
}

// DrainNode moves the leadership of partitions away from a node, which gets
// none until the draining ends; with replicas, its replicas are reassigned to
// other live nodes too, each node sending at most throttle bytes per second for
// that, 0: as fast as it goes. It returns when everything is under way: NodeInfo
// shows what is left. Repeating it goes on where a failure stopped it. A
// partition without another in-sync replica stays led until there is one.
//
// ErrUnknownNode; ErrNotEnoughBrokers, with nothing changed, when a replica has
// no place to go.
func (b *Broker) DrainNode(ctx context.Context, id NodeID, replicas bool, throttle int64) (NodeInfo, error) {
	op := fmt.Sprintf("drain node %d", id)
	if _, err := b.Node(id); err != nil {
		return NodeInfo{}, fmt.Errorf("%s: %w", op, err)
	}
	if replicas {
		if _, err := b.planDrain(id); err != nil {
			return NodeInfo{}, fmt.Errorf("%s: %w", op, err)
		}
	}
	if _, err := b.sweep(ctx, &meta.DrainBroker{ID: id, Draining: true}); err != nil {
		return NodeInfo{}, fmt.Errorf("%s: %w", op, err)
	}
	if replicas {
		if err := b.moveReplicas(ctx, id, throttle); err != nil {
			return NodeInfo{}, fmt.Errorf("%s: %w", op, err)
		}
	}
	return b.Node(id)
}

// EndDrain lets a node lead again. Reassignments that the draining began go on.
func (b *Broker) EndDrain(ctx context.Context, id NodeID) (NodeInfo, error) {
	if _, err := b.sweep(ctx, &meta.DrainBroker{ID: id}); err != nil {
		return NodeInfo{}, fmt.Errorf("end draining of node %d: %w", id, err)
	}
	return b.Node(id)
}

// planDrain decides where a node's replicas go.
func (b *Broker) planDrain(id NodeID) (moves []meta.Move, err error) {
	b.meta.View(func(img *meta.Image) { moves, err = meta.Drain(img, id) })
	return moves, metadataError(err)
}

// moveReplicas proposes the reassignments and waits until they show here.
// Topics that are deleted meanwhile have nothing left to move.
func (b *Broker) moveReplicas(ctx context.Context, id NodeID, throttle int64) error {
	moves, err := b.planDrain(id) // anew: what changed since the draining began counts
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(reassignParallel)
	for _, m := range moves {
		g.Go(func() error {
			op := fmt.Sprintf("reassign %s/%d to %v", m.Topic, m.Partition, m.Target)
			cmd := &meta.ReassignPartition{
				TopicID: m.TopicID, Partition: m.Partition, Target: m.Target, Throttle: throttle,
			}
			if err := b.change(ctx, op, cmd); err != nil && !errors.Is(err, ErrUnknownTopic) {
				return err
			}
			return nil
		})
	}
	return g.Wait()
}

// RemoveNode forgets a node: as a broker and as a member of the metadata group.
// It must be stopped and hold no replica: drain it with its replicas, stop it,
// remove it. ErrUnknownNode, ErrNodeState. Repeating it finishes a removal that
// failed half-way.
func (b *Broker) RemoveNode(ctx context.Context, id NodeID) error {
	op := fmt.Sprintf("remove node %d", id)
	_, err := b.Node(id)
	switch {
	case err == nil:
		_, err := b.sweep(ctx, &meta.RemoveBroker{ID: id})
		if errors.Is(err, meta.ErrConflict) { // it lives, or has replicas
			err = fmt.Errorf("%w: %w", ErrNodeState, err)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", op, err)
		}
	case !b.member(id):
		return fmt.Errorf("%s: %w", op, err)
	}
	if err := b.meta.RemoveNode(ctx, id); err != nil {
		if errors.Is(err, raft.ErrLastVoter) {
			err = fmt.Errorf("%w: %w", ErrNodeState, err)
		}
		return fmt.Errorf("%s: %w", op, err)
	}
	return nil
}

// member tells whether a node belongs to the metadata group.
func (b *Broker) member(id NodeID) bool {
	s := b.meta.Status()
	return slices.Contains(s.Voters, id) || slices.Contains(s.Learners, id)
}

// MoveController makes a node the controller and returns when it is, as this
// node sees it. ErrUnknownNode; ErrNodeState if it is no voter or not alive.
func (b *Broker) MoveController(ctx context.Context, id NodeID) error {
	op := fmt.Sprintf("make node %d the controller", id)
	n, err := b.Node(id)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", op, err)
	case !n.Voter:
		return fmt.Errorf("%s: %w: it is no voter of the metadata group", op, ErrNodeState)
	case !n.Alive:
		return fmt.Errorf("%s: %w: it is not alive", op, ErrNodeState)
	}
	if err := b.meta.TransferController(ctx, id); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	return nil
}

// Reassign leads a partition to other replicas, the preferred leader first: the
// new ones are added at once, the old ones leave when the new ones are in sync.
// It returns when that has begun and shows here. ErrUnknownNode, ErrNodeState
// for a node that is not alive and holds no replica, ErrInvalidReplication.
func (b *Broker) Reassign(ctx context.Context, topic string, p int32, replicas []NodeID) (PartitionInfo, error) {
	return b.ReassignThrottled(ctx, topic, p, replicas, 0)
}

// ReassignThrottled is Reassign with a bound on the bytes per second that a
// node sends to new replicas until they are in sync; 0: none. All partitions
// that are being moved share it. Repeating it changes the bound.
func (b *Broker) ReassignThrottled(
	ctx context.Context, topic string, p int32, replicas []NodeID, throttle int64,
) (PartitionInfo, error) {
	op := fmt.Sprintf("reassign %s/%d", topic, p)
	e, part, err := b.dir.part(topic, p)
	if err != nil {
		return PartitionInfo{}, err
	}
	if err := b.checkTarget(e, part, replicas); err != nil {
		return PartitionInfo{}, fmt.Errorf("%s: %w", op, err)
	}
	cmd := &meta.ReassignPartition{TopicID: e.topic.ID, Partition: p, Target: replicas, Throttle: throttle}
	b.Yield(ctx, cmd)
	if err := b.change(ctx, op, cmd); err != nil {
		return PartitionInfo{}, err
	}
	return b.Partition(ctx, topic, p)
}

// CancelReassign takes back a reassignment that has not come to its end: what
// it added and is not in sync leaves. No error if none is under way.
func (b *Broker) CancelReassign(ctx context.Context, topic string, p int32) (PartitionInfo, error) {
	e, part, err := b.dir.part(topic, p)
	if err != nil {
		return PartitionInfo{}, err
	}
	if len(part.state.Load().Target) > 0 {
		op := fmt.Sprintf("cancel reassignment of %s/%d", topic, p)
		err := b.change(ctx, op, &meta.ReassignPartition{TopicID: e.topic.ID, Partition: p})
		if err != nil && !errors.Is(err, meta.ErrConflict) { // it came to its end just now
			return PartitionInfo{}, err
		}
	}
	return b.Partition(ctx, topic, p)
}

// checkTarget judges the replicas that a partition shall get.
func (b *Broker) checkTarget(e *entry, p *part, replicas []NodeID) error {
	if len(replicas) == 0 || len(replicas) > meta.MaxReplicas {
		return fmt.Errorf("%w: %d replicas: want 1 to %d", ErrInvalidReplication, len(replicas), meta.MaxReplicas)
	}
	for i, id := range replicas {
		n, err := b.Node(id)
		switch {
		case err != nil:
			return err
		case slices.Contains(replicas[:i], id):
			return fmt.Errorf("%w: node %d is named twice", ErrInvalidReplication, id)
		case !n.Alive && !slices.Contains(p.state.Load().Replicas, id):
			return fmt.Errorf("%w: node %d is not alive and could not copy the partition", ErrNodeState, id)
		}
	}
	if err := topicconfig.Check(e.topic.Configs, int32(len(replicas))); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalidReplication, err)
	}
	return nil
}

// ElectPreferred gives leadership back to the first replica of each partition,
// of one topic or, when the name is empty, of all, where that replica is live,
// in sync and not draining. It returns how many leaders changed.
func (b *Broker) ElectPreferred(ctx context.Context, topic string) (int, error) {
	cmd := &meta.ElectLeaders{Partition: -1}
	if topic != "" {
		e, err := b.dir.topic(topic)
		if err != nil {
			return 0, err
		}
		cmd.TopicID = e.topic.ID
	}
	n, err := b.sweep(ctx, cmd)
	if err != nil {
		return n, fmt.Errorf("elect preferred leaders: %w", err)
	}
	return n, nil
}

// sweep proposes a command that may visit partitions until it is through, and
// waits until this node shows the result. It counts what changed.
func (b *Broker) sweep(ctx context.Context, cmd meta.Command) (changed int, err error) {
	var res meta.Result
	var last uint64 // that changed partitions; the directory is told of no other
	for more := true; more; more = res.More {
		b.Yield(ctx, cmd)
		if res, err = b.propose(ctx, cmd); err != nil {
			return changed, err
		}
		if changed += int(res.Changed); res.Changed > 0 {
			last = res.Index
		}
	}
	if err = b.meta.Await(ctx, res.Index); err == nil {
		err = b.dir.awaitIndex(ctx, last)
	}
	if err != nil {
		return changed, fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	}
	return changed, nil
}
