package group

import (
	"errors"
	"time"
)

// Why a request is refused. The names are Kafka's.
var (
	// ErrUnknownMember: UNKNOWN_MEMBER_ID; join anew without an id.
	ErrUnknownMember = errors.New("unknown member of the group")
	// ErrMemberIDRequired: MEMBER_ID_REQUIRED; join again with the id given.
	ErrMemberIDRequired = errors.New("join again with the member id given")
	// ErrIllegalGeneration: ILLEGAL_GENERATION; the group has moved on.
	ErrIllegalGeneration = errors.New("the group is in another generation")
	// ErrRebalance: REBALANCE_IN_PROGRESS; join again.
	ErrRebalance = errors.New("the group is rebalancing")
	// ErrInconsistentProtocol: INCONSISTENT_GROUP_PROTOCOL; no protocol is
	// common to all members.
	ErrInconsistentProtocol = errors.New("no protocol is common to the members of the group")
	// ErrFencedInstance: FENCED_INSTANCE_ID; another member uses the static
	// instance id (KIP-345).
	ErrFencedInstance = errors.New("another member has taken the instance id over")
	// ErrInvalidSession: INVALID_SESSION_TIMEOUT.
	ErrInvalidSession = errors.New("session timeout is out of range")
	// ErrFull: GROUP_MAX_SIZE_REACHED.
	ErrFull = errors.New("the group is full")
	// ErrNotEmpty: NON_EMPTY_GROUP; it has members.
	ErrNotEmpty = errors.New("the group has members")
	// ErrSubscribed: GROUP_SUBSCRIBED_TO_TOPIC.
	ErrSubscribed = errors.New("members of the group are subscribed to the topic")
	// ErrUnknownGroup: GROUP_ID_NOT_FOUND.
	ErrUnknownGroup = errors.New("unknown group")
	// ErrInvalidGroup: INVALID_GROUP_ID.
	ErrInvalidGroup = errors.New("invalid group id")
	// ErrFencedEpoch: FENCED_MEMBER_EPOCH; give everything up and join anew.
	ErrFencedEpoch = errors.New("the member is in another epoch")
	// ErrStaleEpoch: STALE_MEMBER_EPOCH; try again in the epoch that the next
	// heartbeat tells.
	ErrStaleEpoch = errors.New("the member has moved on to another epoch")
	// ErrOldRequest: UNSUPPORTED_VERSION; members of the consumer protocol commit
	// by versions of the request that know it.
	ErrOldRequest = errors.New("the request is older than the consumer protocol")
	// ErrUnreleasedInstance: UNRELEASED_INSTANCE_ID; another member holds the
	// static instance id and has not left.
	ErrUnreleasedInstance = errors.New("another member holds the instance id")
	// ErrUnsupportedAssignor: UNSUPPORTED_ASSIGNOR.
	ErrUnsupportedAssignor = errors.New("unknown assignor")
	// ErrInvalidRegex: INVALID_REGULAR_EXPRESSION.
	ErrInvalidRegex = errors.New("invalid topic regex")
	// ErrMetadataTooLarge: OFFSET_METADATA_TOO_LARGE.
	ErrMetadataTooLarge = errors.New("offset metadata is too large")
	// ErrCorrupt: a record of the group's log can't be read.
	ErrCorrupt = errors.New("corrupt group record")
)

// Config bounds a group. Zero fields take Kafka's defaults.
type Config struct {
	// InitialDelay is how long an empty group waits for more members once the
	// first has joined. Default 3 s; negative: not at all.
	InitialDelay time.Duration
	// MinSession and MaxSession bound session timeouts. Default 6 s, 30 min.
	MinSession, MaxSession time.Duration
	// MaxMembers bounds the members. Default 10,000.
	MaxMembers int
	// ConsumerHeartbeat is how often members of the consumer protocol are to be
	// heard of, and ConsumerSession how long they may be silent: there, the group
	// says it and not the member. Default 5 s, 45 s.
	ConsumerHeartbeat, ConsumerSession time.Duration
}

