package meta

import (
	"math"
	"slices"
)

// RegisterBroker announces a broker's process. A process that was not known
// gets a new broker epoch, Result.Value, and while Result.More is set the
// command must be proposed again: every partition that the broker led gets the
// next leader epoch, so that the new process can't reuse offsets that the old
// one handed out unsynced. With another Directory the broker has lost its logs
// and leaves every ISR. The broker is not live until the last repetition.
type RegisterBroker struct {
	ID                NodeID
	Incarnation       ID // of the process
	Directory         ID // of the data directory
	HTTP, Kafka, Peer string
}

func (*RegisterBroker) kind() kind { return kindRegisterBroker }

func (c *RegisterBroker) encode(e *encoder) {
	e.i32(c.ID)
	e.id(c.Incarnation)
	e.id(c.Directory)
	e.str(c.HTTP)
	e.str(c.Kafka)
	e.str(c.Peer)
}

func (c *RegisterBroker) decode(d *decoder) {
	c.ID, c.Incarnation, c.Directory = d.i32(), d.id(), d.id()
	c.HTTP, c.Kafka, c.Peer = d.str(), d.str(), d.str()
}

func (c *RegisterBroker) apply(s *step) Result {
	if c.ID < 1 || c.Incarnation == (ID{}) {
		return refuse(ErrInvalidCommand, "broker %d needs an id and an incarnation", c.ID)
	}
	b := s.brokers[c.ID]
	if b == nil {
		b = &Broker{ID: c.ID}
		s.brokers[c.ID] = b
	}
	old := *b
	if old.Epoch == 0 {
		old = Broker{}
	}
	if b.Incarnation != c.Incarnation {
		lost := b.Epoch != 0 && b.Directory != c.Directory
		b.sweep = sweep{active: true, lost: lost || b.sweep.active && b.sweep.lost, partition: -1}
		b.Epoch, b.Incarnation, b.Directory = s.index, c.Incarnation, c.Directory
		b.Draining = false
	}
	b.HTTP, b.Kafka, b.Peer = c.HTTP, c.Kafka, c.Peer
	r := Result{Value: int64(b.Epoch)}
	if b.sweep.active {
		r.Changed, r.More = s.sweepRegistered(b)
		if !r.More {
			b.sweep = sweep{}
			b.Fenced = false
		}
	}
	s.saveBroker(b)
	s.emit(BrokerChanged{Old: old, New: *b})
	return r
}

// sweepRegistered visits partitions from the broker's position on.
func (s *step) sweepRegistered(b *Broker) (changed int32, more bool) {
	i, found := slices.BinarySearchFunc(s.order, b.sweep.topic, byName)
	for ; i < len(s.order); i++ {
		t := s.order[i]
		from := int32(0)
		if found && t.Name == b.sweep.topic {
			from = b.sweep.partition + 1
		}
		for p := from; int(p) < len(t.Partitions); p++ {
			next, ok := s.registered(b, t.Partitions[p])
			if !ok {
				continue
			}
			s.change(t, p, next)
			changed++
			if changed == SweepLimit {
				b.sweep.topic, b.sweep.partition = t.Name, p
				return changed, true
			}
		}
	}
	return changed, false
}

// registered is a partition after a broker came back as a new process.
func (s *step) registered(b *Broker, p Partition) (Partition, bool) {
	inSync := slices.Contains(p.ISR, b.ID)
	switch {
	case !inSync:
		return p, false
	case b.sweep.lost && len(p.ISR) == 1:
		p.Lost = true
		lead(&p, 0)
	case b.sweep.lost:
		p.ISR = without(p.ISR, b.ID)
		if p.Leader == b.ID {
			lead(&p, s.electable(&p))
		}
	case p.Leader == b.ID:
		lead(&p, b.ID)
	case p.Leader == 0 && !p.Lost:
		lead(&p, b.ID)
	default:
		return p, false
	}
	return p, true
}

// FenceBroker takes a broker for dead: it leaves every ISR (never as the last
// member), and each partition that it led gets the first live in-sync replica
// as leader, or none. Propose again while Result.More.
type FenceBroker struct {
	ID    NodeID
	Epoch uint64 // of the broker; 0: any
}

func (*FenceBroker) kind() kind          { return kindFenceBroker }
func (c *FenceBroker) encode(e *encoder) { e.i32(c.ID); e.u64(c.Epoch) }
func (c *FenceBroker) decode(d *decoder) { c.ID, c.Epoch = d.i32(), d.u64() }

func (c *FenceBroker) apply(s *step) Result {
	b, r := s.broker(c.ID, c.Epoch)
	if b == nil {
		return r
	}
	if !b.Fenced {
		old := *b
		b.Fenced = true
		s.saveBroker(b)
		s.emit(BrokerChanged{Old: old, New: *b})
	}
	return s.sweepAll(func(p Partition) (Partition, bool) {
		if !slices.Contains(p.ISR, c.ID) || len(p.ISR) == 1 && p.Leader != c.ID {
			return p, false
		}
		if len(p.ISR) > 1 {
			p.ISR = without(p.ISR, c.ID)
		}
		if p.Leader == c.ID {
			lead(&p, s.electable(&p))
		}
		return p, true
	})
}

