package api

import (
	"context"
	"errors"

	"github.com/chroniklog/chronik/api/middleware"
	"github.com/chroniklog/chronik/raft"
	"github.com/chroniklog/chronik/raft/meta"
	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/coordinator"
	"github.com/chroniklog/chronik/server/group"
	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/server/replica"
	"github.com/chroniklog/chronik/storage/plog"
	"github.com/chroniklog/chronik/storage/record"
)

// mapping sends a sentinel of the packages below to its problem code.
type mapping struct {
	sentinel error
	code     string
}

// sentinels covers every exported Err… of the packages that the API stands on;
// a test parses their sources and fails when one is missing here. The first
// match wins, so a specific sentinel stands before the one it wraps, and an
// unknown outcome before the reason for it.
var sentinels = [...]mapping{
	{partition.ErrOutcomeUnknown, CodeOutcomeUnknown},
	{raft.ErrOutcomeUnknown, CodeOutcomeUnknown},
	{plog.ErrFailed, CodeStoreFailed},
	{plog.ErrCorrupt, CodeCorruptLog},

	{middleware.ErrHostNotAllowed, CodeHostNotAllowed},
	{middleware.ErrCrossOrigin, CodeCrossOrigin},
	{middleware.ErrBodyTooLarge, CodeBodyTooLarge},
	{middleware.ErrDecompressedTooLarge, CodeDecompressedTooLarge},
	{middleware.ErrTooManyBytes, CodeTooManyBytes},
	{middleware.ErrUnsupportedEncoding, CodeUnsupportedEncoding},
	{middleware.ErrInvalidCompression, CodeInvalidCompression},
	{middleware.ErrPanic, CodeInternal},

	{server.ErrUnknownTopic, CodeUnknownTopic},
	{server.ErrUnknownPartition, CodeUnknownPartition},
	{server.ErrTopicExists, CodeTopicExists},
	{server.ErrInvalidTopic, CodeInvalidTopic},
	{server.ErrReservedTopic, CodeReservedTopic},
	{server.ErrInvalidConfig, CodeInvalidConfig},
	{server.ErrInvalidPartitions, CodeInvalidPartitions},
	{server.ErrInvalidReplication, CodeInvalidReplication},
	{server.ErrNotEnoughBrokers, CodeNotEnoughBrokers},
	{server.ErrNoLeader, CodeNoLeader},
	{server.ErrUnknownKey, CodeUnknownKey},
	{server.ErrShuttingDown, CodeShuttingDown},
	{server.ErrUnavailable, CodeNoController},
	{server.ErrTooLarge, CodeRecordTooLarge},
	{server.ErrUnknownNode, CodeUnknownNode},
	{server.ErrNodeState, CodeNodeState},
	{server.ErrNotEmpty, CodeClusterNotEmpty},
	{server.ErrNotRestoring, CodeNotRestoring},
	{server.ErrInvalidProducer, CodeInvalidProducer},

	{coordinator.ErrLoading, CodeCoordinatorLoading},
	{coordinator.ErrNotCoordinator, CodeNoCoordinator},
	{coordinator.ErrUnavailable, CodeNoCoordinator},
	{group.ErrNotEmpty, CodeGroupNotEmpty},
	{group.ErrSubscribed, CodeGroupNotEmpty},
	{group.ErrIllegalGeneration, CodeFencedGeneration},
	{group.ErrUnknownMember, CodeUnknownMember},
	{group.ErrUnknownGroup, CodeUnknownGroup},
	{group.ErrInvalidGroup, CodeInvalidGroup},
	{group.ErrFencedInstance, CodeFencedInstance},
	{group.ErrInconsistentProtocol, CodeInconsistentProtocol},
	{group.ErrFull, CodeGroupFull},
	{group.ErrFencedEpoch, CodeFencedGeneration},
	{group.ErrStaleEpoch, CodeFencedGeneration},
	{group.ErrUnreleasedInstance, CodeFencedInstance},
	{group.ErrUnsupportedAssignor, CodeBadRequest},
	{group.ErrOldRequest, CodeBadRequest},
	{group.ErrInvalidRegex, CodeBadRequest},
	{group.ErrRebalance, CodeGroupRebalancing},
	{group.ErrInvalidAck, CodeInvalidAck},
	{group.ErrForeignAck, CodeInvalidAck},
	{group.ErrInvalidSession, CodeBadRequest},
	{group.ErrMemberIDRequired, CodeBadRequest},
	{group.ErrMetadataTooLarge, CodeBadRequest},
	{group.ErrCorrupt, CodeInternal},

	{partition.ErrNotLeader, CodeNotLeader},
	{partition.ErrNotEnoughReplicas, CodeNotEnoughReplicas},
	{partition.ErrOffsetNotAvailable, CodeOffsetNotAvailable},
	{partition.ErrOffsetTrimmed, CodeOffsetTrimmed},
	{partition.ErrOffsetBeyondEnd, CodeOffsetBeyondEnd},
	{partition.ErrThrottled, CodeThrottled},
	{partition.ErrDiskFull, CodeDiskFull},
	{partition.ErrClosed, CodeShuttingDown},
	{partition.ErrTransactional, CodeTransactional},
	{partition.ErrInvalidAppend, CodeBadRequest},
	{partition.ErrNotCompacted, CodeNotCompacted},
	{partition.ErrOffsetConflict, CodeOffsetConflict},
	{partition.ErrFenced, CodeFenced},
	{partition.ErrKeyPrecondition, CodeKeyPrecondition},
	{partition.ErrSequenceGap, CodeSequenceGap},
	{partition.ErrDuplicateSequence, CodeDuplicateSequence},
	{partition.ErrStaleEpoch, CodeStaleProducerEpoch},
	{partition.ErrIdempotencyMismatch, CodeIdempotencyMismatch},
	{partition.ErrStaleLeaderEpoch, CodeNotLeader},
	{partition.ErrUnknownLeaderEpoch, CodeNotLeader},
	{partition.ErrStaleBrokerEpoch, CodeNotLeader},
	{partition.ErrNotReplica, CodeNotLeader},
	{partition.ErrSnapshot, CodeInternal},

	{record.ErrTooLarge, CodeRecordTooLarge},
	{record.ErrShort, CodeCorruptBatch},
	{record.ErrLength, CodeCorruptBatch},
	{record.ErrCRC, CodeCorruptBatch},
	{record.ErrDecompress, CodeCorruptBatch},
	{record.ErrRecord, CodeCorruptBatch},
	{record.ErrCorrupt, CodeCorruptBatch},
	{record.ErrMagic, CodeInvalidBatch},
	{record.ErrCodec, CodeInvalidBatch},
	{record.ErrCount, CodeInvalidBatch},
	{record.ErrOffsets, CodeInvalidBatch},
	{record.ErrSequence, CodeInvalidBatch},
	{record.ErrAttributes, CodeInvalidBatch},
	{record.ErrTooMany, CodeInvalidBatch},
	{record.ErrNullKey, CodeInvalidBatch},
	{record.ErrInvalid, CodeInvalidBatch},

	{meta.ErrTopicExists, CodeTopicExists},
	{meta.ErrUnknownTopic, CodeUnknownTopic},
	{meta.ErrUnknownPartition, CodeUnknownPartition},
	{meta.ErrUnknownBroker, CodeUnknownNode},
	{meta.ErrStaleBrokerEpoch, CodeNotLeader},
	{meta.ErrStaleLeaderEpoch, CodeConflict},
	{meta.ErrStalePartitionEpoch, CodeConflict},
	{meta.ErrIneligibleReplica, CodeConflict},
	{meta.ErrNotEnoughBrokers, CodeNotEnoughBrokers},
	{meta.ErrInvalidCommand, CodeBadRequest},
	{meta.ErrConflict, CodeConflict},
	{meta.ErrNoElection, CodeConflict},
	{meta.ErrRequestExpired, CodeOutcomeUnknown},
	{meta.ErrCorrupt, CodeInternal},
	{meta.ErrVersion, CodeInternal},

	{plog.ErrTrimmed, CodeOffsetTrimmed},
	{plog.ErrBeyondEnd, CodeOffsetBeyondEnd},
	{plog.ErrUnknownLog, CodeNotLeader},
	{plog.ErrStaleIncarnation, CodeNotLeader},
	{plog.ErrDeleted, CodeUnknownTopic},
	{plog.ErrDiskFull, CodeDiskFull},
	{plog.ErrBacklog, CodeThrottled},
	{plog.ErrClosed, CodeShuttingDown},
	{plog.ErrFormat, CodeInternal},
	{replica.ErrGap, CodeInternal},

	{raft.ErrNotController, CodeNoController},
	{raft.ErrNoController, CodeNoController},
	{raft.ErrBusy, CodeThrottled},
	{raft.ErrClosed, CodeShuttingDown},
	{raft.ErrUnknownNode, CodeUnknownNode},
	{raft.ErrLastVoter, CodeNodeState},
	{raft.ErrDiskFull, CodeDiskFull},
	{raft.ErrCorrupt, CodeInternal},
	{raft.ErrForeign, CodeInternal},
	{raft.ErrNodeIDTaken, CodeInternal},

	{context.DeadlineExceeded, CodeOutcomeUnknown},
	{context.Canceled, CodeCanceled},
}

