package group

import (
	"slices"
	"time"
)

// member is one member of a group.
type member struct {
	id, instance   string
	clientID, host string
	session, rebal time.Duration
	protocols      []Protocol
	assignment     []byte
	join, sync     Token // that waits; 0: none
	expires        int64 // of the session, Unix milliseconds; not while join waits
	fresh          bool  // has not got its first generation yet
	mustSyncBefore int64 // 0: it has synced
	// unstored is the number of the Store that writes the member's new id, 0
	// when it is written.
	unstored uint64
}

func (m *member) metadata(protocol string) []byte {
	for i := range m.protocols {
		if m.protocols[i].Name == protocol {
			return m.protocols[i].Metadata
		}
	}
	return nil
}

func (m *member) knows(protocol string) bool {
	return slices.ContainsFunc(m.protocols, func(p Protocol) bool { return p.Name == protocol })
}

// sameProtocols tells whether the member says what it said before.
func (m *member) sameProtocols(list []Protocol) bool {
	return slices.EqualFunc(m.protocols, list, func(a, b Protocol) bool {
		return a.Name == b.Name && string(a.Metadata) == string(b.Metadata)
	})
}

// Group is one group. It is not safe for concurrent use.
type Group struct {
	id           string
	cfg          Config
	state        State
	generation   int32
	protocolType string
	protocol     string
	leader       string
	members      map[string]*member
	order        []string          // members by age, so that equal inputs choose equal leaders
	static       map[string]string // instance → member id
	pending      map[string]int64  // ids given and not used yet → when they are forgotten
	changed      int64             // when the state was entered

	joinBy    int64 // when Preparing ends at the latest
	initial   bool  // Preparing began from Empty: it waits for more members
	remaining time.Duration
	grew      bool // a member came since the wait began
	// What is being written: the leader's assignment, with the number of its
	// Store, 0 if there is none, and joins that are answered when it is.
	storing  uint64
	next     map[string][]byte
	stores   uint64 // so far
	deferred map[uint64]Reply

	out []Effect
}

// New makes an empty group.
func New(id string, cfg Config) *Group {
	return &Group{
		id: id, cfg: cfg.withDefaults(), members: map[string]*member{}, static: map[string]string{},
		pending: map[string]int64{}, deferred: map[uint64]Reply{},
	}
}

// Step takes an event at time now (Unix milliseconds) and returns what follows
// from it. The slice is valid until the next Step. Deadlines that have passed
// are taken into account first.
func (g *Group) Step(now int64, ev Event) []Effect {
	g.out = g.out[:0]
	g.tick(now)
	switch e := ev.(type) {
	case Join:
		g.onJoin(now, &e)
	case Sync:
		g.onSync(now, &e)
	case Heartbeat:
		g.onHeartbeat(now, &e)
	case Leave:
		g.onLeave(now, &e)
	case Attend:
		g.onAttend(now, &e)
	case Led:
		g.onLed(now, &e)
	case Reshare:
		g.onReshare(now)
	case Stored:
		g.onStored(now, &e)
	case ConsumerHeartbeat:
		g.onForeign(&e)
	case Tick:
	}
	return g.out
}

func (g *Group) reply(r Reply) {
	if r.Token != hosted {
		g.out = append(g.out, r)
	}
}

func (g *Group) enter(now int64, s State) { g.state, g.changed = s, now }

// State is where the group stands.
func (g *Group) State() State { return g.state }

// Generation counts the group's generations, from 1; 0 before the first.
func (g *Group) Generation() int32 { return g.generation }

// Leader is the id of the member that leads, empty without members.
func (g *Group) Leader() string { return g.leader }

// ID is the group's id.
func (g *Group) ID() string { return g.id }

// Size is how many members the group has.
func (g *Group) Size() int { return len(g.members) }

// EmptySince is when the group became what it is, Unix milliseconds.
func (g *Group) EmptySince() int64 { return g.changed }

// Idle tells that the group has neither members nor ids given out: it has
// nothing that its log does not have.
func (g *Group) Idle() bool { return g.state == Empty && len(g.pending) == 0 && g.storing == 0 }

// Deadline is when the group wants a Tick next, Unix milliseconds; 0: never.
func (g *Group) Deadline() (at int64) {
	note := func(t int64) {
		if t > 0 && (at == 0 || t < at) {
			at = t
		}
	}
	for _, t := range g.pending {
		note(t)
	}
	for _, m := range g.members {
		if m.sync != 0 {
			continue // the leader's own deadline ends its wait
		}
		if m.join == 0 {
			note(m.expires)
		}
		note(m.mustSyncBefore)
	}
	if g.state == Preparing {
		note(g.joinBy)
	}
	return at
}

