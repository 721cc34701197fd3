package partition

import (
	"errors"
	"fmt"
	"time"
)

// The conditions under which a partition refuses or fails a request. Match
// them with errors.Is; the typed errors below carry the detail. Unless a
// sentence says otherwise nothing was applied.
var (
	// ErrNotLeader: this node does not lead the partition; see NotLeaderError.
	ErrNotLeader = errors.New("not the leader of the partition")
	// ErrNotEnoughReplicas: acks=all, and fewer committed in-sync replicas
	// than min.insync.replicas. Retryable.
	ErrNotEnoughReplicas = errors.New("not enough in-sync replicas")
	// ErrOutcomeUnknown: the wait ended before the answer. The append may
	// have been applied or may yet be; retry with an idempotence token.
	ErrOutcomeUnknown = errors.New("outcome unknown")
	// ErrOffsetNotAvailable: a new leader does not know the end of the log
	// yet: its watermark has not reached the start of its epoch (KIP-207).
	// Retryable.
	ErrOffsetNotAvailable = errors.New("offset is not available yet")
	// ErrOffsetTrimmed: below the log's start; see OffsetTrimmedError.
	ErrOffsetTrimmed = errors.New("offset was trimmed")
	// ErrOffsetBeyondEnd: above the log's end; see OffsetBeyondEndError.
	ErrOffsetBeyondEnd = errors.New("offset is beyond the end of the log")
	// ErrThrottled: too much is staged; see ThrottledError. Retryable.
	ErrThrottled = errors.New("too much is staged in the partition")
	// ErrDiskFull: appends are refused before the disk is really full.
	ErrDiskFull = errors.New("disk is full")
	// ErrClosed: the replica is closed. Retryable elsewhere.
	ErrClosed = errors.New("replica is closed")
	// ErrTransactional: transactional and control batches are written by the
	// broker only.
	ErrTransactional = errors.New("transactional and control batches are not accepted here")
	// ErrInvalidAppend: an argument out of its bounds; the text says which.
	ErrInvalidAppend = errors.New("invalid append")
	// ErrNotCompacted: a key condition or look-up on a topic whose
	// cleanup.policy does not say compact.
	ErrNotCompacted = errors.New("topic is not compacted")

	// ErrOffsetConflict: expect_offset is not the next offset; see
	// OffsetConflictError.
	ErrOffsetConflict = errors.New("offset conflict")
	// ErrFenced: the fence token is not the partition's.
	ErrFenced = errors.New("fenced")
	// ErrKeyPrecondition: the key's last offset is not the expected one; see
	// KeyPreconditionError.
	ErrKeyPrecondition = errors.New("key precondition failed")
	// ErrSequenceGap: the producer's sequence is not the next one; see
	// SequenceGapError (KIP-98: OUT_OF_ORDER_SEQUENCE_NUMBER).
	ErrSequenceGap = errors.New("sequence gap")
	// ErrDuplicateSequence: the sequence was appended so long ago that its
	// offset is forgotten (more than 5 batches, or in other boundaries).
	ErrDuplicateSequence = errors.New("sequence was appended before")
	// ErrStaleEpoch: a newer epoch of the producer has appended
	// (INVALID_PRODUCER_EPOCH).
	ErrStaleEpoch = errors.New("stale producer epoch")
	// ErrIdempotencyMismatch: the Idempotency-Key came with another body.
	ErrIdempotencyMismatch = errors.New("idempotency key was used with another body")

	// ErrStaleLeaderEpoch: a replica's request carries an older leader epoch
	// than the partition's (FENCED_LEADER_EPOCH).
	ErrStaleLeaderEpoch = errors.New("stale leader epoch")
	// ErrUnknownLeaderEpoch: the request carries a newer leader epoch; this
	// node has not caught up with the metadata (UNKNOWN_LEADER_EPOCH).
	// Retryable.
	ErrUnknownLeaderEpoch = errors.New("unknown leader epoch")
	// ErrStaleBrokerEpoch: the request comes from an older incarnation of the
	// broker (KIP-903).
	ErrStaleBrokerEpoch = errors.New("stale broker epoch")
	// ErrNotReplica: the broker is not among the partition's replicas.
	ErrNotReplica = errors.New("broker is not a replica of the partition")

	// ErrSnapshot: a state snapshot can't be decoded. It is derived from the
	// log: read the log again instead.
	ErrSnapshot = errors.New("corrupt partition state snapshot")
)

