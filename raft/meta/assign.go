package meta

import (
	"cmp"
	"slices"
)

// Assign places n new partitions with rf replicas each: leaders are spread
// evenly over the brokers that are live (counting what they lead already),
// then replicas over those that have fewest. Draining and fenced brokers are
// used only where the others don't suffice. Nothing is random: equal images
// give equal assignments. ErrNotEnoughBrokers if fewer than rf are registered.
func Assign(m *Image, n, rf int) ([][]NodeID, error) {
	l := newLoads(m)
	if rf < 1 || n < 1 || n > MaxPartitions || rf > MaxReplicas {
		return nil, refuse(ErrInvalidCommand, "%d partitions with %d replicas", n, rf).Err()
	}
	if len(l.brokers) < rf {
		return nil, refuse(ErrNotEnoughBrokers, "%d replicas, but %d brokers are registered", rf, len(l.brokers)).Err()
	}
	out := make([][]NodeID, n)
	for i := range out {
		replicas := make([]NodeID, 0, rf)
		for len(replicas) < rf {
			replicas = append(replicas, l.pick(replicas))
		}
		out[i] = replicas
	}
	return out, nil
}

// Raise adds replicas to a topic's partitions up to rf, as far as there are
// brokers that do not drain: the argument of RaiseTopic. Nil if there is
// nothing to add.
func Raise(m *Image, t *Topic, rf int) [][]NodeID {
	l := newLoads(m)
	l.brokers = slices.DeleteFunc(l.brokers, func(b load) bool { return b.draining })
	rf = min(rf, len(l.brokers), MaxReplicas)
	out := make([][]NodeID, len(t.Partitions))
	raised := false
	for i := range t.Partitions {
		replicas := slices.Clone(t.Partitions[i].Replicas)
		for len(replicas) < rf && l.has(replicas) {
			replicas = append(replicas, l.pick(replicas))
			raised = true
		}
		out[i] = replicas
	}
	if !raised {
		return nil
	}
	return out
}

// loads counts what each broker has.
type loads struct{ brokers []load }

type load struct {
	id                NodeID
	usable, draining  bool
	leads, replicates int
}

func newLoads(m *Image) *loads {
	l := &loads{}
	at := map[NodeID]int{}
	for _, b := range m.Brokers() {
		at[b.ID] = len(l.brokers)
		l.brokers = append(l.brokers, load{id: b.ID, usable: b.Live() && !b.Draining, draining: b.Draining})
	}
	for _, t := range m.order {
		for i := range t.Partitions {
			for rank, id := range t.Partitions[i].Replicas {
				j, ok := at[id]
				if !ok {
					continue
				}
				l.brokers[j].replicates++
				if rank == 0 {
					l.brokers[j].leads++
				}
			}
		}
	}
	return l
}

// has tells whether there is a broker without a replica.
func (l *loads) has(replicas []NodeID) bool {
	return slices.ContainsFunc(l.brokers, func(b load) bool { return !slices.Contains(replicas, b.id) })
}

// pick chooses the next replica of a partition that has the given ones.
func (l *loads) pick(have []NodeID) NodeID {
	best := -1
	for i := range l.brokers {
		if slices.Contains(have, l.brokers[i].id) {
			continue
		}
		if best < 0 || l.brokers[i].before(&l.brokers[best], len(have) == 0) {
			best = i
		}
	}
	b := &l.brokers[best]
	b.replicates++
	if len(have) == 0 {
		b.leads++
	}
	return b.id
}

func (a *load) before(b *load, leader bool) bool {
	if a.usable != b.usable {
		return a.usable
	}
	if leader && a.leads != b.leads {
		return a.leads < b.leads
	}
	return cmp.Or(cmp.Compare(a.replicates, b.replicates), cmp.Compare(a.id, b.id)) < 0
}
