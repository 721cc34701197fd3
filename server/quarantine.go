package server

import (
	"context"
	"fmt"
	"time"

	"github.com/chroniklog/chronik/raft/meta"
	"github.com/chroniklog/chronik/storage/plog"
)

// leaveTime bounds one attempt to leave the in-sync replicas: other partitions
// wait for their roles meanwhile.
const leaveTime = 2 * time.Second

// Corrupt is told by the store of a log whose durable bytes can't be read. It
// does not block. A replica of several is replaced: it leaves the in-sync
// replicas, and is copied anew from its leader. What the store found when it
// was opened is found again by adoptLogs.
func (b *Broker) Corrupt(id plog.ID, _ error) {
	e := b.dir.id(id.Topic)
	if e == nil || int(id.Partition) >= len(e.parts) {
		return
	}
	if p := e.parts[id.Partition]; b.holds(p.state.Load()) && !p.corrupt.Swap(true) {
		b.roles.add(e, p)
	}
}

// replace gives up a corrupt replica. Its log is moved aside only when the
// metadata say that this node is not in sync: the last copy is never touched.
// done is false if the partition has to stay as it is: for good, or, with an
// error, until it is cast again.
func (b *Broker) replace(e *entry, p *part) (done bool, err error) {
	id := logID(e.topic.ID, p.number)
	b.peers.Unfollow(id)
	p.following = nil
	if err := b.retire(p); err != nil {
		// A log that can't be read need not take a last snapshot, either.
		b.o.Logger.Warn("a corrupt replica did not close in order", "topic", e.topic.Name,
			"partition", p.number, "error", err)
	}
	ctx, cancel := context.WithTimeout(b.ctx, leaveTime)
	defer cancel()
	res, err := b.propose(ctx, &meta.LeaveISR{
		TopicID: e.topic.ID, Partition: p.number, Broker: b.o.Node, BrokerEpoch: b.Epoch(),
	})
	if err == nil {
		err = b.dir.awaitIndex(ctx, res.Index)
	}
	if err != nil {
		return false, fmt.Errorf("leave the in-sync replicas: %w", err)
	}
	s := p.state.Load()
	if b.inSync(s) {
		b.o.Logger.Error("the last in-sync copy is corrupt: the partition is offline; restore it from a backup",
			"topic", e.topic.Name, "partition", p.number)
		return false, nil
	}
	incarnation := s.Incarnation
	if log, ok := b.store.Log(id); ok {
		incarnation = max(incarnation, log.Incarnation()+1)
	}
	if _, err := b.store.Create(id, logConfig(&e.values), incarnation); err != nil {
		return false, err
	}
	p.corrupt.Store(false)
	b.o.Logger.Warn("a corrupt replica is copied anew", "topic", e.topic.Name, "partition", p.number,
		"leader", s.Leader)
	return true, nil
}

// retire closes a partition's replica, which may be opened again.
func (b *Broker) retire(p *part) error {
	p.mu.Lock()
	r := p.replica.Swap(nil)
	p.assumed = nil
	p.mu.Unlock()
	if r == nil {
		return nil
	}
	return r.Close(b.ctx)
}

// incarnation is which life of a replica's log to open: that of the log that
// is there. The metadata's counts for all replicas together.
func (b *Broker) incarnation(id plog.ID, s *meta.Partition) uint32 {
	if log, ok := b.store.Log(id); ok {
		return log.Incarnation()
	}
	return s.Incarnation
}
