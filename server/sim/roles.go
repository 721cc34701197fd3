package sim

import (
	"context"
	"slices"
	"time"

	"github.com/chroniklog/chronik/raft/meta"
	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/server/replica"
	"github.com/chroniklog/chronik/server/replication"
	"github.com/chroniklog/chronik/storage/plog"
	"github.com/chroniklog/chronik/storage/record"
)

// part is a partition on a node: what its metadata was told to be, and the
// replica.
type part struct {
	number    int32
	state     meta.Partition
	log       *plog.Log
	replica   *replica.Replica
	following int32 // the node that it is copied from; 0: none
}

func (w *world) logID(p int32) plog.ID { return plog.ID{Topic: w.topic, Partition: p} }

// reconcile gives partitions the states that metadata told, in order, as the
// broker's reconciler does.
func (n *node) reconcile() {
	n.planned.reconcile = false
	touched, reload := n.touched, n.reload
	n.touched, n.reload = nil, false
	if reload {
		n.reloadAll()
	}
	for i := range touched {
		if c := &touched[i]; c.TopicID == n.w.topic && int(c.Partition) < len(n.parts) {
			n.renew(n.parts[c.Partition], c.New)
		}
	}
}

// reloadAll reads the topic from the image.
func (n *node) reloadAll() {
	t, ok := n.core.Image().TopicByID(n.w.topic)
	if !ok {
		return
	}
	for i := range t.Partitions {
		if i == len(n.parts) {
			n.parts = append(n.parts, &part{number: int32(i), state: meta.Partition{PartitionEpoch: -1}})
		}
		n.renew(n.parts[i], t.Partitions[i])
	}
}

// renew gives a partition a newer state and its replica the role of it.
func (n *node) renew(p *part, s meta.Partition) {
	if s.PartitionEpoch <= p.state.PartitionEpoch {
		return
	}
	p.state = s
	if !slices.Contains(s.Replicas, n.id) {
		return
	}
	if p.replica == nil {
		if err := n.openReplica(p); err != nil {
			if !n.disk.dead {
				n.w.fail("node %d: %w", n.id, err)
			}
			return
		}
	}
	if s.Leader == n.id {
		n.w.hist.leads(n, p.number, s.LeaderEpoch)
	}
	n.w.note("role", n.id, int64(p.number), int64(s.Leader), int64(s.LeaderEpoch), int64(s.PartitionEpoch))
	n.w.say(n.id, "role of %d: %+v", p.number, s)
	p.replica.Apply(partition.Leadership{
		Leader: s.Leader, LeaderEpoch: s.LeaderEpoch, PartitionEpoch: s.PartitionEpoch,
		Replicas: s.Replicas, ISR: s.ISR,
	})
	n.follow(p)
}

// follow copies a partition from its leader.
func (n *node) follow(p *part) {
	leader := p.state.Leader
	if leader == n.id {
		leader = 0
	}
	if p.following == leader {
		return
	}
	id := n.w.logID(p.number)
	if p.following != 0 {
		n.links[p.following].fetcher.Remove(id)
	}
	p.following = leader
	if leader != 0 {
		n.link(leader).fetcher.Add(id, followed{Replica: p.replica, id: id})
	}
}

// followed is a replica as its fetcher sees it.
type followed struct {
	*replica.Replica
	id plog.ID
}

// Position implements replication.Followed.
func (f followed) Position() (replication.Position, bool) {
	p, ok := f.Replica.Position()
	return replication.Position{
		ID: f.id, LeaderEpoch: p.LeaderEpoch, Offset: p.Offset, Flushed: p.Flushed, LastEpoch: p.LastEpoch,
	}, ok
}

func (n *node) openReplica(p *part) (err error) {
	cfg := plog.Config{SegmentBytes: 12 << 10}
	if p.log, err = n.store.Create(n.w.logID(p.number), cfg, p.state.Incarnation); err != nil {
		return err
	}
	p.replica, err = replica.Open(context.Background(), replica.Options{
		Topic: "t", ID: n.w.logID(p.number), Log: p.log, Store: n.store, Node: n.id,
		Now: func() time.Time { return time.UnixMilli(n.wall()) },
		Config: partition.Config{
			MaxMessageBytes: 40 << 10, Compression: record.CodecNone, MinISR: minISR(len(p.state.Replicas)),
		},
		Limits:     partition.Limits{FollowerLag: 2 * time.Second},
		OnProposal: func(c *partition.Proposal) { n.after(0, func() { n.alter(p, c) }) },
		Go:         func(fn func()) { n.background = append(n.background, func() { n.save(p, fn) }) },
		// Snapshots every few kilobytes; their timer never.
		SnapshotBytes: 4 << 10, SnapshotInterval: 1 << 62, Mutation: n.w.o.Mutation.Partition,
	})
	return err
}

// minISR is what a topic of so many replicas has unless told otherwise.
func minISR(replicas int) int {
	if replicas >= 3 {
		return 2
	}
	return 1
}

// save runs a snapshot that would wait until the watermark has passed the
// log's end, once it has.
func (n *node) save(p *part, fn func()) {
	if o := p.replica.Offsets(); o.HighWatermark < o.LogEnd {
		n.background = append(n.background, func() { n.save(p, fn) })
		return
	}
	n.w.note("snapshot", n.id, int64(p.number))
	fn()
}

// alter asks the controller for another ISR.
func (n *node) alter(p *part, c *partition.Proposal) {
	cmd := &meta.AlterPartition{
		TopicID: n.w.topic, Partition: p.number, Leader: n.id, BrokerEpoch: n.epoch,
		LeaderEpoch: c.LeaderEpoch, PartitionEpoch: c.PartitionEpoch,
	}
	for _, m := range c.ISR {
		cmd.ISR = append(cmd.ISR, m.Node)
		cmd.ISREpochs = append(cmd.ISREpochs, m.BrokerEpoch)
	}
	n.w.say(n.id, "asks for %+v", cmd)
	n.propose(cmd, func(_ meta.Result, err error) {
		switch {
		case err == nil:
		case err == errUnknown: //nolint:errorlint // ours
			n.after(100*time.Millisecond, func() { n.alter(p, c) })
		default:
			n.w.say(n.id, "refused: %v", err)
			p.replica.ProposalFailed(c)
		}
	})
}

// tickReplicas has leaders look for followers that lag.
func (n *node) tickReplicas() {
	for _, p := range n.parts {
		if p.replica != nil && p.state.Leader == n.id {
			p.replica.Tick()
		}
	}
	background := n.background
	n.background = nil
	for _, fn := range background {
		fn()
	}
}

// Led implements replication.Leaders.
func (n *node) Led(id plog.ID) (replication.Led, bool) {
	if !n.started || int(id.Partition) >= len(n.parts) {
		return nil, false
	}
	p := n.parts[id.Partition]
	if p.replica == nil || p.state.Leader != n.id {
		return nil, false
	}
	return p.replica, true
}
