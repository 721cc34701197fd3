package server

import (
	"errors"
	"fmt"
	"time"
)

// The conditions under which the broker refuses or fails a request. An
// adapter maps each one to its protocol with errors.Is; the typed errors
// below match their sentinel and carry the detail. Errors of the partition,
// the log, the record codec and the metadata log reach the adapters wrapped,
// never translated: their own sentinels match too.
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
	ErrInvalidConfig = errors.New("invalid topic config")
	// ErrInvalidPartitions: a partition count that is out of range, lower
	// than the topic's, or would move the keys of a compacted topic.
	ErrInvalidPartitions = errors.New("invalid partition count")
	// ErrInvalidReplication: a replication factor that is out of range, or an
	// assignment that contradicts itself.
	ErrInvalidReplication = errors.New("invalid replication factor")
	// ErrNotEnoughBrokers: fewer brokers than the replication factor asks for
	// are registered. Retryable: brokers may yet join.
	ErrNotEnoughBrokers = errors.New("not enough brokers for the replication factor")
	// ErrOffsetTrimmed: the offset is below the log's start; see
	// OffsetTrimmedError.
	ErrOffsetTrimmed = errors.New("offset was trimmed")
	// ErrOffsetBeyondEnd: the offset is above the log's end; see
	// OffsetBeyondEndError.
	ErrOffsetBeyondEnd = errors.New("offset is beyond the end of the log")
	// ErrNotLeader: another node leads the partition; see NotLeaderError.
	// Retryable there.
	ErrNotLeader = errors.New("not the leader of the partition")
	// ErrNoLeader: the partition has no leader now. Retryable.
	ErrNoLeader = errors.New("partition has no leader")
	// ErrNotCompacted: keys are kept by topics with cleanup.policy=compact
	// only.
	ErrNotCompacted = errors.New("topic is not compacted")
	// ErrUnknownKey: the compacted topic holds no live value for the key.
	ErrUnknownKey = errors.New("unknown key")
	// ErrShuttingDown: the node drains. Retryable elsewhere.
	ErrShuttingDown = errors.New("broker is shutting down")
	// ErrDiskFull: appends are refused before the disk is really full; reads
	// go on. Retryable once space is freed.
	ErrDiskFull = errors.New("disk is full")
	// ErrThrottled: too much is in flight; see ThrottledError. Retryable.
	ErrThrottled = errors.New("too much in flight")
	// ErrOutcomeUnknown: the wait ended before the answer; the request may
	// have been applied or may yet be. Retryable, with an idempotence token.
	ErrOutcomeUnknown = errors.New("outcome unknown")
	// ErrTransactional: transactional and control batches are the
	// coordinator's to write.
	ErrTransactional = errors.New("transactional and control batches are not accepted here")
	// ErrUnavailable: the metadata log has no controller, or has not caught
	// up. Retryable.
	ErrUnavailable = errors.New("metadata is unavailable")
	// ErrTooLarge: the record or batch is above the topic's max.message.bytes.
	ErrTooLarge = errors.New("record is larger than max.message.bytes")
	// ErrInvalidProducer: a producer name that is empty or too long.
	ErrInvalidProducer = errors.New("invalid producer name")
)

// OffsetTrimmedError is ErrOffsetTrimmed with the offset that the log now
// starts at.
type OffsetTrimmedError struct {
	Offset, LogStart int64
}

func (e *OffsetTrimmedError) Error() string {
	return fmt.Sprintf("offset %d was trimmed: the log starts at %d", e.Offset, e.LogStart)
}

// Is matches ErrOffsetTrimmed.
func (e *OffsetTrimmedError) Is(target error) bool { return target == ErrOffsetTrimmed }

// OffsetBeyondEndError is ErrOffsetBeyondEnd with the high watermark, which is
// the next offset that a reader may ask for.
type OffsetBeyondEndError struct {
	Offset, HighWatermark int64
}

func (e *OffsetBeyondEndError) Error() string {
	return fmt.Sprintf("offset %d is beyond the end: the high watermark is %d", e.Offset, e.HighWatermark)
}

// Is matches ErrOffsetBeyondEnd.
func (e *OffsetBeyondEndError) Is(target error) bool { return target == ErrOffsetBeyondEnd }

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

// ThrottledError is ErrThrottled with the time after which a retry is worth
// while.
type ThrottledError struct {
	RetryAfter time.Duration
}

func (e *ThrottledError) Error() string {
	return fmt.Sprintf("too much in flight: retry after %s", e.RetryAfter)
}

// Is matches ErrThrottled.
func (e *ThrottledError) Is(target error) bool { return target == ErrThrottled }