// UnfenceBroker takes a broker for alive again, and elects it where only it
// was in sync. Propose again while Result.More.
type UnfenceBroker struct {
	ID    NodeID
	Epoch uint64 // of the broker; 0: any
}

func (*UnfenceBroker) kind() kind          { return kindUnfenceBroker }
func (c *UnfenceBroker) encode(e *encoder) { e.i32(c.ID); e.u64(c.Epoch) }
func (c *UnfenceBroker) decode(d *decoder) { c.ID, c.Epoch = d.i32(), d.u64() }

func (c *UnfenceBroker) apply(s *step) Result {
	b, r := s.broker(c.ID, c.Epoch)
	if b == nil {
		return r
	}
	if b.sweep.active {
		return refuse(ErrConflict, "broker %d is still registering", c.ID)
	}
	if b.Fenced {
		old := *b
		b.Fenced = false
		s.saveBroker(b)
		s.emit(BrokerChanged{Old: old, New: *b})
	}
	return s.sweepAll(func(p Partition) (Partition, bool) {
		if p.Leader != 0 || p.Lost || !slices.Contains(p.ISR, c.ID) {
			return p, false
		}
		lead(&p, s.electable(&p))
		return p, true
	})
}

// DrainBroker moves leadership away from a broker, where another in-sync
// replica can take it, or ends the draining. Propose again while Result.More.
type DrainBroker struct {
	ID       NodeID
	Draining bool
}

func (*DrainBroker) kind() kind          { return kindDrainBroker }
func (c *DrainBroker) encode(e *encoder) { e.i32(c.ID); e.bool(c.Draining) }
func (c *DrainBroker) decode(d *decoder) { c.ID, c.Draining = d.i32(), d.bool() }

func (c *DrainBroker) apply(s *step) Result {
	b, r := s.broker(c.ID, 0)
	if b == nil {
		return r
	}
	if b.Draining != c.Draining {
		old := *b
		b.Draining = c.Draining
		s.saveBroker(b)
		s.emit(BrokerChanged{Old: old, New: *b})
	}
	if !c.Draining {
		return Result{}
	}
	return s.sweepAll(func(p Partition) (Partition, bool) {
		if p.Leader != c.ID {
			return p, false
		}
		to := s.electable(&p)
		if to == c.ID || to == 0 {
			return p, false
		}
		lead(&p, to)
		return p, true
	})
}

// RemoveBroker forgets a fenced broker that has no replicas.
type RemoveBroker struct{ ID NodeID }

func (*RemoveBroker) kind() kind          { return kindRemoveBroker }
func (c *RemoveBroker) encode(e *encoder) { e.i32(c.ID) }
func (c *RemoveBroker) decode(d *decoder) { c.ID = d.i32() }

func (c *RemoveBroker) apply(s *step) Result {
	b, r := s.broker(c.ID, 0)
	if b == nil {
		return r
	}
	if !b.Fenced {
		return refuse(ErrConflict, "broker %d is live; stop it first", c.ID)
	}
	for _, t := range s.order {
		for i := range t.Partitions {
			if p := &t.Partitions[i]; slices.Contains(p.Replicas, c.ID) || slices.Contains(p.Target, c.ID) {
				return refuse(ErrConflict, "broker %d has a replica of %s/%d; reassign it first", c.ID, t.Name, i)
			}
		}
	}
	delete(s.brokers, c.ID)
	s.del(brokerKey(c.ID))
	s.emit(BrokerRemoved{Broker: *b})
	return Result{}
}

// broker finds a broker by id and, unless 0, epoch; nil and a refusal if not.
func (s *step) broker(id NodeID, epoch uint64) (*Broker, Result) {
	b := s.brokers[id]
	if b == nil {
		return nil, refuse(ErrUnknownBroker, "broker %d", id)
	}
	if epoch != 0 && epoch != b.Epoch {
		return nil, refuse(ErrStaleBrokerEpoch, "broker %d is at epoch %d, not %d", id, b.Epoch, epoch)
	}
	return b, Result{Value: int64(min(b.Epoch, math.MaxInt64))}
}

// sweepAll offers every partition to next, in order, and changes up to
// SweepLimit of those for which it has another state.
func (s *step) sweepAll(next func(Partition) (Partition, bool)) Result {
	var r Result
	for _, t := range s.order {
		for p := range t.Partitions {
			to, ok := next(t.Partitions[p])
			if !ok {
				continue
			}
			if r.Changed == SweepLimit {
				r.More = true
				return r
			}
			s.change(t, int32(p), to)
			r.Changed++
		}
	}
	return r
}
