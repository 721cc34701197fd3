package plog

import (
	"fmt"

	"github.com/chroniklog/chronik/storage/record"
)

// maxDecompressed bounds a batch's records when the log looks into it.
const maxDecompressed = record.HardMaxDecompressed

// OffsetForTime finds the first record at or after ts (Unix milliseconds)
// among those below limit, as Kafka's ListOffsets does. ok is false if there
// is none.
func (l *Log) OffsetForTime(ts, limit int64) (offset, timestamp int64, ok bool, err error) {
	l.mu.Lock()
	var found []byte
	for _, b := range l.tail.batches() {
		if b.next > limit {
			break
		}
		if b.maxTs >= ts && b.next > l.start.Load() {
			found = b.b
			break
		}
	}
	l.mu.Unlock()
	if found == nil {
		return 0, 0, false, nil
	}
	offset, timestamp, ok, err = firstAt(found, ts, l.StartOffset())
	return offset, timestamp, ok, l.wrap("find time in", err)
}

// firstAt finds the first record of a batch at or after ts, and at or after
// the offset from.
func firstAt(batch []byte, ts, from int64) (offset, timestamp int64, ok bool, err error) {
	var r record.Reader
	if _, err := r.Reset(batch, maxDecompressed); err != nil {
		return 0, 0, false, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	var rec record.Record
	for r.Next(&rec) {
		if rec.Offset >= from && rec.Timestamp >= ts {
			return rec.Offset, rec.Timestamp, true, nil
		}
	}
	if err := r.Err(); err != nil {
		return 0, 0, false, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return 0, 0, false, nil
}
