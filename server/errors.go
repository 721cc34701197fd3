package server

import (
	"errors"
	"fmt"

	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/server/topicconfig"
)

// The conditions under which the broker refuses or fails a request. An
// adapter maps each one to its protocol with errors.Is; the typed errors
// below match their sentinel and carry the detail. Where the partition has the
// same condition, the sentinel is the partition's own. Other errors of the
// partition, the log, the record codec and the metadata log reach the adapters
// wrapped, never translated: their own sentinels match too.
//
// Unless a sentence says otherwise the request was not applied.
var (
	// ErrUnknownTopic: no topic has that name (or id).
	ErrUnknownTopic = errors.New("unknown topic")
	// ErrUnknownPartition: the topic has no partition of that number.
	ErrUnknownPartition = errors.New("unknown partition")
	// ErrTopicExists: the name is taken.
	ErrTopicExists = errors.New("topic already exists")
	// ErrInvalidTopic: the name breaks Kafka's rule.
	ErrInvalidTopic = errors.New("invalid topic name")
	// ErrReservedTopic: names that begin with "__" belong to the broker.
	ErrReservedTopic = errors.New("topic name is reserved")
	// ErrInvalidConfig: an unknown topic config or a value out of its range.
	ErrInvalidConfig = topicconfig.ErrInvalid
	// ErrInvalidPartitions: a partition count that is out of range, lower
	// than the topic's, or would move the keys of a compacted topic.
	ErrInvalidPartitions = errors.New("invalid partition count")
	// ErrInvalidReplication: a replication factor that is out of range, or an
	// assignment that contradicts itself.
	ErrInvalidReplication = errors.New("invalid replication factor")
	// ErrNotEnoughBrokers: fewer brokers than the replication factor asks for
	// are registered. Retryable: brokers may yet join.
	ErrNotEnoughBrokers = errors.New("no place for every replica")
	// ErrOffsetTrimmed: the offset is below the log's start; see
	// OffsetTrimmedError.
	ErrOffsetTrimmed = partition.ErrOffsetTrimmed
	// ErrOffsetBeyondEnd: the offset is above the log's end; see
	// OffsetBeyondEndError.
	ErrOffsetBeyondEnd = partition.ErrOffsetBeyondEnd
	// ErrNotLeader: another node leads the partition; see NotLeaderError.
	// Retryable there.
	ErrNotLeader = partition.ErrNotLeader
	// ErrNoLeader: the partition has no leader now. Retryable.
	ErrNoLeader = errors.New("partition has no leader")
	// ErrNotCompacted: keys are kept by topics with cleanup.policy=compact
	// only.
	ErrNotCompacted = partition.ErrNotCompacted
	// ErrUnknownKey: the compacted topic holds no live value for the key.
	ErrUnknownKey = errors.New("unknown key")
	// ErrShuttingDown: the node drains. Retryable elsewhere.
	ErrShuttingDown = errors.New("broker is shutting down")
	// ErrDiskFull: appends are refused before the disk is really full; reads
	// go on. Retryable once space is freed.
	ErrDiskFull = partition.ErrDiskFull
	// ErrThrottled: too much is in flight; see ThrottledError. Retryable.
	ErrThrottled = partition.ErrThrottled
	// ErrOutcomeUnknown: the wait ended before the answer; the request may
	// have been applied or may yet be. Retryable, with an idempotence token.
	ErrOutcomeUnknown = partition.ErrOutcomeUnknown
	// ErrTransactional: transactional and control batches are the
	// coordinator's to write.
	ErrTransactional = partition.ErrTransactional
	// ErrUnavailable: the metadata log has no controller, or has not caught
	// up. Retryable.
	ErrUnavailable = errors.New("metadata is unavailable")
	// ErrTooLarge: the record or batch is above the topic's max.message.bytes.
	ErrTooLarge = errors.New("record is larger than max.message.bytes")
	// ErrUnknownNode: no member of the cluster has that id.
	ErrUnknownNode = errors.New("unknown node")
	// ErrNodeState: the node can't be removed, or be what was asked for, as it
	// is; the text says what to do.
	ErrNodeState = errors.New("the node's state does not allow it")
	// ErrNotEmpty: a backup is restored into a cluster without topics, or into
	// one where its own restoration was interrupted.
	ErrNotEmpty = errors.New("the cluster is not empty")
	// ErrNotRestoring: the partition, or the cluster, is not being restored.
	ErrNotRestoring = errors.New("nothing is being restored")
	// ErrInvalidProducer: a producer name that is empty or too long.
	ErrInvalidProducer = errors.New("invalid producer name")
)

// Errors that the partition raises and the broker passes on.
type (
	// OffsetTrimmedError is ErrOffsetTrimmed with the log's start.
	OffsetTrimmedError = partition.OffsetTrimmedError
	// OffsetBeyondEndError is ErrOffsetBeyondEnd with the high watermark.
	OffsetBeyondEndError = partition.OffsetBeyondEndError
	// ThrottledError is ErrThrottled with the time after which a retry is
	// worth while.
	ThrottledError = partition.ThrottledError
)

// NotLeaderError is ErrNotLeader with the node that leads, as far as this one
// knows, and the address that it advertises for HTTP.
type NotLeaderError struct {
	Leader NodeID
	Addr   string
}

func (e *NotLeaderError) Error() string {
	return fmt.Sprintf("node %d (%s) leads the partition", e.Leader, e.Addr)
}

// Is matches ErrNotLeader.
func (e *NotLeaderError) Is(target error) bool { return target == ErrNotLeader }
