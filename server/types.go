package server

import (
	"time"

	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/storage/record"
)

// NodeID names a broker, chosen by its operator (--node-id); ≥ 1.
type NodeID = int32

// TopicID is a topic's UUID: a name that is deleted and created anew gets
// another one. Files are named by it.
type TopicID [16]byte

// TopicSpec asks for a topic. Zero fields take the broker's defaults.
type TopicSpec struct {
	Name              string
	Partitions        int32             // 0: --default-partitions
	ReplicationFactor int16             // 0: --default-replication-factor
	Configs           map[string]string // Kafka's dotted names
	Assignment        [][]NodeID        // explicit replicas per partition, or nil
	ValidateOnly      bool
}

// Growth asks for more partitions of a topic.
type Growth struct {
	Total int32 // of partitions, afterwards
	// Force lets the keys of a compacted topic move away from their last values.
	Force bool
	// Assignment places the new partitions: explicit replicas for each, as many
	// as the topic's others have. Nil leaves that to the broker.
	Assignment [][]NodeID
}

// ConfigEntry is one topic config as described to a client.
type ConfigEntry struct {
	Name      string
	Value     string
	Default   string
	IsDefault bool
}

// Topic is a topic as clients see it.
type Topic struct {
	ID                TopicID
	Name              string
	Partitions        int32
	ReplicationFactor int16
	Configs           map[string]string // only those that were set
	Internal          bool
	CreatedAt         time.Time
}

// PartitionInfo is one partition's metadata and, where this node knows them,
// its offsets.
type PartitionInfo struct {
	Partition      int32
	Leader         NodeID // 0: none
	LeaderEpoch    int32
	PartitionEpoch int32
	Replicas       []NodeID
	ISR            []NodeID
	// Target is what a reassignment leads to; nil when there is none.
	Target  []NodeID
	Offsets partition.Offsets
	// OffsetsKnown is false where another node leads and was not asked.
	OffsetsKnown bool
	Bytes        int64
}

// ReadRequest asks for whole batches from Offset on.
type ReadRequest struct {
	Topic     string
	Partition int32
	Offset    int64
	MaxBytes  int // at least one whole batch is returned if there is one
	Isolation partition.Isolation
	// Wait is how long to hold the call while nothing is readable.
	Wait time.Duration
	// AtLeast is a high watermark that the answer must know of: Confirmed told
	// it. A new leader may need a moment to know as much.
	AtLeast int64
}

// ReadResult is what a read found. Batches is read-only and stays valid.
type ReadResult struct {
	TopicID TopicID
	// Batches are whole record batches; the first may begin before Offset,
	// control batches are included.
	Batches []byte
	Offsets partition.Offsets
}

// NodeInfo is a member of the cluster.
type NodeInfo struct {
	ID                NodeID
	HTTP, Kafka, Peer string
	Alive             bool
	Draining          bool
	Voter             bool // of the metadata group; a learner becomes one
	// Leaders and Replicas are the partitions that it leads, and holds. Leaving
	// are those of its replicas that go when a reassignment is through.
	Leaders, Replicas, Leaving int
}

// ClusterInfo is the cluster as this node knows it.
type ClusterInfo struct {
	ClusterID                 string
	NodeID                    NodeID
	Controller                NodeID // 0: none known
	Nodes                     []NodeInfo
	OfflinePartitions         int
	UnderReplicatedPartitions int
	Topics, Partitions        int
	RaftTerm, RaftCommit      uint64
	RaftApplied               uint64
	RaftLastIndex             uint64
	// RaftVoters and RaftLearners are the members of the metadata group.
	RaftVoters, RaftLearners []NodeID
}

// TopicLimits is what a topic accepts.
type TopicLimits struct {
	// MaxMessageBytes bounds a record batch as stored (max.message.bytes).
	MaxMessageBytes int
	// MaxDecompressed bounds a batch's records after decompression.
	MaxDecompressed int
	// MaxBatchRecords bounds the records of one batch.
	MaxBatchRecords int
	// Compacted topics require keys and keep each key's last value.
	Compacted bool
	// LogAppendTime: timestamps are the broker's (message.timestamp.type).
	LogAppendTime bool
	// Compression is the codec of the batches that are packed from records
	// (compression.type); CodecNone where producers choose.
	Compression record.Codec
}

// MaxOffset bounds offsets that clients send: JSON numbers are exact below.
const MaxOffset = int64(1)<<53 - 1
