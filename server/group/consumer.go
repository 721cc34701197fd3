package group

import (
	"maps"
	"slices"
	"time"
)

// ConsumerGroup is a group of the consumer protocol (KIP-848): its members only
// send heartbeats, and the group itself shares the partitions out. Like Group
// it is pure; it is not safe for concurrent use.
//
// # Epochs
//
// The group's epoch counts what its members subscribe to and what topics there
// are. When it has moved on, the next heartbeat of anybody makes a new target:
// what each member is to have. A member's own epoch is that of the target which
// it has reached, and its heartbeats, commits and fetches say it.
//
// # Reconciliation
//
// A member first gives up what is not in its target (unrevoked: it stays in its
// epoch until a heartbeat no longer names these partitions), then gets what is,
// as far as no other member holds it (unreleased: the rest follows). So a
// partition never has two members. One that does not give up in its rebalance
// timeout, or is silent for the session's, is removed.
//
// # Log
//
// What a step changes is asked to be written by one Store, in Kafka's own form;
// replies that tell of it wait for Stored. A group whose write failed writes
// everything with its next step.
type ConsumerGroup struct {
	id      string
	cfg     Config
	topics  Catalog
	epoch   int32
	hash    int64  // of the topics that the epoch was made with
	seen    uint64 // version of the catalog that hash is of
	fresh   bool   // hash has to be computed whatever seen says
	shared  int32  // epoch that the target was made for
	members map[string]*consumerMember
	static  map[string]string // instance → member id
	holders map[PartitionID]string
	regexes map[string]*topicRegex
	changed int64 // when it became empty

	dirty   dirtyGroup
	gone    map[string]uint64 // removed members → number of the Store with their tombstones, 0: none yet
	stores  uint64            // asked for so far
	stored  uint64            // done, with all before
	waiting []waitingReply    // by number of the Store
	out     []Effect
	held    []Reply // of this step, to be given out when what it changed is stored
}

// dirtyGroup tells what of the group itself is to be written.
type dirtyGroup struct{ epoch, target bool }

// waitingReply is given out when a Store is done.
type waitingReply struct {
	seq   uint64
	reply Reply
}

// NewConsumerGroup makes an empty group that looks topics up in the catalog.
func NewConsumerGroup(id string, cfg Config, topics Catalog) *ConsumerGroup {
	return &ConsumerGroup{
		id: id, cfg: cfg.withDefaults(), topics: topics, fresh: true, members: map[string]*consumerMember{},
		static: map[string]string{}, holders: map[PartitionID]string{}, regexes: map[string]*topicRegex{},
		gone: map[string]uint64{},
	}
}

// PartitionID names a partition by its topic's id: a topic that is deleted and
// created anew is another one.
type PartitionID struct {
	Topic     [16]byte
	Partition int32
}

// CatalogTopic is a topic as a group is told of it.
type CatalogTopic struct {
	ID         [16]byte
	Name       string
	Partitions int32
}

// Catalog is the cluster's topics. What it says changes only with its version.
type Catalog interface {
	Version() uint64
	Topic(name string) (CatalogTopic, bool)
	TopicByID(id [16]byte) (CatalogTopic, bool)
	// Each visits all topics, by name.
	Each(visit func(CatalogTopic))
}

// Leaving epochs, as heartbeats say them.
const (
	// LeaveEpoch takes the member out.
	LeaveEpoch int32 = -1
	// LeaveStaticEpoch keeps a static member's place until its session ends.
	LeaveStaticEpoch int32 = -2
)

// ConsumerHeartbeat is all that a member says (ConsumerGroupHeartbeat). Nil and
// -1 stand for "as before"; a member that joins says everything.
type ConsumerHeartbeat struct {
	Token    Token
	MemberID string
	// Epoch is the member's; 0 joins, LeaveEpoch and LeaveStaticEpoch leave.
	Epoch          int32
	Instance, Rack string // empty: not said
	ClientID, Host string
	Rebalance      time.Duration // negative: as before
	Names          []string
	// Regex is matched against whole names (RE2); empty ends the subscription.
	Regex    *string
	Assignor *string
	// Owned are the partitions that the member still reads.
	Owned []PartitionID
	// Said tells that Owned was said: no partitions are not "as before".
	Said bool
}

func (ConsumerHeartbeat) event() {}

// full tells whether the member says everything, and wants to be told what it
// has.
func (e *ConsumerHeartbeat) full() bool {
	return e.Epoch == 0 || e.Rebalance >= 0 && (e.Names != nil || e.Regex != nil) && e.Said
}