func (c Config) withDefaults() Config {
	if c.InitialDelay == 0 {
		c.InitialDelay = 3 * time.Second
	}
	c.InitialDelay = max(c.InitialDelay, 0)
	if c.MinSession <= 0 {
		c.MinSession = 6 * time.Second
	}
	if c.MaxSession <= 0 {
		c.MaxSession = 30 * time.Minute
	}
	if c.MaxMembers <= 0 {
		c.MaxMembers = 10_000
	}
	if c.ConsumerHeartbeat <= 0 {
		c.ConsumerHeartbeat = 5 * time.Second
	}
	if c.ConsumerSession <= 0 {
		c.ConsumerSession = 45 * time.Second
	}
	return c
}

// State is where a group stands.
type State int8

// The states, in the order of a group's first life.
const (
	Empty State = iota
	Preparing
	Completing
	Stable
	// Assigning and Reconciling are states of a ConsumerGroup only: its target
	// is out of date, or not every member has reached it.
	Assigning
	Reconciling
)

// String is the state as Kafka's tools call it.
func (s State) String() string {
	return [...]string{
		"Empty", "PreparingRebalance", "CompletingRebalance", "Stable", "Assigning", "Reconciling",
	}[s]
}

// Token names a request that awaits its Reply; the caller chooses it.
type Token uint64

// Protocol is one way to share out partitions that a member knows, with what
// the member says to it. The metadata is opaque.
type Protocol struct {
	Name     string
	Metadata []byte
}

// Event is what a group is told: one of the types below.
type Event interface{ event() }

// Join asks to be a member of the next generation.
type Join struct {
	Token    Token
	MemberID string // empty: a new member
	NewID    string // the id that a new member gets
	// Instance is the static instance id, empty for a dynamic member.
	Instance       string
	ClientID, Host string
	Session        time.Duration
	Rebalance      time.Duration
	ProtocolType   string
	Protocols      []Protocol
	// RequireKnown has a new dynamic member come back with its id (KIP-394).
	RequireKnown bool
}

// Sync asks for the member's assignment; the leader brings everybody's.
type Sync struct {
	Token                  Token
	MemberID, Instance     string
	Generation             int32
	ProtocolType, Protocol string // empty: not said
	Assignments            map[string][]byte
}

// Heartbeat keeps a member's session alive.
type Heartbeat struct {
	Token              Token
	MemberID, Instance string
	Generation         int32
}

// Leave takes a member out. With an empty id the instance is meant.
type Leave struct {
	Token              Token
	MemberID, Instance string
}

// Stored tells how the write went that a Store effect asked for.
type Stored struct {
	Seq uint64
	Err error
}

// Tick tells only the time.
type Tick struct{}

func (Join) event()      {}
func (Sync) event()      {}
func (Heartbeat) event() {}
func (Leave) event()     {}
func (Stored) event()    {}
func (Tick) event()      {}

// Effect is what a group wants done: a Reply, a Store or an Assign.
type Effect interface{ effect() }

// Reply answers a request.
type Reply struct {
	Token Token
	Err   error
	// MemberID is the member's id; with ErrMemberIDRequired the one to use.
	MemberID string
	// Of a join.
	Generation             int32
	Leader                 string
	ProtocolType, Protocol string
	Members                []Joined // for the leader only
	// Of a sync or an attendance, as is the protocol.
	Assignment []byte
	// Of a heartbeat of the consumer protocol; Generation is the member's epoch.
	Beat *Beat
}

// Joined is a member as the leader is told of it.
type Joined struct {
	MemberID, Instance string
	Metadata           []byte
}

// Store asks to write a group, after those asked for before, and to tell by
// Stored, with the same number: a Group as it is in Metadata, a ConsumerGroup
// by records.
type Store struct {
	Seq      uint64
	Metadata *Metadata
	Records  []LogRecord
}

// LogRecord is a record of the groups' log; a nil value deletes.
type LogRecord struct{ Key, Value []byte }

func (Reply) effect() {}
func (Store) effect() {}
