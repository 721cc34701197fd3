package meta

import (
	"maps"
	"slices"
)

// Handover is a partition whose leader, which lives, a command replaces.
type Handover struct {
	TopicID   ID
	Partition int32
	Leader    NodeID // the present one
}

// Handovers are the partitions that a command would take from their leaders,
// if it were applied to this image, up to SweepLimit of them: for others, or,
// where a broker that stops has the only copy, for nobody. Whoever proposes it
// has those leaders finish what they have in hand. A command that would be
// refused has none: a leader that prepares in vain takes no appends meanwhile.
func Handovers(m *Image, cmd Command) []Handover {
	s := &step{Image: m}
	switch c := cmd.(type) {
	case *DrainBroker:
		return c.handovers(s)
	case *FenceBroker:
		if b, _ := s.broker(c.ID, c.Epoch); b != nil {
			return s.handovers(func(p *Partition) bool { return p.Leader == c.ID })
		}
	case *ElectLeaders:
		return c.handovers(s)
	case *ReassignPartition:
		return c.handovers(s)
	case *AlterPartition:
		t, _ := s.partition(c.TopicID, c.Partition)
		if t == nil {
			return nil
		}
		if p := t.Partitions[c.Partition]; len(p.Target) > 0 && c.check(s, &p).Code == 0 {
			return leaves(t, c.Partition, p.Target, c.ISR)
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

func (c *DrainBroker) handovers(s *step) []Handover {
	b := s.brokers[c.ID]
	if b == nil || !c.Draining {
		return nil
	}
	draining, then := *b, *s.Image
	draining.Draining = true
	then.brokers = maps.Clone(s.brokers)
	then.brokers[c.ID] = &draining
	return s.handovers(func(p *Partition) bool {
		if p.Leader != c.ID {
			return false
		}
		to := then.electable(p)
		return to != c.ID && to != 0
	})
}

func (c *ReassignPartition) handovers(s *step) []Handover {
	t, _ := s.partition(c.TopicID, c.Partition)
	if t == nil || len(c.Target) == 0 || c.Throttle < 0 || s.checkReplicas(c.Target).Code != 0 {
		return nil
	}
	return leaves(t, c.Partition, c.Target, t.Partitions[c.Partition].ISR)
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
