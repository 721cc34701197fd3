package group

import (
	"bytes"
	"cmp"
)

// Compare orders partitions by topic id, then by number.
func (p PartitionID) Compare(o PartitionID) int {
	return cmp.Or(bytes.Compare(p.Topic[:], o.Topic[:]), cmp.Compare(p.Partition, o.Partition))
}

// reached tells whether the member has everything that the target of an epoch
// gives it.
func (m *consumerMember) reached(epoch int32) bool { return m.state == reconciled && m.epoch == epoch }

// reconcile takes a member as far towards its target as others let it.
func (g *ConsumerGroup) reconcile(now int64, m *consumerMember, e *ConsumerHeartbeat) {
	if m.reached(g.shared) {
		return
	}
	next := *m
	switch {
	case m.state != unrevoked:
		g.advance(&next, m.epoch, e)
	case !e.Said || stillReads(e.Owned, m.revoking):
		return
	default:
		g.release(m, m.revoking)
		g.advance(&next, m.epoch+1, e)
	}
	if next.state == m.state && next.epoch == m.epoch && next.previous == m.previous &&
		sameShares(next.assigned, m.assigned) && sameShares(next.revoking, m.revoking) {
		return
	}
	next.dirty.current, next.revokeBy = true, 0
	if next.state == unrevoked {
		next.revokeBy = now + next.rebalance.Milliseconds()
	}
	for p := range next.assigned {
		g.holders[p] = m.id
	}
	*m = next
}

// stillReads tells whether one of the partitions is among those to be given up.
func stillReads(owned []PartitionID, revoking map[PartitionID]int32) bool {
	for _, p := range owned {
		if _, ok := revoking[p]; ok {
			return true
		}
	}
	return false
}

// advance makes the next step of a member that is in an epoch and has given up
// what it had to: to give up more, or to take what is free.
func (g *ConsumerGroup) advance(m *consumerMember, epoch int32, e *ConsumerHeartbeat) {
	keep, drop := make(map[PartitionID]int32), make(map[PartitionID]int32)
	for p, since := range m.assigned {
		if _, wanted := m.target[p]; wanted {
			keep[p] = since
		} else {
			drop[p] = since
		}
	}
	if len(drop) > 0 && (!e.Said || stillReads(e.Owned, drop)) {
		m.state, m.assigned, m.revoking = unrevoked, keep, drop
		m.enter(epoch)
		return
	}
	g.release(m, drop)
	m.state = reconciled
	for p := range m.target {
		if _, has := keep[p]; has {
			continue
		}
		if _, held := g.holders[p]; held {
			m.state = unreleased
			continue
		}
		keep[p] = g.shared
	}
	m.assigned, m.revoking = keep, map[PartitionID]int32{}
	m.enter(g.shared)
}

// enter moves a member to an epoch. It may say the last one once more, if it
// did not get the answer that told it.
func (m *consumerMember) enter(epoch int32) {
	if m.epoch != epoch {
		m.previous, m.epoch = m.epoch, epoch
	}
}

// MayCommit judges a commit of offsets: a member commits in its epoch, or in an
// older one what it has held since (KIP-1251). Who is no member may commit only
// while the group is empty.
func (g *ConsumerGroup) MayCommit(_ int64, c *Claim) error {
	if c.Generation < 0 && len(g.members) == 0 {
		return nil
	}
	m := g.members[c.MemberID]
	switch {
	case m == nil:
		return ErrUnknownMember
	case c.Old:
		return ErrOldRequest
	case c.Generation == m.epoch:
		return nil
	case c.Generation > m.epoch || c.Generation < 0:
		return ErrStaleEpoch
	}
	for _, tp := range c.Partitions {
		t, ok := g.topics.Topic(tp.Topic)
		since, held := m.assigned[PartitionID{Topic: t.ID, Partition: tp.Partition}]
		if !held {
			since, held = m.revoking[PartitionID{Topic: t.ID, Partition: tp.Partition}]
		}
		if !ok || !held || since > c.Generation {
			return ErrStaleEpoch
		}
	}
	return nil
}

// MayFetch judges a fetch of offsets by a member, or by nobody (generation -1
// and no id).
func (g *ConsumerGroup) MayFetch(c *Claim) error {
	if c.Generation < 0 && c.MemberID == "" {
		return nil
	}
	m := g.members[c.MemberID]
	switch {
	case m == nil:
		return ErrUnknownMember
	case c.Generation != m.epoch:
		return ErrStaleEpoch
	}
	return nil
}

// MayDeleteOffsets judges whether offsets may be deleted at all.
func (g *ConsumerGroup) MayDeleteOffsets() error { return nil }

// Subscribed is ErrSubscribed if a member reads the topic.
func (g *ConsumerGroup) Subscribed(topic string) error {
	for _, m := range g.members {
		if _, ok := g.subscribed(m)[topic]; ok {
			return ErrSubscribed
		}
	}
	return nil
}
