package server

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/chroniklog/chronik/raft/meta"
	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/server/replica"
)

const (
	// rolesParallel is how many replicas take up a role at once: opening one
	// reads its log's tail.
	rolesParallel = 16
	// isrTick is how often leaders look for followers that lag.
	isrTick = time.Second
	// castPause is the wait before a role that could not be taken is tried
	// again.
	castPause = time.Second
	// proposalPause is the wait before a proposal of unknown outcome is
	// repeated.
	proposalPause = 100 * time.Millisecond
)

// roleQueue holds partitions whose replication has to change: whom to follow,
// or what to give up.
type roleQueue struct {
	mu     sync.Mutex
	queued map[*part]*entry
	wake   chan struct{}
}

func newRoleQueue() roleQueue {
	return roleQueue{queued: map[*part]*entry{}, wake: make(chan struct{}, 1)}
}

func (q *roleQueue) add(e *entry, p *part) {
	q.mu.Lock()
	q.queued[p] = e
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *roleQueue) take() map[*part]*entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	queued := q.queued
	q.queued = map[*part]*entry{}
	return queued
}

// casting gives partitions their roles in replication until Close. Rounds
// follow each other, so that one partition's changes are never concurrent.
func (b *Broker) casting() {
	for {
		select {
		case <-b.roles.wake:
			var g errgroup.Group
			g.SetLimit(rolesParallel)
			for p, e := range b.roles.take() {
				g.Go(func() error {
					if err := b.cast(e, p); err != nil && b.ctx.Err() == nil {
						b.o.Logger.Warn("a replica can't take its role yet", "topic", e.topic.Name,
							"partition", p.number, "error", err)
						b.castAgain(e, p)
					}
					return nil
				})
			}
			_ = g.Wait()
		case <-b.ctx.Done():
			return
		}
	}
}

// castAgain has a partition cast once more in a while: no event may come that
// would.
func (b *Broker) castAgain(e *entry, p *part) {
	b.wg.Go(func() {
		if sleepFor(b.ctx, castPause) && b.dir.id(e.topic.ID) != nil {
			b.roles.add(e, p)
		}
	})
}

// cast follows the leader that the metadata names, or nobody, and removes a
// replica that is assigned elsewhere.
func (b *Broker) cast(e *entry, p *part) error {
	s, id := p.state.Load(), logID(e.topic.ID, p.number)
	if b.peers == nil {
		return nil
	}
	if !b.assigned(s) {
		b.peers.Unfollow(id)
		p.following = nil
		return b.discard(e, p)
	}
	if p.corrupt.Load() {
		if done, err := b.replace(e, p); !done {
			return err
		}
		s = p.state.Load()
	}
	if !b.holds(s) && p.following == nil {
		return nil // the only replica: opened when it is first used
	}
	r, err := b.replicaOf(e, p)
	if err != nil {
		return err
	}
	if s.Leader == b.o.Node || s.Leader == 0 {
		b.peers.Unfollow(id)
		p.following = nil
		return nil
	}
	if f := p.following; f != nil && f.leader == s.Leader && f.replica == r {
		return nil
	}
	p.following = &following{leader: s.Leader, replica: r}
	b.peers.Follow(id, s.Leader, followed{
		Replica: r, id: id, topic: e.topic.Name, traces: b.replicates, metrics: b.o.Metrics,
	})
	return nil
}

// following is whom a partition is copied from, and into what.
type following struct {
	leader  NodeID
	replica *replica.Replica
}

// discard closes and deletes a replica that this node is not assigned any
// more. It may be assigned again.
func (b *Broker) discard(e *entry, p *part) error {
	if err := b.retire(p); err != nil {
		return err
	}
	id := logID(e.topic.ID, p.number)
	if _, ok := b.store.Log(id); !ok {
		return nil
	}
	b.o.Logger.Info("removing a replica that is assigned elsewhere", "topic", e.topic.Name, "partition", p.number)
	return b.store.Delete(b.ctx, id)
}

// proposals are changes of ISRs that replicas ask for, one per partition.
type proposals struct {
	mu     sync.Mutex
	queued map[*part]proposed
	wake   chan struct{}
}

type proposed struct {
	entry    *entry
	proposal *partition.Proposal
	sent     bool // it may have been applied: nothing of it is taken back
}

func newProposals() proposals {
	return proposals{queued: map[*part]proposed{}, wake: make(chan struct{}, 1)}
}

