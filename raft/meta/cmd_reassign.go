package meta

import "slices"

// ReassignPartition leads a partition to another assignment: the new replicas
// are added at once, the old ones leave when all of the target are in sync. An
// empty Target cancels: what was added leaves.
type ReassignPartition struct {
	TopicID   ID
	Partition int32
	Target    []NodeID
	// Throttle: see Partition. Repeating the command with another one changes
	// it.
	Throttle int64
}

func (*ReassignPartition) kind() kind { return kindReassignPartition }

func (c *ReassignPartition) encode(e *encoder) {
	e.id(c.TopicID)
	e.i32(c.Partition)
	e.nodes(c.Target)
	e.i64(c.Throttle)
}

func (c *ReassignPartition) decode(d *decoder) {
	c.TopicID, c.Partition, c.Target = d.id(), d.i32(), d.nodes()
	if d.version >= 2 {
		c.Throttle = d.i64()
	}
}

func (c *ReassignPartition) apply(s *step) Result {
	t, r := s.partition(c.TopicID, c.Partition)
	if t == nil {
		return r
	}
	p := t.Partitions[c.Partition]
	if len(c.Target) == 0 {
		return c.cancel(s, t, p)
	}
	if r := s.checkReplicas(c.Target); r.Code != 0 {
		return r
	}
	if c.Throttle < 0 {
		return refuse(ErrInvalidCommand, "throttle of %d bytes per second", c.Throttle)
	}
	// A new target replaces the one under way; its additions that are not in
	// sync go.
	base := p.Replicas
	if len(p.Target) > 0 {
		base = settled(&p)
	}
	p.Replicas = union(c.Target, base)
	p.Target, p.Throttle = c.Target, c.Throttle
	p.ISR = inOrder(p.Replicas, p.ISR)
	if subset(p.Target, p.ISR) {
		p.Replicas, p.Target = p.Target, nil
		p.ISR = inOrder(p.Replicas, p.ISR)
		if !slices.Contains(p.Replicas, p.Leader) {
			lead(&p, s.electable(&p))
		}
	}
	s.change(t, c.Partition, p)
	return Result{Value: int64(t.Partitions[c.Partition].PartitionEpoch)}
}

func (c *ReassignPartition) cancel(s *step, t *Topic, p Partition) Result {
	if len(p.Target) == 0 {
		return refuse(ErrConflict, "%s/%d is not being reassigned", t.Name, c.Partition)
	}
	p.Replicas, p.Target = settled(&p), nil
	p.ISR = inOrder(p.Replicas, p.ISR)
	if p.Leader != 0 && !slices.Contains(p.Replicas, p.Leader) {
		lead(&p, s.electable(&p))
	}
	s.change(t, c.Partition, p)
	return Result{Value: int64(t.Partitions[c.Partition].PartitionEpoch)}
}

// settled is the replicas of a partition without the target's additions, as
// far as it can be told: those that are in sync stay, and at least the ISR.
func settled(p *Partition) []NodeID {
	var out []NodeID
	for _, id := range p.Replicas {
		if !slices.Contains(p.Target, id) || slices.Contains(p.ISR, id) {
			out = append(out, id)
		}
	}
	return out
}

