package group

import (
	"math"
	"regexp"
	"slices"
	"time"
)

// hosted is the token of what a group does in the place of a hosted member:
// nobody waits for its reply.
const hosted Token = math.MaxUint64

// hostedID is the form of a hosted member's id. A Kafka member's ends with "-"
// and a UUID, so no id has both forms.
var hostedID = regexp.MustCompile(`^http\.[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// HostedPrefix begins the id of every hosted member; a UUID follows.
const HostedPrefix = "http."

// Hosted tells whether a member id is that of a hosted member.
func Hosted(memberID string) bool { return hostedID.MatchString(memberID) }

// Attend is the poll of a hosted member: one that does not speak the group's
// protocol, so that the group joins, syncs and leads in its place. The member
// only says, again and again, that it is there and what it wants to read. The
// reply is its seat, or ErrRebalance while it has none: attend again when the
// group has changed. An attendance is also what a heartbeat is.
//
// A hosted member joins the next generation only by attending: until then it
// may still work on what it read, and commit it in the old one.
type Attend struct {
	Token    Token
	MemberID string // Hosted; one that is not known is taken in
	// New says that the client has no id yet, and MemberID was made for it: a
	// static member takes its own place over then, and is fenced otherwise.
	New            bool
	Instance       string
	ClientID, Host string
	// Session is how long the member may be silent, in and between
	// generations.
	Session time.Duration
	Topics  []string
}

// Reshare asks for a new generation because what there is to share out has
// changed. Only a group that a hosted member leads needs to be told.
type Reshare struct{}

// Assign asks for the shares of a generation that a hosted member leads: Step
// with Led.
type Assign struct {
	Generation int32
	Protocol   string
	Members    []Joined
}

// Led brings the shares that Assign asked for.
type Led struct {
	Generation  int32
	Assignments map[string][]byte
}

func (Attend) event()  {}
func (Reshare) event() {}
func (Led) event()     {}
func (Assign) effect() {}

// onAttend seats a hosted member, takes it in, or has it join again.
func (g *Group) onAttend(now int64, e *Attend) {
	join := e.join()
	m := g.members[e.MemberID]
	owner := g.static[e.Instance]
	err := g.mayAttend(e, m, owner)
	switch {
	case err != nil:
	case m != nil:
		if g.seat(now, m, e, &join) {
			g.reply(Reply{
				Token: e.Token, MemberID: m.id, Generation: g.generation, Assignment: m.assignment,
				ProtocolType: g.protocolType, Protocol: g.protocol,
			})
			return
		}
		err = ErrRebalance
	case owner != "":
		err = ErrRebalance
		g.replace(now, &join, g.members[owner])
	default:
		err = ErrRebalance
		g.add(now, &join, e.MemberID)
		g.rebalance(now)
	}
	g.reply(Reply{Token: e.Token, Err: err, MemberID: e.MemberID, Generation: -1})
}

// join is what the group says for the member when it joins.
func (e *Attend) join() Join {
	return Join{
		Token: hosted, MemberID: e.MemberID, NewID: e.MemberID, Instance: e.Instance, ClientID: e.ClientID, Host: e.Host,
		Session: e.Session, Rebalance: e.Session, ProtocolType: consumerProtocol,
		Protocols: hostedProtocols((&Subscription{Topics: e.Topics}).Append(nil)),
	}
}

// hostedProtocols are what a hosted member offers, whatever the generation uses
// of it: the log keeps that only.
func hostedProtocols(subscription []byte) (list []Protocol) {
	for _, name := range Assignors() {
		list = append(list, Protocol{Name: name, Metadata: subscription})
	}
	return list
}

// mayAttend judges an attendance; m is the member of the id, owner the id that
// holds the instance.
func (g *Group) mayAttend(e *Attend, m *member, owner string) error {
	switch {
	case !Hosted(e.MemberID) || m != nil && !m.hosted():
		return ErrUnknownMember
	case e.Session < g.cfg.MinSession || e.Session > g.cfg.MaxSession:
		return ErrInvalidSession
	case owner != "" && owner != e.MemberID && !e.New, m != nil && e.Instance != "" && m.instance != e.Instance:
		return ErrFencedInstance
	case m != nil:
		return nil
	case owner == "" && len(g.members)+len(g.pending) >= g.cfg.MaxMembers:
		return ErrFull
	}
	join := e.join()
	if owner != "" {
		join.MemberID = owner // its place is taken over: what it knew does not matter
	}
	return g.mayJoin(&join)
}

// seat tells whether a known member has its assignment. If it has to join, it
// does.
func (g *Group) seat(now int64, m *member, e *Attend, join *Join) bool {
	same := m.subscribed(e.Topics)
	m.keepAlive(now)
	m.session, m.rebal, m.clientID, m.host = join.Session, join.Rebalance, join.ClientID, join.Host
	switch {
	case m.join != 0:
		m.protocols = join.Protocols
	case g.state == Preparing || !same:
		m.protocols = join.Protocols
		g.await(now, m, hosted)
		g.rebalance(now)
	case g.state == Completing:
		m.sync, m.mustSyncBefore = hosted, 0
	default:
		m.mustSyncBefore = 0
		return m.unstored == 0
	}
	return false
}

func (m *member) hosted() bool { return Hosted(m.id) }

// subscribed tells whether the member said that it reads these topics.
func (m *member) subscribed(topics []string) bool {
	if len(m.protocols) == 0 {
		return false
	}
	s, err := ParseSubscription(m.protocols[0].Metadata)
	if err != nil {
		return false
	}
	have, want := slices.Clone(s.Topics), slices.Clone(topics)
	slices.Sort(have)
	slices.Sort(want)
	return slices.Equal(have, want)
}

// alone tells whether there are hosted members only: they need no time to
// gather, because a generation costs them nothing.
func (g *Group) alone() bool {
	for _, m := range g.members {
		if !m.hosted() {
			return false
		}
	}
	return true
}

// ledByHosted tells whether shares are asked for by Assign.
func (g *Group) ledByHosted() bool { return Hosted(g.leader) }

// onReshare begins a new generation of a group that a hosted member leads.
func (g *Group) onReshare(now int64) {
	if g.state == Stable && g.ledByHosted() {
		g.rebalance(now)
	}
}

// onLed takes the shares.
func (g *Group) onLed(now int64, e *Led) {
	if g.state != Completing || !g.ledByHosted() || e.Generation != g.generation {
		return // of a generation that is over
	}
	g.onSync(now, &Sync{Token: hosted, MemberID: g.leader, Generation: e.Generation, Assignments: e.Assignments})
}

// host does for a hosted member what follows from a generation's beginning.
func (g *Group) host(m *member) {
	m.join, m.sync, m.mustSyncBefore = 0, hosted, 0
	if m.id != g.leader {
		return
	}
	a := Assign{Generation: g.generation, Protocol: g.protocol}
	for _, id := range g.order {
		o := g.members[id]
		a.Members = append(a.Members, Joined{MemberID: o.id, Instance: o.instance, Metadata: o.metadata(g.protocol)})
	}
	g.out = append(g.out, a)
}
