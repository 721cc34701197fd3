package api

import (
	"context"
	"errors"

	"github.com/chroniklog/chronik/server"
)

// mapping sends a sentinel of the packages below to its problem code. The
// first match wins, so a specific sentinel stands before the one it wraps.
type mapping struct {
	sentinel error
	code     string
}

// sentinels covers every exported Err… of the packages that the API stands on;
// a test parses their sources and fails when one is missing here.
var sentinels = [...]mapping{
	{server.ErrUnknownTopic, CodeUnknownTopic},
	{server.ErrUnknownPartition, CodeUnknownPartition},
	{server.ErrTopicExists, CodeTopicExists},
	{server.ErrInvalidTopic, CodeInvalidTopic},
	{server.ErrReservedTopic, CodeReservedTopic},
	{server.ErrInvalidConfig, CodeInvalidConfig},
	{server.ErrInvalidPartitions, CodeInvalidPartitions},
	{server.ErrInvalidReplication, CodeInvalidReplication},
	{server.ErrNotEnoughBrokers, CodeNotEnoughBrokers},
	{server.ErrOffsetTrimmed, CodeOffsetTrimmed},
	{server.ErrOffsetBeyondEnd, CodeOffsetBeyondEnd},
	{server.ErrNotLeader, CodeNotLeader},
	{server.ErrNoLeader, CodeNoLeader},
	{server.ErrNotCompacted, CodeNotCompacted},
	{server.ErrUnknownKey, CodeUnknownKey},
	{server.ErrShuttingDown, CodeShuttingDown},
	{server.ErrDiskFull, CodeDiskFull},
	{server.ErrThrottled, CodeThrottled},
	{server.ErrOutcomeUnknown, CodeOutcomeUnknown},
	{server.ErrTransactional, CodeTransactional},
	{server.ErrUnavailable, CodeNoController},
	{server.ErrTooLarge, CodeRecordTooLarge},
	{server.ErrInvalidProducer, CodeInvalidProducer},
	{context.DeadlineExceeded, CodeOutcomeUnknown},
	{context.Canceled, CodeCanceled},
}

// translate turns an error of the layers below into an Error.
func translate(err error) *Error {
	for i := range sentinels {
		if errors.Is(err, sentinels[i].sentinel) {
			e := &Error{Code: sentinels[i].code, Detail: err.Error(), Cause: err}
			fillMembers(e, err)
			return e
		}
	}
	return &Error{Code: CodeInternal, Detail: internalDetail, Cause: err}
}

// fillMembers copies what typed errors know into the problem's members.
func fillMembers(e *Error, err error) {
	var (
		trimmed   *server.OffsetTrimmedError
		beyond    *server.OffsetBeyondEndError
		notLeader *server.NotLeaderError
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
	}
}