// NotLeaderError is ErrNotLeader with the leader that this node knows of.
type NotLeaderError struct {
	Leader int32 // node id, 0: none known
	Epoch  int32 // leader epoch
}

func (e *NotLeaderError) Error() string {
	if e.Leader == 0 {
		return fmt.Sprintf("partition has no leader known here (epoch %d)", e.Epoch)
	}
	return fmt.Sprintf("node %d leads the partition (epoch %d)", e.Leader, e.Epoch)
}

// Is matches ErrNotLeader.
func (e *NotLeaderError) Is(target error) bool { return target == ErrNotLeader }

// OffsetTrimmedError is ErrOffsetTrimmed with the log's start.
type OffsetTrimmedError struct {
	Offset, LogStart int64
}

func (e *OffsetTrimmedError) Error() string {
	return fmt.Sprintf("offset %d was trimmed: the log starts at %d", e.Offset, e.LogStart)
}

// Is matches ErrOffsetTrimmed.
func (e *OffsetTrimmedError) Is(target error) bool { return target == ErrOffsetTrimmed }

// OffsetBeyondEndError is ErrOffsetBeyondEnd with the high watermark: the
// highest offset that a reader may ask for.
type OffsetBeyondEndError struct {
	Offset, HighWatermark int64
}

func (e *OffsetBeyondEndError) Error() string {
	return fmt.Sprintf("offset %d is beyond the end: the high watermark is %d", e.Offset, e.HighWatermark)
}

// Is matches ErrOffsetBeyondEnd.
func (e *OffsetBeyondEndError) Is(target error) bool { return target == ErrOffsetBeyondEnd }

// ThrottledError is ErrThrottled with the time in which, at the rate of the
// last commit cycles, half of what is staged will be on disk.
type ThrottledError struct {
	RetryAfter time.Duration
}

func (e *ThrottledError) Error() string {
	return fmt.Sprintf("too much is staged in the partition: retry after %s", e.RetryAfter)
}

// Is matches ErrThrottled.
func (e *ThrottledError) Is(target error) bool { return target == ErrThrottled }

// OffsetConflictError is ErrOffsetConflict with the offset that the record
// would have got.
type OffsetConflictError struct {
	Expected, Current int64
}

func (e *OffsetConflictError) Error() string {
	return fmt.Sprintf("offset conflict: the next offset is %d, not %d", e.Current, e.Expected)
}

// Is matches ErrOffsetConflict.
func (e *OffsetConflictError) Is(target error) bool { return target == ErrOffsetConflict }

// KeyPreconditionError is ErrKeyPrecondition with the key's last offset.
type KeyPreconditionError struct {
	Current int64 // of the live value; NoOffset: the key has none
}

func (e *KeyPreconditionError) Error() string {
	if e.Current == NoOffset {
		return "key precondition failed: the key has no value"
	}
	return fmt.Sprintf("key precondition failed: the key was last written at offset %d", e.Current)
}

// Is matches ErrKeyPrecondition.
func (e *KeyPreconditionError) Is(target error) bool { return target == ErrKeyPrecondition }

// SequenceGapError is ErrSequenceGap with the sequence that would have fitted.
type SequenceGapError struct {
	Expected, Got int32
}

func (e *SequenceGapError) Error() string {
	return fmt.Sprintf("sequence gap: got %d, expected %d", e.Got, e.Expected)
}

// Is matches ErrSequenceGap.
func (e *SequenceGapError) Is(target error) bool { return target == ErrSequenceGap }
