package server

import (
	"context"
	"fmt"
	"slices"

	"github.com/chroniklog/chronik/raft"
	"github.com/chroniklog/chronik/raft/meta"
)

// ElectLeader gives the leadership of one partition back to its first replica
// and returns when that shows here. meta.ErrNoElection if that replica leads
// already, is not alive, not in sync or draining.
func (b *Broker) ElectLeader(ctx context.Context, topic string, p int32) error {
	e, _, err := b.dir.part(topic, p)
	if err != nil {
		return err
	}
	op := fmt.Sprintf("elect preferred leader of %s/%d", topic, p)
	cmd := &meta.ElectLeaders{TopicID: e.topic.ID, Partition: p}
	b.Yield(ctx, cmd)
	return b.change(ctx, op, cmd)
}

// ElectUnclean makes a live replica lead a partition that has no leader,
// whatever its log lacks: acknowledged records may be lost, and the operator
// who asks for it accepts that. Leader 0 takes the first live replica. It is
// logged as a warning. meta.ErrNoElection if the partition has a leader,
// meta.ErrIneligibleReplica if there is no such live replica.
func (b *Broker) ElectUnclean(ctx context.Context, topic string, p int32, leader NodeID) error {
	e, part, err := b.dir.part(topic, p)
	if err != nil {
		return err
	}
	op := fmt.Sprintf("elect unclean leader of %s/%d", topic, p)
	state := part.state.Load()
	if leader == 0 {
		i := slices.IndexFunc(state.Replicas, func(id NodeID) bool { return !b.fenced(id) })
		if i < 0 {
			return fmt.Errorf("%s: %w: none of the replicas %v is alive", op, meta.ErrIneligibleReplica, state.Replicas)
		}
		leader = state.Replicas[i]
	}
	err = b.change(ctx, op, &meta.ElectLeaders{TopicID: e.topic.ID, Partition: p, Unclean: true, Leader: leader})
	if err == nil {
		b.o.Logger.WarnContext(ctx, "unclean election: acknowledged records may be lost",
			"topic", topic, "partition", p, "leader", leader, "isr", state.ISR)
	}
	return err
}

// LogSize is the log of a partition on this node.
type LogSize struct {
	Topic     string
	Partition int32
	Bytes     int64
	// Lag is how many records below the watermark are not on this node yet.
	Lag int64
}

// LogSizes are the logs that this node holds, by topic and partition.
// Partitions that were never written to have none.
func (b *Broker) LogSizes() (list []LogSize) {
	for _, e := range b.dir.all() {
		for _, p := range e.parts {
			log, used := b.store.Log(logID(e.topic.ID, p.number))
			if !used {
				continue
			}
			s := LogSize{Topic: e.topic.Name, Partition: p.number, Bytes: log.Size()}
			if r := p.replica.Load(); r != nil {
				o := r.Offsets()
				s.Lag = max(o.HighWatermark-o.LogEnd, 0)
			}
			list = append(list, s)
		}
	}
	return list
}

// DiskSpace is the size of the volume that the data directory is on, and how
// much of it is free, in bytes.
func (b *Broker) DiskSpace() (total, free int64, err error) { return b.store.Volume() }

// Quorum is the metadata group as its controller sees it. ErrUnavailable if
// there is no controller that answers.
func (b *Broker) Quorum(ctx context.Context) (raft.Quorum, error) {
	q, err := b.meta.Quorum(ctx)
	return q, metadataError(err)
}
