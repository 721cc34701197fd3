package group

// onSync gives a member its assignment, now or when the leader has brought it.
func (g *Group) onSync(now int64, e *Sync) {
	m, err := g.find(e.MemberID, e.Instance)
	switch {
	case err != nil:
	case g.state == Empty:
		err = ErrUnknownMember
	case e.Generation != g.generation:
		err = ErrIllegalGeneration
	case e.ProtocolType != "" && e.ProtocolType != g.protocolType, e.Protocol != "" && e.Protocol != g.protocol:
		err = ErrInconsistentProtocol
	case g.state == Preparing:
		err = ErrRebalance
	}
	if err != nil {
		g.reply(Reply{Token: e.Token, Err: err})
		return
	}
	m.keepAlive(now)
	m.mustSyncBefore = 0
	if g.state == Stable {
		g.replySync(e.Token, m)
		return
	}
	if m.sync != 0 { // an older one has lost its connection
		g.reply(Reply{Token: m.sync, Err: ErrRebalance})
	}
	m.sync = e.Token
	if m.id != g.leader || g.storing != 0 {
		return
	}
	g.next = make(map[string][]byte, len(g.members))
	for id := range g.members {
		g.next[id] = append([]byte{}, e.Assignments[id]...)
	}
	md := g.metadata()
	for i := range md.Members {
		md.Members[i].Assignment = g.next[md.Members[i].ID]
	}
	g.storing = g.store(md)
}

func (g *Group) store(md *Metadata) (seq uint64) {
	g.stores++
	g.out = append(g.out, Store{Seq: g.stores, Metadata: md})
	return g.stores
}

// onStored hands the assignment out, or begins anew when it could not be
// written.
func (g *Group) onStored(now int64, e *Stored) {
	if r, waits := g.deferred[e.Seq]; waits {
		delete(g.deferred, e.Seq)
		g.idStored(now, e)
		if e.Err != nil {
			r = Reply{Token: r.Token, Err: e.Err, MemberID: r.MemberID, Generation: -1}
		}
		g.reply(r)
		return
	}
	if g.storing != e.Seq {
		return // of a generation that is over, or of a group without members
	}
	next := g.next
	g.storing, g.next = 0, nil
	if e.Err != nil {
		for _, id := range g.order {
			if m := g.members[id]; m.sync != 0 {
				g.reply(Reply{Token: m.sync, Err: e.Err})
				m.sync = 0
			}
		}
		g.rebalance(now)
		return
	}
	g.enter(now, Stable)
	for _, id := range g.order {
		m := g.members[id]
		m.assignment = next[id]
		if m.sync != 0 {
			m.keepAlive(now)
			g.replySync(m.sync, m)
			m.sync = 0
		}
	}
}

// idStored ends the wait of a member whose new id was written. When it could
// not be, the next generation writes it.
func (g *Group) idStored(now int64, e *Stored) {
	for _, id := range g.order {
		m := g.members[id]
		if m.unstored != e.Seq {
			continue
		}
		m.unstored = 0
		if e.Err != nil && m.hosted() {
			g.rebalance(now)
		}
		return
	}
}

func (g *Group) replySync(t Token, m *member) {
	g.reply(Reply{
		Token: t, MemberID: m.id, Assignment: m.assignment, ProtocolType: g.protocolType, Protocol: g.protocol,
	})
}
