// Package controller is the work of the node that leads the metadata group:
// it takes brokers for dead or alive, gives leadership back to preferred
// replicas, and raises the replication factor of topics as brokers join.
//
// Core decides, from heartbeats, the metadata image and a clock that is an
// argument; it is pure. Controller is its executor: one goroutine that ticks,
// proposes what Core wants, and stops when another node leads.
//
// # Liveness
//
// A broker is alive while its heartbeats arrive: every 250 ms, within a session
// of 1.5 s, each vouching that the broker's disk has taken a sync write lately.
// A broker whose address refuses connections has no process: it is fenced at
// once. Addresses are looked at when a connection ends, when a broker is silent
// for a while, and all of them by a new controller. That one knows no
// heartbeats and waits a whole session before it takes silence for death.
// Fencing too early costs a leader change, never a record: leader epochs
// protect the data, not these clocks.
package controller

import (
	"fmt"
	"slices"

	"github.com/chroniklog/chronik/raft/meta"
)

// Rules are Core's periods, in milliseconds, and targets.
type Rules struct {
	// SessionMs is how long a silent broker counts as alive.
	SessionMs int64
	// DoubtMs is how long a broker is silent before its address is looked at;
	// and the least time between two looks.
	DoubtMs int64
	// CareMs is how often preferred leaders and replication factors are seen
	// to, at most.
	CareMs int64
	// ReplicationFactor is what topics without an explicit one are raised to,
	// as far as there are brokers.
	ReplicationFactor int
}

// DefaultRules are a session of 1.5 s, doubts after two heartbeats that did not
// come, and three replicas.
func DefaultRules() Rules {
	return Rules{SessionMs: 1500, DoubtMs: 600, CareMs: 1000, ReplicationFactor: 3}
}

// Heartbeat is a broker's sign of life.
type Heartbeat struct {
	Broker meta.NodeID
	Epoch  uint64 // broker epoch
	// Healthy: a sync write has succeeded within the session.
	Healthy bool
}

// Core is the controller's mind. Times are Unix milliseconds of one monotonic
// clock. Not safe for concurrent use.
type Core struct {
	rules   Rules
	leading bool
	seen    map[meta.NodeID]session
	refused map[meta.NodeID]uint64 // broker epoch whose address refused
	cared   int64
	dirty   bool // something happened that may need care
}

// session is what is known of a broker's process.
type session struct {
	epoch uint64
	last  int64 // last healthy heartbeat
	heard int64 // last sign of life, also of the doubt that it led to
	beat  bool  // there was a healthy heartbeat, not just the benefit of the doubt
}

// NewCore makes the mind of a node that doesn't lead.
func NewCore(r Rules) *Core {
	return &Core{rules: r, seen: map[meta.NodeID]session{}, refused: map[meta.NodeID]uint64{}}
}

// Leading tells whether this node leads, as far as Core was told.
func (c *Core) Leading() bool { return c.leading }

// Lead begins a leadership: every registered broker gets a whole session.
func (c *Core) Lead(now int64, img *meta.Image) {
	c.leading, c.dirty, c.cared = true, true, now
	clear(c.seen)
	clear(c.refused)
	for _, b := range img.Brokers() {
		c.seen[b.ID] = session{epoch: b.Epoch, last: now, heard: now}
	}
}

// Resign ends the leadership.
func (c *Core) Resign() { c.leading = false }

// Heard takes a heartbeat. It reports whether this node leads; if not, the
// broker has to look for the controller.
func (c *Core) Heard(now int64, h Heartbeat) bool {
	if !c.leading {
		return false
	}
	s := c.seen[h.Broker]
	if h.Epoch < s.epoch {
		return true // an older process of the broker
	}
	if h.Epoch > s.epoch {
		s = session{epoch: h.Epoch, last: now}
	}
	s.heard = now
	if h.Healthy {
		s.last, s.beat = now, true
	}
	c.seen[h.Broker] = s
	if c.refused[h.Broker] <= h.Epoch {
		delete(c.refused, h.Broker)
	}
	return true
}

// Refused takes that a broker's address refused a connection, so that the
// process of that broker epoch has ended.
func (c *Core) Refused(id meta.NodeID, epoch uint64) {
	if c.leading && epoch >= c.seen[id].epoch {
		c.refused[id] = epoch
	}
}

// Doubted are the brokers whose addresses have to be looked at: silent ones
// that count as alive. Each is named again only after a while.
func (c *Core) Doubted(now int64, img *meta.Image) (ids []meta.NodeID) {
	if !c.leading {
		return nil
	}
	for _, b := range img.Brokers() {
		s, ok := c.seen[b.ID]
		if !ok || b.Fenced || c.HasRefused(b.ID, b.Epoch) || now-s.heard < c.rules.DoubtMs {
			continue
		}
		s.heard = now
		c.seen[b.ID] = s
		ids = append(ids, b.ID)
	}
	return ids
}

