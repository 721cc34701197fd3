package group

import (
	"fmt"
	"slices"
)

// onConsumerHeartbeat takes a member in, one step further, or out.
func (g *ConsumerGroup) onConsumerHeartbeat(now int64, e *ConsumerHeartbeat) {
	if e.Epoch == LeaveEpoch || e.Epoch == LeaveStaticEpoch {
		g.onConsumerLeave(now, e)
		return
	}
	m, err := g.admit(e)
	if e.Assignor != nil && *e.Assignor != "" && !slices.Contains(ServerAssignors(), *e.Assignor) {
		err = fmt.Errorf("%w: %q; there are %q", ErrUnsupportedAssignor, *e.Assignor, ServerAssignors())
	}
	if err == nil {
		err = g.mayBeat(m, e)
	}
	if err != nil {
		g.refuse(Reply{Token: e.Token, Err: err, MemberID: e.MemberID})
		return
	}
	m = g.take(now, m, e)
	held := m.assigned
	bump := m.said(e) || g.epoch == 0
	g.refresh(bump)
	if g.epoch > g.shared {
		g.shareOut()
	}
	g.reconcile(now, m, e)
	m.expires = now + g.cfg.ConsumerSession.Milliseconds()
	r := Reply{Token: e.Token, MemberID: m.id, Generation: m.epoch, Beat: &Beat{Every: g.cfg.ConsumerHeartbeat}}
	if e.full() || !sameShares(held, m.assigned) {
		r.Beat.Told, r.Beat.Assigned = true, partitionsOf(m.assigned)
	}
	g.reply(r)
}

// admit finds the member that a heartbeat is of; nil for one that joins.
func (g *ConsumerGroup) admit(e *ConsumerHeartbeat) (*consumerMember, error) {
	m := g.members[e.MemberID]
	owner := g.members[g.static[e.Instance]]
	switch {
	case e.Epoch != 0 && e.Instance != "" && owner == nil:
		return nil, fmt.Errorf("%w: no member is %q", ErrUnknownMember, e.Instance)
	case e.Epoch != 0 && e.Instance != "" && owner != m:
		return nil, fmt.Errorf("%w: %q is the member %s", ErrFencedInstance, e.Instance, owner.id)
	case e.Epoch == 0 && owner != nil && owner != m && owner.epoch != LeaveStaticEpoch:
		return nil, fmt.Errorf("%w: %q is the member %s", ErrUnreleasedInstance, e.Instance, owner.id)
	case m == nil && e.Epoch != 0:
		return nil, ErrUnknownMember
	case m == nil && owner != nil:
		return owner, nil
	case m == nil && len(g.members) >= g.cfg.MaxMembers:
		return nil, ErrFull
	case m != nil && owner == nil && e.Instance != "" && m.instance != e.Instance:
		return nil, fmt.Errorf("%w: %s is another instance", ErrFencedInstance, m.id)
	}
	return m, nil
}

// mayBeat judges what a heartbeat says. A member that has missed an answer
// comes with the epoch before, and may if it reads nothing that it has lost.
func (g *ConsumerGroup) mayBeat(m *consumerMember, e *ConsumerHeartbeat) error {
	if e.Regex != nil && *e.Regex != "" {
		if _, err := g.regex(*e.Regex); err != nil {
			return err
		}
	}
	switch {
	case e.Epoch == 0 || e.Epoch == m.epoch:
		return nil
	case e.Epoch > m.epoch:
		return fmt.Errorf("%w: the member says %d and is in %d", ErrFencedEpoch, e.Epoch, m.epoch)
	case e.Epoch == m.previous && e.Said && !slices.ContainsFunc(e.Owned, m.lacks):
		return nil
	}
	return fmt.Errorf("%w: the member says %d and is in %d", ErrFencedEpoch, e.Epoch, m.epoch)
}

func (m *consumerMember) lacks(p PartitionID) bool {
	_, has := m.assigned[p]
	return !has
}