// Beat is what a Reply tells a member of a ConsumerGroup beside its id and, as
// Generation, its epoch.
type Beat struct {
	// Every is how often the member is to be heard of.
	Every time.Duration
	// Assigned is what the member may read, in order, if it is to be told.
	Assigned []PartitionID
	Told     bool
}

// memberState is how far a member is on its way to its target. The values are
// those of Kafka's log.
type memberState int8

const (
	reconciled memberState = 0
	unrevoked  memberState = 1
	unreleased memberState = 2
)

// consumerMember is a member of a ConsumerGroup.
type consumerMember struct {
	id, instance, rack string
	clientID, host     string
	rebalance          time.Duration
	names              []string // sorted
	regex, assignor    string

	epoch, previous int32
	state           memberState
	assigned        map[PartitionID]int32 // → epoch in which it was given
	revoking        map[PartitionID]int32
	target          map[PartitionID]struct{}

	expires  int64 // of the session, Unix milliseconds
	revokeBy int64 // 0: nothing is to be given up
	dirty    dirtyMember
}

// dirtyMember tells what of a member is to be written.
type dirtyMember struct{ said, target, current bool }

// sameShares tells whether two members hold the same, whenever it was given.
func sameShares(a, b map[PartitionID]int32) bool {
	return maps.EqualFunc(a, b, func(int32, int32) bool { return true })
}

// Step takes an event at time now (Unix milliseconds) and returns what follows
// from it. The slice is valid until the next Step. Deadlines that have passed
// are taken into account first.
func (g *ConsumerGroup) Step(now int64, ev Event) []Effect {
	g.out, g.held = g.out[:0], g.held[:0]
	g.tick(now)
	switch e := ev.(type) {
	case ConsumerHeartbeat:
		g.onConsumerHeartbeat(now, &e)
	case Leave:
		g.onRemove(now, &e)
	case Stored:
		g.onStored(&e)
		return g.out // a write that is refused is not asked for again at once
	case Join:
		g.onClassicJoin(e.Token, e.MemberID)
	case Attend:
		g.onClassicJoin(e.Token, e.MemberID)
	case Sync:
		g.refuse(Reply{Token: e.Token, Err: ErrUnknownMember})
	case Heartbeat:
		g.refuse(Reply{Token: e.Token, Err: ErrUnknownMember, MemberID: e.MemberID})
	}
	g.flush()
	return g.out
}

// refuse replies at once: what a refusal tells is not to be stored.
func (g *ConsumerGroup) refuse(r Reply) { g.out = append(g.out, r) }

// reply replies when everything that the group has changed is stored.
func (g *ConsumerGroup) reply(r Reply) { g.held = append(g.held, r) }

// tick removes the members whose time is over.
func (g *ConsumerGroup) tick(now int64) {
	if at := g.Deadline(); at == 0 || at > now {
		return
	}
	for _, id := range g.ids() {
		m := g.members[id]
		if m.expires <= now || m.revokeBy > 0 && m.revokeBy <= now {
			g.remove(now, m)
		}
	}
}

// ids are the members' ids, sorted: equal inputs have equal effects.
func (g *ConsumerGroup) ids() []string { return slices.Sorted(maps.Keys(g.members)) }

// Deadline is when the group wants a Tick next, Unix milliseconds; 0: never.
func (g *ConsumerGroup) Deadline() (at int64) {
	for _, m := range g.members {
		for _, t := range [2]int64{m.expires, m.revokeBy} {
			if t > 0 && (at == 0 || t < at) {
				at = t
			}
		}
	}
	return at
}

// State is where the group stands.
func (g *ConsumerGroup) State() State {
	switch {
	case len(g.members) == 0:
		return Empty
	case g.epoch > g.shared:
		return Assigning
	}
	for _, m := range g.members {
		if !m.reached(g.shared) {
			return Reconciling
		}
	}
	return Stable
}

// ID is the group's id.
func (g *ConsumerGroup) ID() string { return g.id }

// Generation is the group's epoch.
func (g *ConsumerGroup) Generation() int32 { return g.epoch }

// Leader is empty: nobody leads such a group.
func (g *ConsumerGroup) Leader() string { return "" }

// Size is how many members the group has.
func (g *ConsumerGroup) Size() int { return len(g.members) }

// EmptySince is when the group became empty, Unix milliseconds.
func (g *ConsumerGroup) EmptySince() int64 { return g.changed }

// Idle tells that the group has no members, and nothing that its log does not
// have.
func (g *ConsumerGroup) Idle() bool {
	return len(g.members) == 0 && len(g.waiting) == 0 && g.stored == g.stores
}
