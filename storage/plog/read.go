package plog

import (
	"context"
	"fmt"
	"sync"

	"github.com/chroniklog/chronik/storage/record"
)

// slices are lists of batches that readers collect under the lock.
var slicePool = sync.Pool{New: func() any { return new([][]byte) }}

// Read returns whole batches, concatenated, from the one that holds from on
// (which may begin before it): as many as fit in maxBytes, but at least one if
// there is any, and only those that end at or below limit. It returns nothing
// when from is at limit or at the end. The bytes may be shared: they must not
// be changed. ErrTrimmed, ErrBeyondEnd, ErrCorrupt.
func (l *Log) Read(from, limit int64, maxBytes int) ([]byte, error) {
	list := slicePool.Get().(*[][]byte)
	defer slicePool.Put(list)
	l.mu.Lock()
	if err := l.checkRange(from); err != nil {
		l.mu.Unlock()
		return nil, l.wrap("read", err)
	}
	var total int
	*list, total = l.tail.collect((*list)[:0], from, limit, maxBytes)
	l.mu.Unlock()
	b := join(*list, total)
	clear(*list)
	return b, nil
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

// collect appends to list the batches that Read returns.
func (t *tail) collect(list [][]byte, from, limit int64, maxBytes int) (_ [][]byte, total int) {
	q := t.batches()
	for i := t.from(from); i < len(q) && q[i].next <= limit; i++ {
		if n := len(q[i].b); total > 0 && total+n > maxBytes {
			break
		} else {
			total += n
		}
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

// Scan calls fn for each batch from the one that holds from to the end of the
// log. The batch must not be changed, nor kept after fn returned. An error of
// fn ends it.
func (l *Log) Scan(ctx context.Context, from int64, fn func(batch []byte, h record.Header) error) error {
	for {
		if err := context.Cause(ctx); err != nil {
			return l.wrap("scan", err)
		}
		b, err := l.Read(from, l.EndOffset(), scanBytes)
		if err != nil {
			return err
		}
		if len(b) == 0 {
			return nil
		}
		for len(b) > 0 {
			one, rest, err := record.Split(b)
			if err != nil {
				return l.wrap("scan", fmt.Errorf("%w: %w", ErrCorrupt, err))
			}
			h, err := record.ParseHeader(one)
			if err != nil {
				return l.wrap("scan", fmt.Errorf("%w: %w", ErrCorrupt, err))
			}
			if err := fn(one, h); err != nil {
				return err
			}
			from, b = h.NextOffset(), rest
		}
	}
}