// take makes a member for who joins, or has a static one take its own place.
func (g *ConsumerGroup) take(now int64, m *consumerMember, e *ConsumerHeartbeat) *consumerMember {
	switch {
	case m == nil:
		m = &consumerMember{
			id: e.MemberID, instance: e.Instance, assigned: map[PartitionID]int32{}, revoking: map[PartitionID]int32{},
			target: map[PartitionID]struct{}{},
		}
	case m.id == e.MemberID && (e.Epoch != 0 || m.epoch != LeaveStaticEpoch):
		return m
	default:
		// What it had is its own: it reads on where its last process stopped.
		next := *m
		g.forget(m)
		next.id, next.state, next.epoch, next.previous, next.revokeBy = e.MemberID, reconciled, 0, 0, 0
		m = &next
		for p := range m.assigned {
			g.holders[p] = m.id
		}
	}
	delete(g.gone, m.id)
	m.expires = now + g.cfg.ConsumerSession.Milliseconds()
	m.dirty = dirtyMember{said: true, target: true, current: true}
	g.members[m.id] = m
	if m.instance != "" {
		g.static[m.instance] = m.id
	}
	return m
}

// said notes what a heartbeat says of the member and tells whether the group
// has to be shared out anew for it.
func (m *consumerMember) said(e *ConsumerHeartbeat) (bump bool) {
	next := *m
	if e.Epoch == 0 || e.Rack != "" {
		next.rack = e.Rack
	}
	next.clientID, next.host = e.ClientID, e.Host
	if e.Rebalance >= 0 {
		next.rebalance = e.Rebalance
	}
	if e.Names != nil {
		next.names = slices.Compact(slices.Sorted(slices.Values(e.Names)))
	}
	if e.Regex != nil {
		next.regex = *e.Regex
	}
	if e.Assignor != nil {
		next.assignor = *e.Assignor
	}
	bump = !slices.Equal(m.names, next.names) || m.regex != next.regex || m.assignor != next.assignor
	if bump || m.rack != next.rack || m.rebalance != next.rebalance || m.clientID != next.clientID || m.host != next.host {
		next.dirty.said = true
	}
	*m = next
	return bump
}

// onConsumerLeave takes a member out at its own wish. A static one that says
// LeaveStaticEpoch keeps its place until its session ends.
func (g *ConsumerGroup) onConsumerLeave(now int64, e *ConsumerHeartbeat) {
	m := g.members[e.MemberID]
	var err error
	if e.Instance != "" {
		owner := g.members[g.static[e.Instance]]
		switch {
		case owner == nil:
			err = fmt.Errorf("%w: no member is %q", ErrUnknownMember, e.Instance)
		case owner != m:
			err = fmt.Errorf("%w: %q is the member %s", ErrFencedInstance, e.Instance, owner.id)
		}
	} else if m == nil {
		err = ErrUnknownMember
	}
	if err != nil {
		g.refuse(Reply{Token: e.Token, Err: err, MemberID: e.MemberID})
		return
	}
	if e.Epoch == LeaveStaticEpoch && m.instance != "" {
		g.release(m, m.revoking)
		m.epoch, m.revoking, m.revokeBy = LeaveStaticEpoch, map[PartitionID]int32{}, 0
		m.dirty.current = true
	} else {
		g.remove(now, m)
	}
	g.reply(Reply{Token: e.Token, MemberID: e.MemberID, Generation: e.Epoch, Beat: &Beat{}})
}

// onRemove takes a member out at an administrator's wish. The member learns of
// it by its next heartbeat.
func (g *ConsumerGroup) onRemove(now int64, e *Leave) {
	id := e.MemberID
	if id == "" {
		id = g.static[e.Instance]
	}
	m := g.members[id]
	var err error
	switch {
	case m == nil:
		err = ErrUnknownMember
	case e.Instance != "" && g.static[e.Instance] != id:
		err = ErrFencedInstance
	}
	if err != nil {
		g.refuse(Reply{Token: e.Token, Err: err, MemberID: id})
		return
	}
	g.remove(now, m)
	g.reply(Reply{Token: e.Token, MemberID: id})
}

// remove takes a member out: what it held is free, and who is left is shared
// out anew.
func (g *ConsumerGroup) remove(now int64, m *consumerMember) {
	g.forget(m)
	g.release(m, m.assigned)
	g.release(m, m.revoking)
	g.refresh(true)
	if len(g.members) == 0 {
		g.changed = now
	}
}

// forget takes a member off the lists; its records are to be deleted.
func (g *ConsumerGroup) forget(m *consumerMember) {
	delete(g.members, m.id)
	if g.static[m.instance] == m.id {
		delete(g.static, m.instance)
	}
	g.gone[m.id] = 0
}

func (g *ConsumerGroup) release(m *consumerMember, parts map[PartitionID]int32) {
	for p := range parts {
		if g.holders[p] == m.id {
			delete(g.holders, p)
		}
	}
}
