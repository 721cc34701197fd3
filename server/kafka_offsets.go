package server

import (
	"fmt"

	"github.com/chroniklog/chronik/server/partition"
)

// What Kafka's protocol asks of a partition and HTTP does not.

// LeaderEpochEnd tells where a leader epoch of a partition ended, for
// consumers that look whether their position survived a change of leader
// (KIP-320). Epoch -1: the partition has not had that epoch yet.
func (l *LedLogs) LeaderEpochEnd(topic string, p, epoch int32) (partition.EpochEnd, error) {
	e, rep, err := l.b.open(topic, p)
	if err != nil {
		return partition.EpochEnd{}, err
	}
	end, err := rep.LeaderEpochEnd(epoch)
	if err != nil {
		return partition.EpochEnd{}, l.b.explain(e, p, fmt.Errorf("epoch end of %s/%d: %w", topic, p, err))
	}
	return end, nil
}

// EpochAt is the leader epoch that the record at an offset was appended in, -1
// if there is no such record yet.
func (l *LedLogs) EpochAt(topic string, p int32, offset int64) (int32, error) {
	e, rep, err := l.b.open(topic, p)
	if err != nil {
		return -1, err
	}
	epoch, err := rep.EpochAt(offset)
	if err != nil {
		return -1, l.b.explain(e, p, fmt.Errorf("epoch of %d in %s/%d: %w", offset, topic, p, err))
	}
	return epoch, nil
}

// MaxTimestamp finds the first record that has the partition's largest
// timestamp (Unix milliseconds), among those below the high watermark; ok is
// false if there is none. It searches with the time index: each probe tells a
// record at or after a time, and the largest time that still has one is the
// answer.
func (l *LedLogs) MaxTimestamp(topic string, p int32) (offset, timestamp int64, ok bool, err error) {
	offset, timestamp, ok, err = l.OffsetForTime(topic, p, 0)
	if err != nil || !ok {
		return 0, 0, false, err
	}
	// probe moves up to a record at or after ts, if there is one.
	probe := func(ts int64) bool {
		o, t, found, probeErr := l.OffsetForTime(topic, p, ts)
		if probeErr != nil || !found {
			err = probeErr
			return false
		}
		offset, timestamp = o, t
		return true
	}
	var above int64 // some time at which there is nothing, once found
	for step := int64(1); ; step *= 2 {
		if above = timestamp + step; above <= 0 || !probe(above) {
			break
		}
	}
	if above <= 0 {
		above = 1<<63 - 1
	}
	for err == nil && above-timestamp > 1 {
		if middle := timestamp + (above-timestamp)/2; !probe(middle) {
			above = middle
		}
	}
	return offset, timestamp, err == nil, err
}

// TimestampError is partition.ErrInvalidAppend with the cause that a client's
// timestamp lies too far from the broker's clock (KIP-937).
type TimestampError struct{ reason string }

func (e *TimestampError) Error() string { return "invalid append: " + e.reason }

// Is matches partition.ErrInvalidAppend.
func (e *TimestampError) Is(target error) bool { return target == partition.ErrInvalidAppend }

// timestampError makes a TimestampError.
func timestampError(format string, args ...any) error {
	return &TimestampError{reason: fmt.Sprintf(format, args...)}
}

// ActiveProducers are the idempotent producers that a partition remembers.
func (l *LedLogs) ActiveProducers(topic string, p int32) ([]partition.ActiveProducer, error) {
	e, rep, err := l.b.open(topic, p)
	if err != nil {
		return nil, err
	}
	list, err := rep.ActiveProducers()
	if err != nil {
		return nil, l.b.explain(e, p, fmt.Errorf("producers of %s/%d: %w", topic, p, err))
	}
	return list, nil
}