func union(first, second []NodeID) []NodeID {
	out := slices.Clone(first)
	for _, id := range second {
		if !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}

// ElectLeaders gives leadership back to preferred replicas, the first of each
// assignment, where they are live and in sync. With a zero TopicID it visits
// every topic: propose again while Result.More. With Unclean it makes the
// broker Leader lead one partition whatever its log lacks: an operator's
// acceptance of loss.
type ElectLeaders struct {
	TopicID   ID
	Partition int32 // -1: all of the topic
	Unclean   bool
	Leader    NodeID // for Unclean
}

func (*ElectLeaders) kind() kind { return kindElectLeaders }

func (c *ElectLeaders) encode(e *encoder) {
	e.id(c.TopicID)
	e.i32(c.Partition)
	e.bool(c.Unclean)
	e.i32(c.Leader)
}

func (c *ElectLeaders) decode(d *decoder) {
	c.TopicID, c.Partition, c.Unclean, c.Leader = d.id(), d.i32(), d.bool(), d.i32()
}

func (c *ElectLeaders) apply(s *step) Result {
	switch {
	case c.Unclean:
		return c.unclean(s)
	case c.TopicID == (ID{}):
		return s.sweepAll(s.preferred)
	case c.Partition >= 0:
		t, r := s.partition(c.TopicID, c.Partition)
		if t == nil {
			return r
		}
		p, ok := s.preferred(t.Partitions[c.Partition])
		if !ok {
			return refuse(ErrNoElection, "%s/%d", t.Name, c.Partition)
		}
		s.change(t, c.Partition, p)
		return Result{Changed: 1}
	}
	t := s.topics[c.TopicID]
	if t == nil {
		return refuse(ErrUnknownTopic, "id %x", c.TopicID)
	}
	var r Result
	for i := range t.Partitions {
		p, ok := s.preferred(t.Partitions[i])
		if !ok {
			continue
		}
		if r.Changed == SweepLimit {
			r.More = true
			return r
		}
		s.change(t, int32(i), p)
		r.Changed++
	}
	return r
}

func (s *step) preferred(p Partition) (Partition, bool) {
	if p.Lost || p.Leader == p.Replicas[0] || s.electable(&p) != p.Replicas[0] {
		return p, false
	}
	lead(&p, p.Replicas[0])
	return p, true
}

func (c *ElectLeaders) unclean(s *step) Result {
	t, r := s.partition(c.TopicID, c.Partition)
	if t == nil {
		return r
	}
	p := t.Partitions[c.Partition]
	switch {
	case p.Leader != 0:
		return refuse(ErrNoElection, "%s/%d has leader %d", t.Name, c.Partition, p.Leader)
	case !slices.Contains(p.Replicas, c.Leader) || !s.live(c.Leader):
		return refuse(ErrIneligibleReplica, "broker %d is no live replica of %s/%d", c.Leader, t.Name, c.Partition)
	}
	p.ISR, p.Lost = []NodeID{c.Leader}, false
	lead(&p, c.Leader)
	s.change(t, c.Partition, p)
	return Result{Changed: 1}
}

// RaiseTopic adds replicas to the partitions of a topic whose replication
// factor was not chosen; see Raise. Each assignment begins with the present
// replicas.
type RaiseTopic struct {
	ID          ID
	Assignments [][]NodeID
}

func (*RaiseTopic) kind() kind          { return kindRaiseTopic }
func (c *RaiseTopic) encode(e *encoder) { e.id(c.ID); e.assignment(c.Assignments) }
func (c *RaiseTopic) decode(d *decoder) { c.ID, c.Assignments = d.id(), d.assignment() }

func (c *RaiseTopic) apply(s *step) Result {
	t := s.topics[c.ID]
	switch {
	case t == nil:
		return refuse(ErrUnknownTopic, "id %x", c.ID)
	case t.RFExplicit:
		return refuse(ErrConflict, "the replication factor of %q was chosen", t.Name)
	case len(c.Assignments) != len(t.Partitions):
		return refuse(ErrConflict, "%q has %d partitions, not %d", t.Name, len(t.Partitions), len(c.Assignments))
	}
	for i, to := range c.Assignments {
		if r := s.checkReplicas(to); r.Code != 0 {
			return r
		}
		p := &t.Partitions[i]
		if len(p.Target) > 0 || len(to) < len(p.Replicas) || !slices.Equal(to[:len(p.Replicas)], p.Replicas) {
			return refuse(ErrConflict, "%s/%d has replicas %v", t.Name, i, p.Replicas)
		}
	}
	var r Result
	for i, to := range c.Assignments {
		p := t.Partitions[i]
		if len(to) == len(p.Replicas) {
			continue
		}
		p.Replicas = to
		s.change(t, int32(i), p)
		r.Changed++
	}
	return r
}
