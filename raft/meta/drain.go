package meta

import (
	"slices"
	"strconv"
)

// Move is one partition's way to another assignment: the arguments of a
// ReassignPartition.
type Move struct {
	TopicID   ID
	Topic     string
	Partition int32
	Target    []NodeID
}

// Drain plans where the replicas of a broker go: each to the live broker, not
// draining itself, that has fewest and does not hold the partition. The new
// replica takes the old one's rank, so a preferred leader is replaced by one;
// the number of replicas stays. Only where that number was not chosen, and no
// broker is left for a replica, does it go down, not below
// min.insync.replicas: Raise brings it up again. Partitions that leave the
// broker already are not moved again. Equal images give equal plans.
// ErrNotEnoughBrokers, and no plan, if any replica finds no place;
// ErrUnknownBroker.
func Drain(m *Image, id NodeID) ([]Move, error) {
	if _, ok := m.Broker(id); !ok {
		return nil, refuse(ErrUnknownBroker, "broker %d", id).Err()
	}
	l := newLoads(m)
	l.brokers = slices.DeleteFunc(l.brokers, func(b load) bool { return !b.usable || b.id == id })
	var moves []Move
	for _, t := range m.order {
		for i := range t.Partitions {
			now := t.Partitions[i].Assigned()
			rank := slices.Index(now, id)
			if rank < 0 {
				continue
			}
			to, ok := l.replace(now, rank)
			if !ok {
				to, ok = fewer(t, now, id)
			}
			if !ok {
				return nil, refuse(ErrNotEnoughBrokers, "%s/%d has replicas on %v, and no other live broker is left for broker "+
					"%d's; start another one, or reassign the partition to fewer", t.Name, i, now, id).Err()
			}
			moves = append(moves, Move{TopicID: t.ID, Topic: t.Name, Partition: int32(i), Target: to})
		}
	}
	return moves, nil
}

// fewer is an assignment without one broker, if the topic may have fewer
// replicas.
func fewer(t *Topic, now []NodeID, id NodeID) ([]NodeID, bool) {
	least := 1
	if n, err := strconv.Atoi(t.Configs["min.insync.replicas"]); err == nil {
		least = max(least, n)
	}
	return without(now, id), !t.RFExplicit && len(now) > least
}

// Assigned are the brokers that hold the partition, or will once its
// reassignment is through.
func (p *Partition) Assigned() []NodeID {
	if len(p.Target) > 0 {
		return p.Target
	}
	return p.Replicas
}

// replace chooses another broker for one rank of an assignment; false if every
// broker is in it.
func (l *loads) replace(now []NodeID, rank int) ([]NodeID, bool) {
	best := -1
	for i := range l.brokers {
		if slices.Contains(now, l.brokers[i].id) {
			continue
		}
		if best < 0 || l.brokers[i].before(&l.brokers[best], rank == 0) {
			best = i
		}
	}
	if best < 0 {
		return nil, false
	}
	b := &l.brokers[best]
	b.replicates++
	if rank == 0 {
		b.leads++
	}
	to := slices.Clone(now)
	to[rank] = b.id
	return to, true
}
