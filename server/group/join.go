package group

import (
	"slices"
	"time"
)

// newMemberWait is how long a member that has no generation yet may wait for
// its first one, whatever its session says.
const newMemberWait = 5 * time.Minute

// onJoin takes a member in, back, or refuses it.
func (g *Group) onJoin(now int64, e *Join) {
	if err := g.mayJoin(e); err != nil {
		g.refuseJoin(e, err)
		return
	}
	if e.MemberID == "" {
		g.joinNew(now, e)
		return
	}
	if _, given := g.pending[e.MemberID]; given && e.Instance == "" {
		delete(g.pending, e.MemberID)
		g.add(now, e, e.MemberID)
		g.rebalance(now)
		return
	}
	m, err := g.find(e.MemberID, e.Instance)
	if err != nil {
		g.refuseJoin(e, err)
		return
	}
	same := m.sameProtocols(e.Protocols)
	switch {
	case g.state == Completing && same, g.state == Stable && same && m.id != g.leader:
		// It has missed the answer, or only wants to know.
		g.update(m, e)
		m.keepAlive(now)
		g.replyJoin(e.Token, m)
	default:
		g.update(m, e)
		g.await(now, m, e.Token)
		g.rebalance(now)
	}
}

func (g *Group) refuseJoin(e *Join, err error) {
	g.reply(Reply{Token: e.Token, Err: err, MemberID: e.MemberID, Generation: -1})
}

// mayJoin judges what a join says of itself.
func (g *Group) mayJoin(e *Join) error {
	switch {
	case e.Session < g.cfg.MinSession || e.Session > g.cfg.MaxSession:
		return ErrInvalidSession
	case e.ProtocolType == "" || len(e.Protocols) == 0:
		return ErrInconsistentProtocol
	case len(g.members) == 0:
		return nil
	case e.ProtocolType != g.protocolType:
		return ErrInconsistentProtocol
	}
	for _, p := range e.Protocols {
		if g.common(p.Name, e.MemberID) {
			return nil
		}
	}
	return ErrInconsistentProtocol
}

// common tells whether every member but the one named knows the protocol.
func (g *Group) common(protocol, but string) bool {
	for id, m := range g.members {
		if id != but && !m.knows(protocol) {
			return false
		}
	}
	return true
}

// joinNew takes in who has no id yet: a static member that comes back takes
// its own place over.
func (g *Group) joinNew(now int64, e *Join) {
	old := g.members[g.static[e.Instance]]
	switch {
	case e.Instance != "" && old != nil:
		g.replace(now, e, old)
	case len(g.members)+len(g.pending) >= g.cfg.MaxMembers:
		g.refuseJoin(e, ErrFull)
	case e.Instance == "" && e.RequireKnown:
		g.pending[e.NewID] = now + e.Session.Milliseconds()
		g.reply(Reply{Token: e.Token, Err: ErrMemberIDRequired, MemberID: e.NewID, Generation: -1})
	default:
		g.add(now, e, e.NewID)
		g.rebalance(now)
	}
}

// add makes a member that waits for its first generation.
func (g *Group) add(now int64, e *Join, id string) {
	m := &member{id: id, instance: e.Instance, fresh: true}
	g.update(m, e)
	if len(g.members) == 0 {
		g.protocolType = e.ProtocolType
	}
	if g.leader == "" {
		g.leader = id
	}
	g.members[id] = m
	g.order = append(g.order, id)
	if e.Instance != "" {
		g.static[e.Instance] = id
	}
	g.grew = true
	g.await(now, m, e.Token)
}

// replace gives a static member's place to its next process (KIP-345). When
// nothing changes for the others there is no rebalance.
func (g *Group) replace(now int64, e *Join, old *member) {
	for _, waiting := range []Token{old.join, old.sync} {
		if waiting != 0 {
			g.reply(Reply{Token: waiting, Err: ErrFencedInstance, MemberID: old.id, Generation: -1})
		}
	}
	same := old.sameProtocols(e.Protocols)
	m := *old
	m.id, m.join, m.sync = e.NewID, 0, 0
	delete(g.members, old.id)
	g.members[m.id] = &m
	g.order[slices.Index(g.order, old.id)] = m.id
	g.static[e.Instance] = m.id
	wasLeader := g.leader == old.id
	if wasLeader {
		g.leader = m.id
	}
	g.update(&m, e)
	if g.state == Stable && same && !wasLeader {
		m.keepAlive(now)
		// Its new id is written before it is used: the next coordinator knows it.
		m.unstored = g.store(g.metadata())
		g.deferred[m.unstored] = g.joined(e.Token, &m)
		return
	}
	g.await(now, &m, e.Token)
	g.rebalance(now)
}

// update takes over what a member says of itself.
func (g *Group) update(m *member, e *Join) {
	m.clientID, m.host, m.session, m.rebal = e.ClientID, e.Host, e.Session, e.Rebalance
	m.protocols = e.Protocols
}

// await has a member's join wait. An older one of the same member has lost its
// connection.
func (g *Group) await(now int64, m *member, t Token) {
	if m.join != 0 {
		g.reply(Reply{Token: m.join, Err: ErrRebalance, MemberID: m.id, Generation: -1})
	}
	m.join = t
	m.keepAlive(now)
	if m.fresh {
		m.expires = now + newMemberWait.Milliseconds()
	}
}

