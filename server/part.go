package server

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/chroniklog/chronik/raft/meta"
	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/server/replica"
	"github.com/chroniklog/chronik/storage/plog"
)

// part is one partition on this node: what the metadata says of it and, from
// its first use on, its replica. Until then it is this struct only.
type part struct {
	number  int32
	state   atomic.Pointer[meta.Partition]
	replica atomic.Pointer[replica.Replica]

	mu      sync.Mutex      // held while the replica opens, changes its role or closes
	gone    bool            // the topic was deleted or the broker is closed
	assumed *meta.Partition // the state whose role the replica has

	corrupt atomic.Bool // the log can't be used; casting replaces it

	following *following // whom the partition is copied from; casting's alone

	rounds rounds // of confirmations that this node leads

	proven atomic.Int64 // one more than the last epoch whose leader answered an append from here
}

// prove notes that the leader of an epoch takes appends.
func (p *part) prove(epoch int32) {
	if next := int64(epoch) + 1; p.proven.Load() < next {
		p.proven.Store(next)
	}
}

// replicaOf returns the partition's replica, opening it on first use: its log
// is made (in memory; files appear with the first record) and its state read.
func (b *Broker) replicaOf(e *entry, p *part) (*replica.Replica, error) {
	if r := p.replica.Load(); r != nil {
		return r, nil
	}
	p.mu.Lock()
	r, err := b.openReplica(e, p)
	p.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("open %s/%d: %w", e.topic.Name, p.number, err)
	}
	b.settle(p)
	return r, nil
}

// openReplica is called with p.mu held.
func (b *Broker) openReplica(e *entry, p *part) (*replica.Replica, error) {
	if r := p.replica.Load(); r != nil {
		return r, nil
	}
	if p.gone {
		return nil, b.goneError(e)
	}
	state := p.state.Load()
	if !slices.Contains(state.Replicas, b.o.Node) {
		return nil, b.leaderError(state.Leader)
	}
	if p.corrupt.Load() {
		return nil, fmt.Errorf("%w: the copy on this node is corrupt", ErrNoLeader)
	}
	id := logID(e.topic.ID, p.number)
	log, err := b.store.Create(id, logConfig(&e.values), b.incarnation(id, state))
	if err != nil {
		return nil, err
	}
	r, err := replica.Open(b.ctx, replica.Options{
		Topic: e.topic.Name, ID: id, Log: log, Store: b.store, Node: b.o.Node,
		Now: b.o.Now, Logger: b.o.Logger, Config: partitionConfig(&e.values), Builders: b.builders,
		OnProposal: func(proposal *partition.Proposal) { b.isr.put(p, proposed{entry: e, proposal: proposal}) },
		Mutation:   b.o.Mutation.Partition,
	})
	if err != nil {
		return nil, err
	}
	b.assume(p, r, state)
	p.replica.Store(r)
	return r, nil
}

// assume puts the replica into the role that the metadata gives it; p.mu held.
func (b *Broker) assume(p *part, r *replica.Replica, s *meta.Partition) {
	if p.assumed == s {
		return
	}
	p.assumed = s
	r.Apply(partition.Leadership{
		Leader: s.Leader, LeaderEpoch: s.LeaderEpoch, PartitionEpoch: s.PartitionEpoch,
		Replicas: s.Replicas, ISR: s.ISR,
	})
}

// update stores new metadata of a partition and, if its replica is open, puts
// it into its new role. It does not wait for a replica that is being opened:
// whoever opens it settles it afterwards.
func (b *Broker) update(p *part, s *meta.Partition) {
	p.state.Store(s)
	b.settle(p)
}

// settle applies the latest metadata to an open replica. Whoever holds p.mu
// settles after it has released it, so a failed TryLock loses nothing.
func (b *Broker) settle(p *part) {
	for p.mu.TryLock() {
		s, r := p.state.Load(), p.replica.Load()
		if r != nil && !p.gone {
			b.assume(p, r, s)
		}
		p.mu.Unlock()
		if p.state.Load() == s {
			return
		}
	}
}

func logID(topic TopicID, p int32) plog.ID { return plog.ID{Topic: topic, Partition: p} }
