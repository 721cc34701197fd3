package forward

import (
	"errors"
	"time"

	"github.com/chroniklog/chronik/server/partition"
)

// Errors is the table of sentinels that travel; numbers are never reused. 0 is
// an error that is not in the table.
type Errors map[uint8]error

// remoteError is an error of the leader: its text, and what it matches.
type remoteError struct {
	text  string
	cause error
}

func (e *remoteError) Error() string { return e.text }
func (e *remoteError) Unwrap() error { return e.cause }

// encode makes the payload of a refusal.
func (t Errors) encode(err error) []byte {
	e := encoder{}
	e.b = append(e.b, t.number(err))
	a, b := detail(err)
	e.i64(a)
	e.i64(b)
	e.str(err.Error())
	return e.b
}

func (t Errors) number(err error) uint8 {
	var best uint8
	for n, sentinel := range t {
		// The lowest number wins where an error matches more than one.
		if errors.Is(err, sentinel) && (best == 0 || n < best) {
			best = n
		}
	}
	return best
}

// decode makes the error that a refusal describes. An error that is not in the
// table matches unlisted.
func (t Errors) decode(b []byte, unlisted error) error {
	d := decoder{b: b}
	n := d.take(1)
	x, y := d.i64(), d.i64()
	text := d.str()
	if err := d.end(); err != nil {
		return err
	}
	sentinel, ok := t[n[0]]
	if !ok {
		return &remoteError{text: "leader: " + text, cause: unlisted}
	}
	return &remoteError{text: text, cause: detailed(sentinel, x, y)}
}

// detail is the numbers of an error.
func detail(err error) (a, b int64) {
	var (
		notLeader *partition.NotLeaderError
		trimmed   *partition.OffsetTrimmedError
		beyond    *partition.OffsetBeyondEndError
		throttled *partition.ThrottledError
		conflict  *partition.OffsetConflictError
		key       *partition.KeyPreconditionError
		gap       *partition.SequenceGapError
	)
	switch {
	case errors.As(err, &notLeader):
		return int64(notLeader.Leader), int64(notLeader.Epoch)
	case errors.As(err, &trimmed):
		return trimmed.Offset, trimmed.LogStart
	case errors.As(err, &beyond):
		return beyond.Offset, beyond.HighWatermark
	case errors.As(err, &throttled):
		return int64(throttled.RetryAfter), 0
	case errors.As(err, &conflict):
		return conflict.Expected, conflict.Current
	case errors.As(err, &key):
		return key.Current, 0
	case errors.As(err, &gap):
		return int64(gap.Expected), int64(gap.Got)
	}
	return 0, 0
}

// detailed is the error of a sentinel with its numbers.
func detailed(sentinel error, a, b int64) error {
	switch sentinel {
	case partition.ErrNotLeader:
		return &partition.NotLeaderError{Leader: int32(a), Epoch: int32(b)}
	case partition.ErrOffsetTrimmed:
		return &partition.OffsetTrimmedError{Offset: a, LogStart: b}
	case partition.ErrOffsetBeyondEnd:
		return &partition.OffsetBeyondEndError{Offset: a, HighWatermark: b}
	case partition.ErrThrottled:
		return &partition.ThrottledError{RetryAfter: time.Duration(a)}
	case partition.ErrOffsetConflict:
		return &partition.OffsetConflictError{Expected: a, Current: b}
	case partition.ErrKeyPrecondition:
		return &partition.KeyPreconditionError{Current: a}
	case partition.ErrSequenceGap:
		return &partition.SequenceGapError{Expected: int32(a), Got: int32(b)}
	}
	return sentinel
}
