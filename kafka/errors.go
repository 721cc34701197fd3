package kafka

import (
	"context"
	"errors"

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

// mapping sends a sentinel of the packages below to Kafka's code.
type mapping struct {
	sentinel error
	code     int16
}

// sentinels covers every exported Err… of the packages that the listener
// stands on; a test parses their sources and fails when one is missing here.
// The first match wins: an unknown outcome stands before the reason for it, a
// specific sentinel before the one it wraps.
//
// What Kafka has no code for gets the one whose handling by clients fits: a
// condition that passes gets a retriable code, REQUEST_TIMED_OUT where the
// metadata is right, NOT_LEADER_OR_FOLLOWER where it has to be asked anew.
var sentinels = [...]mapping{
	{coordinator.ErrNotCoordinator, codeNotCoordinator},
	{coordinator.ErrLoading, codeCoordinatorLoading},
	{coordinator.ErrUnavailable, codeCoordinatorNotAvailable},
	{group.ErrUnknownMember, codeUnknownMember},
	{group.ErrIllegalGeneration, codeIllegalGeneration},
	{group.ErrMemberIDRequired, codeMemberIDRequired},
	{group.ErrRebalance, codeRebalance},
	{group.ErrInconsistentProtocol, codeInconsistentProtocol},
	{group.ErrFencedInstance, codeFencedInstance},
	{group.ErrInvalidSession, codeInvalidSession},
	{group.ErrFull, codeGroupFull},
	{group.ErrNotEmpty, codeNonEmptyGroup},
	{group.ErrSubscribed, codeGroupSubscribed},
	{group.ErrUnknownGroup, codeUnknownGroup},
	{group.ErrInvalidGroup, codeInvalidGroup},
	{group.ErrFencedEpoch, codeFencedMemberEpoch},
	{group.ErrStaleEpoch, codeStaleMemberEpoch},
	{group.ErrUnreleasedInstance, codeUnreleasedInstance},
	{group.ErrUnsupportedAssignor, codeUnsupportedAssignor},
	{group.ErrOldRequest, codeUnsupportedVersion},
	{group.ErrInvalidRegex, codeInvalidRegex},
	{group.ErrMetadataTooLarge, codeMetadataTooLarge},
	{group.ErrCorrupt, codeCoordinatorNotAvailable},
	{group.ErrInvalidAck, codeInvalidRequest}, // of HTTP members only
	{group.ErrForeignAck, codeInvalidRequest},

	{partition.ErrOutcomeUnknown, codeRequestTimedOut},
	{raft.ErrOutcomeUnknown, codeRequestTimedOut},
	{plog.ErrFailed, codeStorageError},
	{plog.ErrCorrupt, codeStorageError},

	{server.ErrUnknownTopic, codeUnknownTopic},
	{server.ErrUnknownPartition, codeUnknownTopic},
	{server.ErrTopicExists, codeTopicExists},
	{server.ErrInvalidTopic, codeInvalidTopic},
	{server.ErrReservedTopic, codeInvalidTopic},
	{server.ErrInvalidConfig, codeInvalidConfig},
	{server.ErrInvalidPartitions, codeInvalidPartitions},
	{server.ErrInvalidReplication, codeInvalidReplication},
	{server.ErrNotEnoughBrokers, codeInvalidReplication},
	{server.ErrNoLeader, codeNotLeader},
	{server.ErrUnknownKey, codeInvalidRequest},
	{server.ErrShuttingDown, codeNotLeader},
	{server.ErrUnavailable, codeRequestTimedOut},
	{server.ErrTooLarge, codeMessageTooLarge},
	{server.ErrInvalidProducer, codeInvalidRequest},
	{server.ErrUnknownNode, codeBrokerNotAvailable},
	{server.ErrNodeState, codeInvalidRequest},
	{server.ErrNotEmpty, codeInvalidRequest},
	{server.ErrNotRestoring, codeInvalidRequest},

	{partition.ErrNotLeader, codeNotLeader},
	{partition.ErrNotEnoughReplicas, codeNotEnoughReplicas},
	{partition.ErrOffsetNotAvailable, codeOffsetNotAvailable},
	{partition.ErrOffsetTrimmed, codeOffsetOutOfRange},
	{partition.ErrOffsetBeyondEnd, codeOffsetOutOfRange},
	{partition.ErrThrottled, codeRequestTimedOut},
	{partition.ErrDiskFull, codeStorageError},
	{partition.ErrClosed, codeNotLeader},
	{partition.ErrTransactional, codeInvalidRecord},
	{partition.ErrInvalidAppend, codeInvalidRecord},
	{partition.ErrNotCompacted, codeInvalidRequest},
	{partition.ErrOffsetConflict, codeInvalidRequest},
	{partition.ErrFenced, codeInvalidRequest},
	{partition.ErrKeyPrecondition, codeInvalidRequest},
	{partition.ErrSequenceGap, codeOutOfOrderSequence},
	{partition.ErrDuplicateSequence, codeDuplicateSequence},
	{partition.ErrStaleEpoch, codeInvalidProducerEpoch},
	{partition.ErrIdempotencyMismatch, codeInvalidRequest},
	{partition.ErrStaleLeaderEpoch, codeFencedLeaderEpoch},
	{partition.ErrUnknownLeaderEpoch, codeUnknownLeaderEpoch},
	{partition.ErrStaleBrokerEpoch, codeStaleBrokerEpoch},
	{partition.ErrNotReplica, codeNotLeader},
	{partition.ErrSnapshot, codeUnknown},
	{replica.ErrGap, codeUnknown},

	{record.ErrTooLarge, codeMessageTooLarge},
	{record.ErrCodec, codeUnsupportedCompression},
	// Their checksum holds: the same bytes will never do.
	{record.ErrDecompress, codeInvalidRecord},
	{record.ErrRecord, codeInvalidRecord},
	{record.ErrShort, codeCorruptMessage},
	{record.ErrLength, codeCorruptMessage},
	{record.ErrCRC, codeCorruptMessage},
	{record.ErrCorrupt, codeCorruptMessage},
	{record.ErrMagic, codeInvalidRecord},
	{record.ErrCount, codeInvalidRecord},
	{record.ErrOffsets, codeInvalidRecord},
	{record.ErrSequence, codeInvalidRecord},
	{record.ErrAttributes, codeInvalidRecord},
	{record.ErrTooMany, codeInvalidRecord},
	{record.ErrNullKey, codeInvalidRecord},
	{record.ErrInvalid, codeInvalidRecord},

	{meta.ErrTopicExists, codeTopicExists},
	{meta.ErrUnknownTopic, codeUnknownTopic},
	{meta.ErrUnknownPartition, codeUnknownTopic},
	{meta.ErrUnknownBroker, codeBrokerNotAvailable},
	{meta.ErrStaleBrokerEpoch, codeStaleBrokerEpoch},
	{meta.ErrStaleLeaderEpoch, codeNotLeader},
	{meta.ErrStalePartitionEpoch, codeRequestTimedOut},
	{meta.ErrIneligibleReplica, codeInvalidAssignment},
	{meta.ErrNotEnoughBrokers, codeInvalidReplication},
	{meta.ErrInvalidCommand, codeInvalidRequest},
	{meta.ErrConflict, codeRequestTimedOut},
	{meta.ErrNoElection, codeLeaderNotAvailable},
	{meta.ErrRequestExpired, codeRequestTimedOut},
	{meta.ErrCorrupt, codeUnknown},
	{meta.ErrVersion, codeUnknown},

	{plog.ErrTrimmed, codeOffsetOutOfRange},
	{plog.ErrBeyondEnd, codeOffsetOutOfRange},
	{plog.ErrUnknownLog, codeNotLeader},
	{plog.ErrStaleIncarnation, codeNotLeader},
	{plog.ErrDeleted, codeUnknownTopic},
	{plog.ErrDiskFull, codeStorageError},
	{plog.ErrBacklog, codeRequestTimedOut},
	{plog.ErrClosed, codeNotLeader},
	{plog.ErrFormat, codeStorageError},

	{raft.ErrNotController, codeRequestTimedOut},
	{raft.ErrNoController, codeRequestTimedOut},
	{raft.ErrBusy, codeRequestTimedOut},
	{raft.ErrClosed, codeRequestTimedOut},
	{raft.ErrUnknownNode, codeBrokerNotAvailable},
	{raft.ErrLastVoter, codeInvalidRequest},
	{raft.ErrDiskFull, codeStorageError},
	{raft.ErrCorrupt, codeUnknown},
	{raft.ErrForeign, codeUnknown},
	{raft.ErrNodeIDTaken, codeUnknown},

	{context.DeadlineExceeded, codeRequestTimedOut},
	{context.Canceled, codeRequestTimedOut},
}

// codeOf is Kafka's code for an error; nil has none, and an error that no row
// matches is UNKNOWN_SERVER_ERROR.
func codeOf(err error) int16 {
	if err == nil {
		return codeNone
	}
	var late *server.TimestampError
	if errors.As(err, &late) {
		return codeInvalidTimestamp
	}
	for i := range sentinels {
		if errors.Is(err, sentinels[i].sentinel) {
			return sentinels[i].code
		}
	}
	return codeUnknown
}

// message is the text that goes with a code to the client. The text of what
// no row foresees stays in the node's log.
func message(err error) *string {
	if err == nil {
		return nil
	}
	text := err.Error()
	if codeOf(err) == codeUnknown {
		text = "unexpected error; the node's log tells"
	}
	return &text
}