// unreadable is the error of a stored batch that can't be decoded: the codec's
// error means the log's corruption here, not the client's.
func unreadable(err error) error {
	if err == nil {
		return nil
	}
	return &Error{
		Code: CodeCorruptLog, Cause: err,
		Detail: "the record batch at this offset can't be decoded; the node's log tells why under this trace_id",
	}
}

// translate turns an error of the layers below into an Error.
func translate(err error) *Error {
	for i := range sentinels {
		if !errors.Is(err, sentinels[i].sentinel) {
			continue
		}
		e := &Error{Code: sentinels[i].code, Detail: err.Error(), Cause: err}
		fillMembers(e, err)
		if e.Code == CodeInternal {
			e.Detail = internalDetail
		}
		return e
	}
	return &Error{Code: CodeInternal, Detail: internalDetail, Cause: err}
}

// fillMembers copies what typed errors know into the problem's members.
func fillMembers(e *Error, err error) {
	var (
		trimmed   *server.OffsetTrimmedError
		beyond    *server.OffsetBeyondEndError
		notLeader *server.NotLeaderError
		tooBig    *middleware.BodyTooLargeError
		inflated  *middleware.DecompressedTooLargeError
		bytes     *middleware.TooManyBytesError
		throttled *server.ThrottledError
	)
	switch {
	case errors.As(err, &trimmed):
		e.Members.LogStartOffset = &trimmed.LogStart
	case errors.As(err, &beyond):
		e.Members.HighWatermark = &beyond.HighWatermark
	case errors.As(err, &notLeader):
		e.Members.Leader, e.Members.LeaderURL = &notLeader.Leader, notLeader.Addr
	case errors.As(err, &throttled):
		e.RetryAfter = throttled.RetryAfter
	case errors.As(err, &tooBig):
		e.Members.Limit = &tooBig.Limit
	case errors.As(err, &inflated) && inflated.Limit > 0:
		e.Members.Limit = &inflated.Limit
	case errors.As(err, &bytes):
		e.Members.Limit, e.RetryAfter = &bytes.Limit, bytes.RetryAfter
	default:
		fillPartition(e, err)
	}
}

// fillPartition is fillMembers for the partition's own errors.
func fillPartition(e *Error, err error) {
	var (
		conflict  *partition.OffsetConflictError
		key       *partition.KeyPreconditionError
		gap       *partition.SequenceGapError
		notLeader *partition.NotLeaderError
	)
	switch {
	case errors.As(err, &conflict):
		e.Members.CurrentOffset = &conflict.Current
	case errors.As(err, &key) && key.Current != partition.NoOffset:
		e.Members.CurrentOffset = &key.Current
	case errors.As(err, &gap):
		expected := int64(gap.Expected)
		e.Members.ExpectedSeq = &expected
	case errors.As(err, &notLeader) && notLeader.Leader == 0:
		e.Code = CodeNoLeader
	case errors.As(err, &notLeader):
		e.Members.Leader = &notLeader.Leader
	}
}
