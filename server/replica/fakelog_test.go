package replica

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/chroniklog/chronik/storage/plog"
	"github.com/chroniklog/chronik/storage/record"
)

// fakeLog is a log in memory whose commit cycles the test drives.
type fakeLog struct {
	mu      sync.Mutex
	owner   plog.Owner
	batches []fakeBatch
	epochs  []fakeEpoch // as they began, whatever compaction has removed
	start   int64
	end     int64
	flushed int64
	hw      int64
	dirty   int // calls of MarkDirty since the last cycle
	cycles  uint64
	states  []fakeState
	saveErr error
	reads   int
	onDirty func()
}

type fakeBatch struct {
	bytes []byte
	h     record.Header
}

type fakeEpoch struct {
	epoch int32
	start int64
}

type fakeState struct {
	offset int64
	state  []byte
}

func (l *fakeLog) Bind(o plog.Owner) { l.owner = o }

func (l *fakeLog) MarkDirty() {
	l.mu.Lock()
	l.dirty++
	call := l.onDirty
	l.mu.Unlock()
	if call != nil {
		call()
	}
}

func (l *fakeLog) Append(b []byte, h record.Header) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h.BaseOffset != l.end {
		panic(fmt.Sprintf("append at %d, the end is %d", h.BaseOffset, l.end))
	}
	if err := record.CheckCRC(b); err != nil {
		panic(err)
	}
	l.batches = append(l.batches, fakeBatch{b, h})
	if n := len(l.epochs); n == 0 || l.epochs[n-1].epoch < h.LeaderEpoch {
		l.epochs = append(l.epochs, fakeEpoch{h.LeaderEpoch, h.BaseOffset})
	}
	l.end = h.NextOffset()
}

func (l *fakeLog) get(p *int64) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return *p
}

func (l *fakeLog) StartOffset() int64   { return l.get(&l.start) }
func (l *fakeLog) EndOffset() int64     { return l.get(&l.end) }
func (l *fakeLog) FlushedOffset() int64 { return l.get(&l.flushed) }

func (l *fakeLog) Read(from, limit int64, maxBytes int) (out []byte, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reads++
	if from < l.start {
		return nil, fmt.Errorf("offset %d is trimmed", from)
	}
	for _, b := range l.batches {
		if b.h.NextOffset() <= from {
			continue
		}
		if b.h.NextOffset() > limit || len(out) > 0 && len(out)+len(b.bytes) > maxBytes {
			break
		}
		out = append(out, b.bytes...)
	}
	return out, nil
}

func (l *fakeLog) OffsetForTime(ts, limit int64) (int64, int64, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var (
		reader record.Reader
		rec    record.Record
	)
	for _, b := range l.batches {
		if _, err := reader.Reset(b.bytes, 0); err != nil {
			return 0, 0, false, err
		}
		for reader.Next(&rec) {
			if rec.Offset < limit && rec.Timestamp >= ts {
				return rec.Offset, rec.Timestamp, true, nil
			}
		}
	}
	return 0, 0, false, nil
}

func (l *fakeLog) EpochEnd(epoch int32) (int32, int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	found, end := int32(-1), l.start
	for i, e := range l.epochs {
		if e.epoch > epoch {
			break
		}
		found, end = e.epoch, l.end
		if i+1 < len(l.epochs) {
			end = l.epochs[i+1].start
		}
	}
	return found, end
}

func (l *fakeLog) EpochAt(offset int64) int32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	found := int32(-1)
	for _, e := range l.epochs {
		if e.start <= offset && offset < l.end {
			found = e.epoch
		}
	}
	return found
}

func (l *fakeLog) LastEpoch() int32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.epochs) == 0 {
		return -1
	}
	return l.epochs[len(l.epochs)-1].epoch
}

func (l *fakeLog) Trim(_ context.Context, before int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.start = max(l.start, before)
	l.batches = slices.DeleteFunc(l.batches, func(b fakeBatch) bool { return b.h.NextOffset() <= l.start })
	for len(l.epochs) > 1 && l.epochs[1].start <= l.start {
		l.epochs = l.epochs[1:]
	}
	return nil
}

// compact removes one of the batches that end at or below the watermark's hint.
func (l *fakeLog) compact(pick func(n int) int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for n < len(l.batches) && l.batches[n].h.NextOffset() <= l.hw {
		n++
	}
	if n > 0 {
		i := pick(n)
		l.batches = slices.Delete(l.batches, i, i+1)
	}
}

func (l *fakeLog) Truncate(_ context.Context, to int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut(to)
	return nil
}

func (l *fakeLog) cut(to int64) {
	if to >= l.end {
		return
	}
	for _, b := range l.batches { // to the boundary of a batch
		if b.h.BaseOffset < to && b.h.NextOffset() > to {
			to = b.h.BaseOffset
		}
	}
	l.batches = slices.DeleteFunc(l.batches, func(b fakeBatch) bool { return b.h.NextOffset() > to })
	l.epochs = slices.DeleteFunc(l.epochs, func(e fakeEpoch) bool { return e.start >= to })
	l.end = max(l.start, to)
	l.flushed = min(l.flushed, l.end)
	l.states = slices.DeleteFunc(l.states, func(s fakeState) bool { return s.offset > to })
}

func (l *fakeLog) Reset(_ context.Context, start int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.batches, l.epochs, l.states = nil, nil, nil
	l.start, l.end, l.flushed = start, start, start
	return nil
}

func (l *fakeLog) SetHighWatermark(hw int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hw = hw
}

func (l *fakeLog) SaveState(offset int64, state []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.saveErr != nil {
		return l.saveErr
	}
	l.states = append(l.states, fakeState{offset, state})
	return nil
}

func (l *fakeLog) LoadState(atMost int64) (int64, []byte, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := len(l.states) - 1; i >= 0; i-- {
		if l.states[i].offset <= atMost {
			return l.states[i].offset, l.states[i].state, true, nil
		}
	}
	return 0, nil, false, nil
}

func (l *fakeLog) Scan(_ context.Context, from int64, fn func([]byte, record.Header) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range l.batches {
		if b.h.NextOffset() > from {
			if err := fn(b.bytes, b.h); err != nil {
				return err
			}
		}
	}
	return nil
}

// seal begins a commit cycle and returns the end that it will sync.
func (l *fakeLog) seal() int64 {
	l.mu.Lock()
	l.dirty = 0
	l.mu.Unlock()
	l.owner.Seal()
	return l.EndOffset()
}

// sync ends a commit cycle that syncs up to end.
func (l *fakeLog) sync(end int64) {
	l.mu.Lock()
	l.flushed = max(l.flushed, end)
	l.cycles++
	c := &plog.Cycle{ID: l.cycles, Start: time.Unix(0, 0), End: time.Unix(0, int64(time.Millisecond))}
	l.mu.Unlock()
	l.owner.Flushed(end, c)
}

// cycle is a whole commit cycle.
func (l *fakeLog) cycle() { l.sync(l.seal()) }

// crash is the log as a restart finds it after power loss.
func (l *fakeLog) crash() *fakeLog {
	l.mu.Lock()
	defer l.mu.Unlock()
	again := &fakeLog{
		batches: slices.Clone(l.batches), epochs: slices.Clone(l.epochs), start: l.start, end: l.end, flushed: l.flushed,
		states: slices.Clone(l.states), hw: l.hw,
	}
	again.cut(l.flushed)
	return again
}
