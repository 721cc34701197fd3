package meta

import "slices"

// Handover is a partition whose leader, which lives, a command replaces.
type Handover struct {
	TopicID   ID
	Partition int32
	Leader    NodeID // the present one
}

// Handovers are the partitions that a command would give another leader, if it
// were applied to this image, up to SweepLimit of them. Whoever proposes it has
// those leaders finish what they have in hand.
func Handovers(m *Image, cmd Command) (list []Handover) {
	s := &step{Image: m}
	switch c := cmd.(type) {
	case *DrainBroker:
		if c.Draining {
			return s.handovers(func(p *Partition) bool { return s.replaceable(p, c.ID) })
		}
	case *FenceBroker:
		return s.handovers(func(p *Partition) bool { return s.replaceable(p, c.ID) })
	case *ElectLeaders:
		return c.handovers(s)
	case *ReassignPartition:
		t, _ := s.partition(c.TopicID, c.Partition)
		if t != nil && len(c.Target) > 0 {
			return leaves(t, c.Partition, c.Target, t.Partitions[c.Partition].ISR)
		}
	case *AlterPartition:
		t, _ := s.partition(c.TopicID, c.Partition)
		if t != nil && len(t.Partitions[c.Partition].Target) > 0 {
			return leaves(t, c.Partition, t.Partitions[c.Partition].Target, c.ISR)
		}
	}
	return nil
}

// handovers are the partitions that match.
func (s *step) handovers(match func(*Partition) bool) (list []Handover) {
	for _, t := range s.order {
		for i := range t.Partitions {
			if len(list) == SweepLimit {
				return list
			}
			if p := &t.Partitions[i]; p.Leader != 0 && match(p) {
				list = append(list, Handover{TopicID: t.ID, Partition: int32(i), Leader: p.Leader})
			}
		}
	}
	return list
}

// replaceable tells whether another live replica could lead instead of id.
func (s *step) replaceable(p *Partition, id NodeID) bool {
	return p.Leader == id && slices.ContainsFunc(p.ISR, func(n NodeID) bool {
		b := s.brokers[n]
		return n != id && b != nil && b.Live() && !b.Draining
	})
}

func (c *ElectLeaders) handovers(s *step) (list []Handover) {
	preferred := func(p *Partition) bool {
		_, ok := s.preferred(*p)
		return ok
	}
	switch {
	case c.Unclean: // of partitions without a leader
		return nil
	case c.TopicID == (ID{}):
		return s.handovers(preferred)
	}
	t := s.topics[c.TopicID]
	if t == nil {
		return nil
	}
	for i := range t.Partitions {
		p := &t.Partitions[i]
		if len(list) == SweepLimit || c.Partition >= 0 && c.Partition != int32(i) || p.Leader == 0 || !preferred(p) {
			continue
		}
		list = append(list, Handover{TopicID: t.ID, Partition: int32(i), Leader: p.Leader})
	}
	return list
}

// leaves is the partition if a reassignment to target comes to its end with
// such an ISR, and its leader is not part of it.
func leaves(t *Topic, number int32, target, isr []NodeID) []Handover {
	leader := t.Partitions[number].Leader
	if leader == 0 || slices.Contains(target, leader) || !subset(target, isr) {
		return nil
	}
	return []Handover{{TopicID: t.ID, Partition: number, Leader: leader}}
}