// put never blocks: replicas call it under their lock.
func (q *proposals) put(p *part, x proposed) {
	q.mu.Lock()
	q.queued[p] = x
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *proposals) take() map[*part]proposed {
	q.mu.Lock()
	defer q.mu.Unlock()
	queued := q.queued
	q.queued = map[*part]proposed{}
	return queued
}

// proposing carries replicas' proposals to the controller until Close.
func (b *Broker) proposing() {
	t := time.NewTicker(isrTick)
	defer t.Stop()
	for {
		select {
		case <-b.isr.wake:
			var g errgroup.Group
			g.SetLimit(rolesParallel)
			for p, x := range b.isr.take() {
				g.Go(func() error { b.proposeISR(p, x); return nil })
			}
			_ = g.Wait()
		case <-t.C:
			b.tickLed()
		case <-b.ctx.Done():
			return
		}
	}
}

// tickLed has every leader of more than one replica look for laggards.
func (b *Broker) tickLed() {
	for _, e := range b.dir.all() {
		for _, n := range e.led {
			p := e.parts[n]
			if r := p.replica.Load(); r != nil && b.holds(p.state.Load()) {
				r.Tick()
			}
		}
	}
}

func (b *Broker) proposeISR(p *part, x proposed) {
	r := p.replica.Load()
	if r == nil {
		return
	}
	if !x.sent {
		if x.proposal = b.admissible(r, x.proposal); x.proposal == nil {
			return
		}
	}
	cmd := &meta.AlterPartition{
		TopicID: x.entry.topic.ID, Partition: p.number, Leader: b.o.Node, BrokerEpoch: b.Epoch(),
		LeaderEpoch: x.proposal.LeaderEpoch, PartitionEpoch: x.proposal.PartitionEpoch,
	}
	for _, m := range x.proposal.ISR {
		cmd.ISR = append(cmd.ISR, m.Node)
		cmd.ISREpochs = append(cmd.ISREpochs, m.BrokerEpoch)
	}
	isr := p.state.Load().ISR // read before it changes
	b.Yield(b.ctx, cmd)
	_, err := b.propose(b.ctx, cmd)
	switch {
	case err == nil:
		b.countISR(len(isr), len(cmd.ISR))
		b.o.Logger.Info("in-sync replicas changed", "topic", x.entry.topic.Name, "partition", p.number,
			"isr", cmd.ISR, "epoch", cmd.LeaderEpoch)
	case errors.Is(err, ErrOutcomeUnknown):
		// It may yet be applied: what it would add counts until that is known.
		b.wg.Go(func() {
			if sleepFor(b.ctx, proposalPause) {
				x.sent = true
				b.isr.put(p, x)
			}
		})
	default:
		b.o.Logger.Debug("change of in-sync replicas refused", "topic", x.entry.topic.Name,
			"partition", p.number, "isr", cmd.ISR, "error", err)
		r.ProposalFailed(x.proposal)
	}
}

// admissible is a proposal without the replicas that the controller would
// refuse, and all else with them: those taken for dead, and incarnations that
// are no longer registered. Nil if nothing is left to ask for.
func (b *Broker) admissible(r *replica.Replica, p *partition.Proposal) *partition.Proposal {
	var absent []NodeID
	b.meta.View(func(img *meta.Image) {
		for _, m := range p.ISR {
			n, ok := img.Broker(m.Node)
			if !ok || n.Fenced || m.BrokerEpoch != 0 && m.BrokerEpoch != n.Epoch {
				absent = append(absent, m.Node)
			}
		}
	})
	if len(absent) == 0 {
		return p
	}
	return r.Exclude(p, absent)
}

func sleepFor(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// awaitEverywhere returns when every live node shows the metadata up to index:
// a topic that was created is there wherever it is asked for. Nodes that are
// taken for dead meanwhile are not waited for.
func (b *Broker) awaitEverywhere(ctx context.Context, index uint64) error {
	if b.peers == nil {
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, id := range b.registered() {
		if id == b.o.Node {
			continue
		}
		g.Go(func() error {
			for !b.fenced(id) {
				try, cancel := context.WithTimeout(ctx, time.Second)
				err := b.peers.Leader(id).Visible(try, index)
				cancel()
				if err == nil {
					return nil
				}
				if !sleepFor(ctx, failoverPause) {
					return fmt.Errorf("%w: node %d does not show it yet: %w", ErrOutcomeUnknown, id, err)
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// Epoch is this process's broker epoch, 0 before it registered.
func (b *Broker) Epoch() uint64 { return b.epoch.Load() }
