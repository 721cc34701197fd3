package meta

import (
	"maps"
	"slices"
)

// NodeID names a broker, chosen by its operator; ≥ 1. 0 is "none".
type NodeID = int32

// ID is a 128-bit identifier: a topic's UUID, an incarnation, a request.
type ID = [16]byte

// Limits of what one command may carry or touch.
const (
	// MaxTopicName bounds a topic's name in bytes (Kafka's rule).
	MaxTopicName = 249
	// MaxPartitions bounds the partitions that one command creates.
	MaxPartitions = 10_000
	// MaxReplicas bounds a partition's replicas.
	MaxReplicas = 64
	// SweepLimit bounds the partitions that one command changes on behalf of
	// a broker.
	SweepLimit = 4_000
	// DedupWindow is how many of the last commands a retry is recognised in.
	DedupWindow = 16_384
	// MaxCommand bounds an encoded command in bytes. It stays below the size
	// at which the store would move values out of line.
	MaxCommand = 900 << 10
)

// Topic is a topic's metadata. Inside View it may share memory with the image:
// it is read-only, and only valid until View returns, unless cloned.
type Topic struct {
	ID         ID
	Name       string
	Configs    map[string]string // only what was set
	Partitions []Partition
	// RFExplicit: the creator chose the replication factor; otherwise it is
	// raised as brokers join.
	RFExplicit bool
	Internal   bool
	CreatedMs  int64 // Unix milliseconds, the proposer's clock
	// Born is how many partitions it was created with. Where there are more,
	// what is placed by their number may have had another place before.
	Born int32
}

// Clone is a copy that shares nothing mutable with the image.
func (t *Topic) Clone() Topic {
	c := *t
	c.Configs = maps.Clone(t.Configs)
	c.Partitions = slices.Clone(t.Partitions)
	return c
}

// ReplicationFactor is the number of replicas of the first partition, the
// target's while a reassignment runs.
func (t *Topic) ReplicationFactor() int {
	if len(t.Partitions) == 0 {
		return 0
	}
	if p := &t.Partitions[0]; len(p.Target) > 0 {
		return len(p.Target)
	}
	return len(t.Partitions[0].Replicas)
}

// Partition is a partition's replicated state. Its slices are never changed in
// place, so a copy of the struct stays valid.
type Partition struct {
	// Replicas are the assigned brokers, the preferred leader first.
	Replicas []NodeID
	// ISR are the in-sync replicas, in replica order; never empty.
	ISR []NodeID
	// Target, when not empty, is the assignment that a reassignment leads to.
	Target []NodeID
	// Throttle, bytes per second, bounds what a node sends to those of Target
	// that are not in sync; 0: nothing does.
	Throttle int64
	Leader   NodeID // 0: offline
	// LeaderEpoch grows when the leader changes or is a new process.
	LeaderEpoch int32
	// PartitionEpoch grows with every change.
	PartitionEpoch int32
	// Incarnation grows when a replica gave up its log as corrupt.
	Incarnation uint32
	// Lost: the last in-sync copy is gone (its directory was emptied or its
	// log is corrupt). Nobody is elected until an operator accepts the loss.
	Lost bool
}

// Broker is a registered broker.
type Broker struct {
	ID NodeID
	// Epoch is the raft index at which this process registered.
	Epoch uint64
	// Incarnation is random, made anew by every start of the process.
	Incarnation ID
	// Directory is random, made with the data directory: a broker that comes
	// back with another one has lost its logs.
	Directory         ID
	HTTP, Kafka, Peer string // advertised addresses, host:port
	// Fenced brokers lead nothing and enter no ISR.
	Fenced bool
	// Draining brokers give up leadership and get no new one.
	Draining bool
	// sweep is how far the partitions have been visited on behalf of the last
	// registration.
	sweep sweep
}

// Registering tells that the registration has not visited all partitions yet.
func (b *Broker) Registering() bool { return b.sweep.active }

// Live tells whether the broker may lead and be in sync.
func (b *Broker) Live() bool { return !b.Fenced && !b.sweep.active }

// sweep is a position in the order (topic name, partition): everything up to
// and including it has been visited.
type sweep struct {
	active    bool
	lost      bool // the directory is new: leave every ISR
	topic     string
	partition int32 // -1: before the topic's first
}

// Member is a raft peer: the random raft id of one incarnation of a node's
// metadata log, and the node that it belongs to.
type Member struct {
	RaftID uint64
	Node   NodeID
	Addr   string // peer address, host:port
}

// ClusterInfo identifies the cluster.
type ClusterInfo struct {
	ID     string
	Secret []byte // signs what nodes hand to clients; never shown
}

// Producer is the mapping of an HTTP producer name to a producer id.
type Producer struct {
	Name      string
	ID        int64
	ExpiresMs int64
}

// Entry is a named value of a space: users, ACLs, quotas and whatever else is
// stored but not interpreted here.
type Entry struct {
	Space, Key string
	Value      []byte // read-only
	Version    uint64 // raft index of the last change
}

// Change is one key of the store to write, or to delete when Value is nil.
type Change struct {
	Key, Value []byte
}

// Request identifies a command for exactly-once application.
type Request struct {
	// ID is random; a retry carries the same. The zero ID is never
	// remembered: such a command is applied each time.
	ID ID
	// TimeMs is the proposer's clock, Unix milliseconds.
	TimeMs int64
	// Seq is Image.Seq as the proposer saw it when it first sent the request.
	Seq uint64
}
