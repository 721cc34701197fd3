package meta

import "slices"

// AlterPartition is the leader's proposal of another ISR: a compare-and-set on
// the leader, its broker epoch, the leader epoch and the partition epoch. Each
// new member must be live, and at the broker epoch that the leader saw in its
// fetches: one that restarted since may have lost its log (KIP-903). It
// completes a reassignment whose target is in sync. Result.Value is the new
// partition epoch.
type AlterPartition struct {
	TopicID        ID
	Partition      int32
	Leader         NodeID
	BrokerEpoch    uint64
	LeaderEpoch    int32
	PartitionEpoch int32
	ISR            []NodeID
	// ISREpochs, when not empty, are the broker epochs of ISR; 0 is not
	// checked.
	ISREpochs []uint64
}

func (*AlterPartition) kind() kind { return kindAlterPartition }

func (c *AlterPartition) encode(e *encoder) {
	e.id(c.TopicID)
	e.i32(c.Partition)
	e.i32(c.Leader)
	e.u64(c.BrokerEpoch)
	e.i32(c.LeaderEpoch)
	e.i32(c.PartitionEpoch)
	e.nodes(c.ISR)
	e.u64(uint64(len(c.ISREpochs)))
	for _, v := range c.ISREpochs {
		e.u64(v)
	}
}

func (c *AlterPartition) decode(d *decoder) {
	c.TopicID, c.Partition, c.Leader = d.id(), d.i32(), d.i32()
	c.BrokerEpoch, c.LeaderEpoch, c.PartitionEpoch = d.u64(), d.i32(), d.i32()
	c.ISR = d.nodes()
	for range d.count() {
		c.ISREpochs = append(c.ISREpochs, d.u64())
	}
}

func (c *AlterPartition) apply(s *step) Result {
	t, r := s.partition(c.TopicID, c.Partition)
	if t == nil {
		return r
	}
	p := t.Partitions[c.Partition]
	if r := c.check(s, &p); r.Code != 0 {
		return r
	}
	p.ISR = inOrder(p.Replicas, c.ISR)
	if len(p.Target) > 0 && subset(p.Target, p.ISR) {
		p.Replicas, p.Target = p.Target, nil
		p.ISR = p.Replicas
		if !slices.Contains(p.Replicas, p.Leader) {
			lead(&p, s.electable(&p))
		}
	}
	s.change(t, c.Partition, p)
	return Result{Value: int64(t.Partitions[c.Partition].PartitionEpoch)}
}

func (c *AlterPartition) check(s *step, p *Partition) Result {
	if _, r := s.broker(c.Leader, c.BrokerEpoch); r.Code != 0 {
		return r
	}
	switch {
	case p.Leader != c.Leader || p.LeaderEpoch != c.LeaderEpoch:
		return refuse(ErrStaleLeaderEpoch, "leader is %d at epoch %d", p.Leader, p.LeaderEpoch)
	case p.PartitionEpoch != c.PartitionEpoch:
		return refuse(ErrStalePartitionEpoch, "epoch is %d", p.PartitionEpoch)
	case !slices.Contains(c.ISR, c.Leader) || !subset(c.ISR, p.Replicas) || !distinct(c.ISR):
		return refuse(ErrInvalidCommand, "ISR %v of leader %d and replicas %v", c.ISR, c.Leader, p.Replicas)
	case len(c.ISREpochs) > 0 && len(c.ISREpochs) != len(c.ISR):
		return refuse(ErrInvalidCommand, "%d epochs for %d in-sync replicas", len(c.ISREpochs), len(c.ISR))
	}
	for i, id := range c.ISR {
		known := len(c.ISREpochs) > 0 && c.ISREpochs[i] != 0
		switch b := s.brokers[id]; {
		case b == nil || known && b.Epoch != c.ISREpochs[i]:
			return refuse(ErrIneligibleReplica, "broker %d registered anew", id)
		case !b.Live() && !slices.Contains(p.ISR, id):
			return refuse(ErrIneligibleReplica, "broker %d is fenced", id)
		}
	}
	return Result{}
}

// LeaveISR is a replica's own admission that its log is corrupt: it leaves the
// ISR. If it was the last member the partition is Lost and offline. The
// partition's incarnation grows.
type LeaveISR struct {
	TopicID     ID
	Partition   int32
	Broker      NodeID
	BrokerEpoch uint64
}

func (*LeaveISR) kind() kind { return kindLeaveISR }

func (c *LeaveISR) encode(e *encoder) {
	e.id(c.TopicID)
	e.i32(c.Partition)
	e.i32(c.Broker)
	e.u64(c.BrokerEpoch)
}

func (c *LeaveISR) decode(d *decoder) {
	c.TopicID, c.Partition, c.Broker, c.BrokerEpoch = d.id(), d.i32(), d.i32(), d.u64()
}

func (c *LeaveISR) apply(s *step) Result {
	t, r := s.partition(c.TopicID, c.Partition)
	if t == nil {
		return r
	}
	if b, r := s.broker(c.Broker, c.BrokerEpoch); b == nil {
		return r
	}
	p := t.Partitions[c.Partition]
	if !slices.Contains(p.Replicas, c.Broker) {
		return refuse(ErrIneligibleReplica, "broker %d has no replica", c.Broker)
	}
	p.Incarnation++
	if slices.Contains(p.ISR, c.Broker) {
		if len(p.ISR) == 1 {
			p.Lost = true
		} else {
			p.ISR = without(p.ISR, c.Broker)
		}
	}
	if p.Leader == c.Broker || p.Lost && p.Leader != 0 {
		lead(&p, s.electable(&p))
	}
	s.change(t, c.Partition, p)
	return Result{Value: int64(t.Partitions[c.Partition].PartitionEpoch)}
}

// partition finds a partition's topic; nil and a refusal if there is none.
func (s *step) partition(id ID, p int32) (*Topic, Result) {
	t := s.topics[id]
	if t == nil {
		return nil, refuse(ErrUnknownTopic, "id %x", id)
	}
	if p < 0 || int(p) >= len(t.Partitions) {
		return nil, refuse(ErrUnknownPartition, "%s/%d of %d", t.Name, p, len(t.Partitions))
	}
	return t, Result{}
}

// inOrder is the members of ids in the order of replicas.
func inOrder(replicas, ids []NodeID) []NodeID {
	out := make([]NodeID, 0, len(ids))
	for _, id := range replicas {
		if slices.Contains(ids, id) {
			out = append(out, id)
		}
	}
	return out
}

func subset(ids, of []NodeID) bool {
	for _, id := range ids {
		if !slices.Contains(of, id) {
			return false
		}
	}
	return true
}

func distinct(ids []NodeID) bool {
	for i, id := range ids {
		if slices.Contains(ids[:i], id) {
			return false
		}
	}
	return true
}