// HasRefused tells whether the address of that process of a broker refused.
func (c *Core) HasRefused(id meta.NodeID, epoch uint64) bool {
	at, ok := c.refused[id]
	return ok && at >= epoch
}

// Changed takes events of the metadata: they decide whether there is anything
// to care for. A broker that was fenced has to be heard from anew before it
// counts as alive: one that leaves in good order fences itself.
func (c *Core) Changed(events []meta.Event) {
	for _, e := range events {
		switch e := e.(type) {
		case meta.TopicCreated, meta.PartitionsAdded, meta.PartitionChanged:
			c.dirty = true
		case meta.BrokerChanged:
			c.dirty = true
			if s, ok := c.seen[e.New.ID]; ok && e.New.Fenced && !e.Old.Fenced {
				s.beat = false
				c.seen[e.New.ID] = s
			}
		}
	}
}

// Next is the command that is due at now, nil if none. Fencing goes first. The
// executor proposes it, and asks again when its outcome is known.
func (c *Core) Next(now int64, img *meta.Image) meta.Command {
	if !c.leading {
		return nil
	}
	brokers := img.Brokers()
	live := 0
	for i := range brokers {
		if brokers[i].Live() {
			live++
		}
	}
	for i := range brokers {
		// The last live broker is not fenced: nobody could take over, and what
		// a slow disk or a busy processor delays is not dead.
		if cmd := c.liveness(now, &brokers[i], live > 1); cmd != nil {
			return cmd
		}
	}
	if !c.dirty || now-c.cared < c.rules.CareMs {
		return nil
	}
	if cmd := c.care(img, brokers); cmd != nil {
		return cmd
	}
	c.dirty, c.cared = false, now
	return nil
}

// Failed tells that a command that Next wanted was refused, or is not through
// yet, or its outcome is unknown: care waits for the next period.
func (c *Core) Failed(now int64) { c.cared = now }

// liveness fences, if it may, or unfences a broker.
func (c *Core) liveness(now int64, b *meta.Broker, mayFence bool) meta.Command {
	s, ok := c.seen[b.ID]
	if !ok || s.epoch < b.Epoch {
		// It registered since: its session begins now.
		s = session{epoch: b.Epoch, last: now, heard: now}
		c.seen[b.ID] = s
	}
	silent := now-s.last > c.rules.SessionMs
	dead := silent || c.HasRefused(b.ID, b.Epoch)
	switch {
	case dead && !b.Fenced && mayFence:
		return &meta.FenceBroker{ID: b.ID, Epoch: b.Epoch}
	case !dead && s.beat && b.Fenced && !b.Registering() && s.epoch == b.Epoch:
		return &meta.UnfenceBroker{ID: b.ID, Epoch: b.Epoch}
	}
	return nil
}

// care finds the first topic whose leadership or replication factor is not
// what it should be.
func (c *Core) care(img *meta.Image, brokers []meta.Broker) meta.Command {
	topics, _ := img.Topics("", "", 0)
	for _, t := range topics {
		if cmd := c.raise(img, t); cmd != nil {
			return cmd
		}
		for i := range t.Partitions {
			if displaced(&t.Partitions[i], brokers) {
				return &meta.ElectLeaders{TopicID: t.ID, Partition: -1}
			}
		}
	}
	return nil
}

// raise is the command that gives a topic the replicas that it could have by
// now, nil if it has them or they were chosen.
func (c *Core) raise(img *meta.Image, t *meta.Topic) meta.Command {
	moving := func(p meta.Partition) bool { return len(p.Target) > 0 }
	if t.RFExplicit || slices.ContainsFunc(t.Partitions, moving) {
		return nil
	}
	if to := meta.Raise(img, t, c.rules.ReplicationFactor); to != nil {
		return &meta.RaiseTopic{ID: t.ID, Assignments: to}
	}
	return nil
}

// displaced tells whether a partition's preferred replica could lead and does
// not.
func displaced(p *meta.Partition, brokers []meta.Broker) bool {
	first := p.Replicas[0]
	if p.Lost || p.Leader == first || !slices.Contains(p.ISR, first) {
		return false
	}
	return slices.ContainsFunc(brokers, func(b meta.Broker) bool {
		return b.ID == first && b.Live() && !b.Draining
	})
}

// describe names a command for the log.
func describe(cmd meta.Command) string {
	switch c := cmd.(type) {
	case *meta.FenceBroker:
		return fmt.Sprintf("fence broker %d", c.ID)
	case *meta.UnfenceBroker:
		return fmt.Sprintf("unfence broker %d", c.ID)
	case *meta.RaiseTopic:
		return "raise replication factor"
	case *meta.ElectLeaders:
		return "elect preferred leaders"
	}
	return fmt.Sprintf("%T", cmd)
}