// tick acts on the deadlines that have passed.
func (g *Group) tick(now int64) {
	for id, t := range g.pending {
		if t <= now {
			delete(g.pending, id)
		}
	}
	for _, id := range slices.Clone(g.order) {
		m := g.members[id]
		if m == nil {
			continue
		}
		late := m.mustSyncBefore > 0 && m.mustSyncBefore <= now && m.sync == 0
		if late || m.join == 0 && m.sync == 0 && m.expires <= now {
			g.remove(m)
			g.rebalance(now)
		}
	}
	if g.state == Preparing {
		g.tryComplete(now)
	}
}

// keepAlive moves a member's session on.
func (m *member) keepAlive(now int64) { m.expires = now + m.session.Milliseconds() }

// find finds the member that a request names, or tells why it is not one
// (KIP-345: a static instance belongs to its last member).
func (g *Group) find(id, instance string) (*member, error) {
	if instance != "" {
		if owner, known := g.static[instance]; !known {
			return nil, ErrUnknownMember
		} else if owner != id {
			return nil, ErrFencedInstance
		}
	}
	if m := g.members[id]; m != nil {
		return m, nil
	}
	return nil, ErrUnknownMember
}

// remove takes a member out of the group and answers what it waits for.
func (g *Group) remove(m *member) {
	if m.join != 0 {
		g.reply(Reply{Token: m.join, Err: ErrUnknownMember, MemberID: m.id, Generation: -1})
	}
	if m.sync != 0 {
		g.reply(Reply{Token: m.sync, Err: ErrUnknownMember})
	}
	delete(g.members, m.id)
	if g.static[m.instance] == m.id {
		delete(g.static, m.instance)
	}
	g.order = slices.DeleteFunc(g.order, func(id string) bool { return id == m.id })
	if g.leader == m.id {
		g.leader = ""
		if len(g.order) > 0 {
			g.leader = g.order[0]
		}
	}
}

// onHeartbeat keeps a member alive and tells it of a rebalance.
func (g *Group) onHeartbeat(now int64, e *Heartbeat) {
	m, err := g.find(e.MemberID, e.Instance)
	switch {
	case err != nil:
	case g.state == Empty:
		err = ErrUnknownMember
	case e.Generation != g.generation:
		err = ErrIllegalGeneration
	default:
		m.keepAlive(now)
		if g.state == Preparing {
			err = ErrRebalance
		}
	}
	g.reply(Reply{Token: e.Token, Err: err, MemberID: e.MemberID})
}

// onLeave takes a member out at its own wish.
func (g *Group) onLeave(now int64, e *Leave) {
	id := e.MemberID
	if id == "" {
		id = g.static[e.Instance]
	}
	if _, waits := g.pending[id]; waits && e.Instance == "" {
		delete(g.pending, id)
		g.reply(Reply{Token: e.Token, MemberID: id})
		if g.state == Preparing {
			g.tryComplete(now)
		}
		return
	}
	m, err := g.find(id, e.Instance)
	if err == nil {
		g.remove(m)
		g.rebalance(now)
	}
	g.reply(Reply{Token: e.Token, Err: err, MemberID: id})
}

// Claim is who commits or fetches offsets: a member in a generation or epoch, or
// nobody (generation -1 and no id), and of which partitions.
type Claim struct {
	MemberID, Instance string
	Generation         int32
	Partitions         []TopicPartition
	// Old tells that the request knows nothing of the consumer protocol.
	Old bool
}

// MayCommit judges a commit of offsets. Who is no member may commit only while
// the group is empty.
func (g *Group) MayCommit(now int64, c *Claim) error {
	if c.Generation < 0 && c.MemberID == "" && c.Instance == "" {
		if g.state != Empty {
			return ErrUnknownMember
		}
		return nil
	}
	if c.Generation < 0 && g.state == Empty {
		return nil
	}
	m, err := g.find(c.MemberID, c.Instance)
	switch {
	case err != nil:
		return err
	case c.Generation != g.generation:
		return ErrIllegalGeneration
	case g.state == Completing:
		return ErrRebalance
	}
	m.keepAlive(now)
	return nil
}

// MayFetch judges a fetch of offsets: everybody may.
func (g *Group) MayFetch(*Claim) error { return nil }