// rebalance begins a new generation, or looks whether the one that is being
// prepared is complete.
func (g *Group) rebalance(now int64) {
	if g.state != Preparing {
		g.interruptSyncs(now)
		g.initial = g.state == Empty && g.cfg.InitialDelay > 0 && !g.alone()
		g.enter(now, Preparing)
		wait := g.longestRebalance()
		g.joinBy, g.remaining = now+wait.Milliseconds(), 0
		if g.initial {
			g.remaining = max(wait-g.cfg.InitialDelay, 0)
			g.joinBy = now + g.cfg.InitialDelay.Milliseconds()
		}
		g.grew = false
	}
	g.tryComplete(now)
}

// interruptSyncs sends those who wait for an assignment back to join; they
// have been silent because they waited.
func (g *Group) interruptSyncs(now int64) {
	g.storing, g.next = 0, nil
	for _, id := range g.order {
		m := g.members[id]
		m.mustSyncBefore = 0
		if m.sync != 0 {
			g.reply(Reply{Token: m.sync, Err: ErrRebalance})
			m.sync = 0
			m.keepAlive(now)
		}
	}
}

func (g *Group) longestRebalance() (d time.Duration) {
	for _, m := range g.members {
		d = max(d, m.rebal)
	}
	return d
}

// tryComplete ends Preparing when everybody has joined or the time is over.
func (g *Group) tryComplete(now int64) {
	if g.state != Preparing {
		return
	}
	if now < g.joinBy {
		if g.initial && len(g.members) > 0 || len(g.pending) > 0 || !g.allJoined() {
			return
		}
	} else if g.initial && g.grew && g.remaining > 0 {
		// Members still arrive: wait once more, within the rebalance's time.
		d := min(g.cfg.InitialDelay, g.remaining)
		g.remaining, g.grew = g.remaining-d, false
		g.joinBy = now + d.Milliseconds()
		return
	}
	g.complete(now)
}

func (g *Group) allJoined() bool {
	for _, m := range g.members {
		if m.join == 0 {
			return false
		}
	}
	return true
}

// complete makes the next generation of those who have joined. A static member
// that has not is kept as long as its session lasts.
func (g *Group) complete(now int64) {
	for _, id := range slices.Clone(g.order) {
		if m := g.members[id]; m.join == 0 && (m.instance == "" || m.expires <= now) {
			g.remove(m)
		}
	}
	if g.electLeader(); len(g.members) > 0 && g.members[g.leader].join == 0 {
		g.joinBy = now + g.longestRebalance().Milliseconds() // nobody is there to lead yet
		return
	}
	g.generation = max(g.generation+1, 1)
	if len(g.members) == 0 {
		g.protocol, g.leader = "", ""
		g.enter(now, Empty)
		g.store(g.metadata())
		return
	}
	g.protocol = g.choose()
	g.enter(now, Completing)
	for _, id := range g.order {
		m := g.members[id]
		m.assignment = nil
		m.mustSyncBefore = now + max(m.rebal, m.session).Milliseconds()
		if m.join == 0 {
			continue
		}
		m.fresh = false
		m.keepAlive(now)
		if m.hosted() {
			g.host(m)
			continue
		}
		g.replyJoin(m.join, m)
		m.join = 0
	}
}

// electLeader keeps the leader if it has joined, else takes the oldest member
// that has.
func (g *Group) electLeader() {
	if m := g.members[g.leader]; m != nil && m.join != 0 {
		return
	}
	for _, id := range g.order {
		if g.members[id].join != 0 {
			g.leader = id
			return
		}
	}
}

// choose picks the protocol by vote: each member votes for the first of its
// own that all know. The leader's order decides between equals.
func (g *Group) choose() string {
	votes := make(map[string]int)
	for _, id := range g.order {
		for _, p := range g.members[id].protocols {
			if g.common(p.Name, "") {
				votes[p.Name]++
				break
			}
		}
	}
	best := ""
	for _, p := range g.members[g.leader].protocols {
		if votes[p.Name] > votes[best] {
			best = p.Name
		}
	}
	for _, id := range g.order { // no vote came from the leader's list
		for _, p := range g.members[id].protocols {
			if best == "" && votes[p.Name] > 0 {
				best = p.Name
			}
		}
	}
	return best
}

// replyJoin tells a member of the current generation; the leader gets the
// members.
func (g *Group) replyJoin(t Token, m *member) { g.reply(g.joined(t, m)) }

func (g *Group) joined(t Token, m *member) Reply {
	r := Reply{
		Token: t, MemberID: m.id, Generation: g.generation, Leader: g.leader,
		ProtocolType: g.protocolType, Protocol: g.protocol,
	}
	if m.id == g.leader && g.state == Completing {
		for _, id := range g.order {
			o := g.members[id]
			r.Members = append(r.Members, Joined{MemberID: o.id, Instance: o.instance, Metadata: o.metadata(g.protocol)})
		}
	}
	return r
}
