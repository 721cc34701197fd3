package plog

import (
	"context"
	"errors"
	"fmt"

	"github.com/chroniklog/chronik/storage/record"
	"github.com/chroniklog/chronik/storage/segment"
)

// maxDecompressed bounds a batch's records when the log looks into it.
const maxDecompressed = record.HardMaxDecompressed

// OffsetForTime finds the first record at or after ts (Unix milliseconds)
// among those in batches that end at or below limit, as Kafka's ListOffsets
// does. ok is false if there is none. ErrCorrupt.
func (l *Log) OffsetForTime(ts, limit int64) (offset, timestamp int64, ok bool, err error) {
	from := l.StartOffset()
	for {
		l.mu.Lock()
		if l.gone != nil {
			err := l.gone
			l.mu.Unlock()
			return 0, 0, false, l.wrap("find time in", err)
		}
		from = max(from, l.start.Load())
		view, inSegment := l.findTime(from, ts)
		gen := l.gen
		var found []byte
		if !inSegment {
			found = l.tail.firstSince(from, ts, limit)
		}
		l.mu.Unlock()
		if inSegment {
			found, err = l.searchTime(&view, from, ts, limit)
			if l.changed(&view, gen) {
				from = l.StartOffset()
				continue
			}
			if err != nil {
				return 0, 0, false, l.wrap("find time in", l.corrupted(&view, err))
			}
			if found == nil {
				if from = view.End.Next; from >= limit {
					return 0, 0, false, nil
				}
				continue
			}
		}
		if found == nil {
			return 0, 0, false, nil
		}
		offset, timestamp, ok, err = firstAt(found, ts, from)
		if ok || err != nil {
			return offset, timestamp, ok, l.wrap("find time in", err)
		}
		h, _ := record.ParseHeader(found)
		from = h.NextOffset()
	}
}

// findTime finds the first segment that has a batch beyond from and a
// timestamp at or after ts. Under mu.
func (l *Log) findTime(from, ts int64) (segment.Segment, bool) {
	for _, s := range l.segs {
		if s.End.Next > from && s.End.MaxTs >= ts {
			return *s, true
		}
	}
	return segment.Segment{}, false
}

// firstSince finds the first batch that reaches beyond from and has a
// timestamp at or after ts.
func (t *tail) firstSince(from, ts, limit int64) []byte {
	q := t.batches()
	for i := t.from(from); i < len(q) && q[i].next <= limit; i++ {
		if q[i].maxTs >= ts {
			return q[i].b
		}
	}
	return nil
}

// searchTime does the same in a copy of a segment.
func (l *Log) searchTime(view *segment.Segment, from, ts, limit int64) ([]byte, error) {
	if err := l.prepare(view, false); err != nil {
		return nil, err
	}
	at, err := laterMark(view, l.s.segFiles, from, ts)
	if errors.Is(err, segment.ErrIndex) {
		if err = l.prepare(view, true); err == nil {
			at, err = laterMark(view, l.s.segFiles, from, ts)
		}
	}
	if err != nil {
		return nil, err
	}
	var found []byte
	_, err = view.Walk(l.s.segFiles, at, func(_ segment.Mark, h *record.Header, batch []byte) error {
		switch {
		case h.NextOffset() > limit:
			return errFound
		case h.MaxTimestamp >= ts && h.NextOffset() > from:
			found = append([]byte(nil), batch...)
			return errFound
		}
		return nil
	})
	if errors.Is(err, errFound) {
		err = nil
	}
	return found, err
}

// laterMark is where a search for ts from an offset begins.
func laterMark(view *segment.Segment, files *segment.Files, from, ts int64) (segment.Mark, error) {
	byTime, err := view.SeekTime(files, ts)
	if err != nil {
		return byTime, err
	}
	byOffset, err := view.Seek(files, from)
	if err == nil && byOffset.Pos > byTime.Pos {
		return byOffset, nil
	}
	return byTime, err
}

// MaxTimestamp finds the highest timestamp among the batches that end at or
// below limit, and the first record that has it (Kafka's ListOffsets, -3).
func (l *Log) MaxTimestamp(limit int64) (offset, timestamp int64, ok bool, err error) {
	highest, err := l.highest(limit)
	if err != nil || highest == segment.NoTs {
		return 0, 0, false, l.wrap("find time in", err)
	}
	if offset, timestamp, ok, err = l.OffsetForTime(highest, limit); ok || err != nil {
		return offset, timestamp, ok, err
	}
	// The record that has it was trimmed, but its segment is still there.
	if highest, err = l.highestByRecord(limit); err != nil || highest == segment.NoTs {
		return 0, 0, false, l.wrap("find time in", err)
	}
	return l.OffsetForTime(highest, limit)
}

// highest is the highest timestamp below limit, by what segments and batches
// say of themselves.
func (l *Log) highest(limit int64) (int64, error) {
	highest := segment.NoTs
	l.mu.Lock()
	var partial *segment.Segment
	for _, s := range l.segs {
		if s.End.Next <= limit {
			highest = max(highest, s.End.MaxTs)
		} else if s.Base < limit {
			view := *s
			partial = &view
			break
		}
	}
	for _, b := range l.tail.batches() {
		if b.next <= limit {
			highest = max(highest, b.maxTs)
		}
	}
	l.mu.Unlock()
	if partial == nil || l.holds(partial.Base) {
		return highest, nil
	}
	if err := l.prepare(partial, false); err != nil {
		return highest, err
	}
	at, err := partial.Seek(l.s.segFiles, limit)
	if err != nil {
		at = segment.Start(partial.Base)
	}
	_, err = partial.Walk(l.s.segFiles, at, func(at segment.Mark, h *record.Header, _ []byte) error {
		highest = max(highest, at.MaxTs)
		if h.NextOffset() > limit {
			return errFound
		}
		return nil
	})
	if err != nil && !errors.Is(err, errFound) {
		return highest, l.corrupted(partial, err)
	}
	return highest, nil
}

// highestByRecord reads the batches.
func (l *Log) highestByRecord(limit int64) (int64, error) {
	highest, start := segment.NoTs, l.StartOffset()
	var r record.Reader
	err := l.Scan(context.Background(), start, func(b []byte, h record.Header) error {
		switch {
		case h.NextOffset() > limit:
			return errFound
		case h.BaseOffset >= start:
			highest = max(highest, h.MaxTimestamp)
			return nil
		}
		if _, err := r.Reset(b, maxDecompressed); err != nil {
			return err
		}
		var x record.Record
		for r.Next(&x) {
			if x.Offset >= start {
				highest = max(highest, x.Timestamp)
			}
		}
		return r.Err()
	})
	if errors.Is(err, errFound) {
		err = nil
	}
	return highest, err
}

// holds tells whether all from offset on is in memory.
func (l *Log) holds(offset int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tail.holds(offset)
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
