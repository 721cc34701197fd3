package plog

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/chroniklog/chronik/storage/record"
	"github.com/chroniklog/chronik/storage/segment"
)

// slicePool has lists for the batches that readers collect under the lock.
var slicePool = sync.Pool{New: func() any { return new([][]byte) }}

// Read returns whole batches, concatenated, from the one that holds from
// (which may begin before it), or the first after it where compaction has left
// a hole: as many as fit in maxBytes, but at least one if there is any, and
// only those that end at or below limit. It returns nothing when there is
// nothing between from and limit, or the log's end. The bytes may be shared:
// they must not be changed. ErrTrimmed, ErrBeyondEnd, ErrCorrupt, ErrDeleted.
func (l *Log) Read(from, limit int64, maxBytes int) ([]byte, error) {
	list := slicePool.Get().(*[][]byte)
	defer slicePool.Put(list)
	for {
		l.mu.Lock()
		if err := l.checkRange(from); err != nil {
			l.mu.Unlock()
			return nil, l.wrap("read", err)
		}
		if l.tail.holds(from) || from >= min(limit, l.end.Load()) {
			var total int
			*list, total = l.tail.collect((*list)[:0], from, limit, maxBytes)
			l.mu.Unlock()
			b := join(*list, total)
			clear(*list)
			return b, nil
		}
		view, ok := l.find(from)
		gen := l.gen
		l.mu.Unlock()
		if !ok {
			panic(fmt.Sprintf("plog: log %s: offset %d is neither in memory nor in a segment", l.id, from))
		}
		b, err := l.readSegment(&view, from, limit, maxBytes)
		if l.changed(&view, gen) {
			continue
		}
		if err != nil {
			return nil, l.wrap("read", l.corrupted(&view, err))
		}
		if len(b) > 0 || view.End.Next >= limit {
			return b, nil
		}
		if !view.Sparse {
			return nil, nil // the next batch reaches beyond limit
		}
		from = view.End.Next // the rest of this segment was compacted away
	}
}

// checkRange tells whether from is a place in the log. Under mu.
func (l *Log) checkRange(from int64) error {
	switch start, end := l.start.Load(), l.end.Load(); {
	case l.gone != nil:
		return l.gone
	case from < start:
		return fmt.Errorf("%w: %d, the start is %d", ErrTrimmed, from, start)
	case from > end:
		return fmt.Errorf("%w: %d, the end is %d", ErrBeyondEnd, from, end)
	}
	return nil
}

// readSegment reads from a copy of a segment, whose index it repairs if need
// be: the copy's too.
func (l *Log) readSegment(view *segment.Segment, from, limit int64, maxBytes int) ([]byte, error) {
	if err := l.prepare(view, false); err != nil {
		return nil, err
	}
	b, err := view.Read(l.s.segFiles, from, limit, maxBytes)
	if errors.Is(err, segment.ErrIndex) {
		if err := l.prepare(view, true); err != nil {
			return nil, err
		}
		b, err = view.Read(l.s.segFiles, from, limit, maxBytes)
	}
	return b, err
}

// prepare completes the index of a copy of a segment, or, anew, replaces it.
// A segment that the log has let go of meanwhile is left as it is.
func (l *Log) prepare(view *segment.Segment, anew bool) error {
	if view.Index.Ready && !anew {
		return nil
	}
	l.io.Lock()
	defer l.io.Unlock()
	l.mu.Lock()
	seg := l.original(view)
	same := seg != nil && seg.Index.Name == view.Index.Name
	l.mu.Unlock()
	if seg == nil {
		return nil
	}
	var err error
	if anew && same {
		err = l.reindex(seg)
	} else {
		err = l.ready(seg)
	}
	if err != nil {
		return err
	}
	l.mu.Lock()
	view.Index, view.End = seg.Index, seg.End
	l.mu.Unlock()
	return nil
}

// changed tells whether what was read from a copy of a segment can't be
// believed: the log was cut, or doesn't have that file any more.
func (l *Log) changed(view *segment.Segment, gen uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.gen != gen || l.original(view) == nil
}

// collect appends to list the batches that Read returns.
func (t *tail) collect(list [][]byte, from, limit int64, maxBytes int) (_ [][]byte, total int) {
	q := t.batches()
	for i := t.from(from); i < len(q) && q[i].next <= limit; i++ {
		n := len(q[i].b)
		if total > 0 && total+n > maxBytes {
			break
		}
		total += n
		list = append(list, q[i].b)
	}
	return list, total
}

// join concatenates; a single slice is returned as it is.
func join(list [][]byte, total int) []byte {
	if len(list) == 1 {
		return list[0]
	}
	if total == 0 {
		return nil
	}
	b := make([]byte, 0, total)
	for _, x := range list {
		b = append(b, x...)
	}
	return b
}

// scanBytes is how much Scan reads at a time.
const scanBytes = 1 << 20

// Scan calls fn for each batch from the one that holds from to the end that
// the log has when Scan begins. The batch must not be changed, nor kept after
// fn returned. An error of fn ends it.
func (l *Log) Scan(ctx context.Context, from int64, fn func(batch []byte, h record.Header) error) error {
	end := l.EndOffset()
	for from < end {
		if err := context.Cause(ctx); err != nil {
			return l.wrap("scan", err)
		}
		b, err := l.Read(from, end, scanBytes)
		if err != nil {
			return err
		}
		if len(b) == 0 {
			return nil
		}
		for len(b) > 0 {
			h, err := record.ParseHeader(b)
			if err != nil || h.Size() > len(b) {
				return l.wrap("scan", fmt.Errorf("%w: at offset %d: %v", ErrCorrupt, from, err))
			}
			if err := fn(b[:h.Size()], h); err != nil {
				return err
			}
			from, b = h.NextOffset(), b[h.Size():]
		}
	}
	return nil
}

// SegmentInfo describes a segment.
type SegmentInfo struct {
	Base, Next   int64 // offsets from Base, below Next
	Bytes        int64
	MaxTimestamp int64 // Unix milliseconds; -1: no batch
	Sealed       bool
	Compacted    bool
}

// Segments lists the log's segments, oldest first. What is not yet written to
// one is not among them.
func (l *Log) Segments() []SegmentInfo {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]SegmentInfo, 0, len(l.segs))
	for _, s := range l.segs {
		list = append(list, SegmentInfo{
			Base: s.Base, Next: s.End.Next, Bytes: s.End.Pos, MaxTimestamp: max(s.End.MaxTs, -1),
			Sealed: s.Sealed, Compacted: s.Sparse,
		})
	}
	return list
}

// Size is the log's size in bytes: its segments, and what is not yet in one.
func (l *Log) Size() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.size()
}

func (l *Log) size() int64 {
	n := l.pending
	for _, s := range l.segs {
		n += s.End.Pos
	}
	return n
}
