package plog

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/chroniklog/chronik/storage/record"
	"github.com/chroniklog/chronik/storage/segment"
)

// Log is one partition's log. Its methods may be called from many goroutines,
// but Append, Truncate and Reset are for its one owner.
type Log struct {
	s           *Store
	id          ID
	incarnation uint32

	dirty atomic.Bool // in the store's list for the next cycle
	// Copies of what mu guards, for readers without the lock.
	start, end, flushed atomic.Int64
	hw                  atomic.Int64

	// io orders what changes the log's files: the background writer, direct
	// writes, truncation, retention, compaction. It is taken before mu.
	io sync.Mutex

	stateMu    sync.Mutex // orders work on the snapshots' files; taken before mu
	stateNames bool       // some were removed, not durably yet; guarded by stateMu

	mu      sync.Mutex // guards what follows; never held over I/O
	owner   Owner
	cfg     Config
	claimed bool   // Create was called since the store was opened
	gone    error  // ErrDeleted, or why the log can't be used
	removed uint64 // LSN of the frame that deleted it
	wreck   bool   // it was corrupt when it was deleted: its files are put away
	tail    tail
	staged  int64 // bytes at or above taken
	taken   int64 // batches below it are on disk, or in a cycle under way
	pending int64 // bytes of the tail that are not in segments
	epochs  epochs
	segs    []*segment.Segment // oldest first; each begins where the one before ends
	empty   int64              // where the first segment begins if there is none
	direct  bool               // a direct write is under way
	// inflight is the LSN of the first frame of a direct write under way; 0:
	// there is none.
	inflight uint64
	gen      uint64     // counts truncations and resets
	cleaned  int64      // compaction has seen the offsets below
	states   []stateRef // snapshots on disk, by age
}

// ID names the log.
func (l *Log) ID() ID { return l.id }

// Incarnation is the life of this replica, as Create was told.
func (l *Log) Incarnation() uint32 { return l.incarnation }

// Bind makes o the owner, who feeds the log and is told when bytes are on
// disk.
func (l *Log) Bind(o Owner) {
	l.mu.Lock()
	l.owner = o
	l.mu.Unlock()
}

// SetConfig takes a changed configuration.
func (l *Log) SetConfig(cfg Config) {
	l.mu.Lock()
	l.cfg = cfg
	l.mu.Unlock()
}

// StartOffset is the first offset that can be read.
func (l *Log) StartOffset() int64 { return l.start.Load() }

// EndOffset is the offset that the next batch gets; what is below it may be in
// memory only.
func (l *Log) EndOffset() int64 { return l.end.Load() }

// FlushedOffset is the end of what is on disk.
func (l *Log) FlushedOffset() int64 { return l.flushed.Load() }

// SetHighWatermark tells how far the log is committed. Retention and
// compaction stay below it. It is a hint that is kept with the next
// checkpoint.
func (l *Log) SetHighWatermark(hw int64) { l.hw.Store(hw) }

// HighWatermark is the last one that was set, or kept from before a restart.
func (l *Log) HighWatermark() int64 { return l.hw.Load() }

// MarkDirty makes the next commit cycle call the owner's Seal and write what
// it appends. It is cheap and may be called any number of times. The cycle
// starts as soon as the last one has ended; there is no timer.
func (l *Log) MarkDirty() {
	if l.dirty.Load() || l.dirty.Swap(true) {
		return
	}
	l.s.enqueue(l)
}

// Append puts a batch at the log's end, in memory: Read sees it at once, and
// it is written by the cycle that MarkDirty causes. h must be the batch's
// header; its base offset must be EndOffset, and its size at most
// Store.MaxBatchBytes. The log owns batch from the call on. Calls must not
// overlap; the owner's lock sees to that.
func (l *Log) Append(batch []byte, h record.Header) {
	if len(batch) > l.s.MaxBatchBytes() || h.Size() != len(batch) {
		panic(fmt.Sprintf("plog: log %s: batch of %d bytes, header says %d, limit is %d",
			l.id, len(batch), h.Size(), l.s.MaxBatchBytes()))
	}
	l.mu.Lock()
	if l.gone != nil { // the owner has been told, or is about to be
		l.mu.Unlock()
		return
	}
	if end := l.end.Load(); h.BaseOffset != end || h.NextOffset() <= end {
		l.mu.Unlock()
		panic(fmt.Sprintf("plog: log %s ends at %d, batch has offsets %d to %d", l.id, end, h.BaseOffset, h.LastOffset()))
	}
	l.push(batch, &h)
	l.staged += int64(len(batch))
	l.mu.Unlock()
}

// push puts a batch at the end. Under mu.
func (l *Log) push(b []byte, h *record.Header) {
	l.tail.push(b, h)
	l.epochs.add(h.LeaderEpoch, h.BaseOffset)
	l.pending += int64(len(b))
	l.s.unwritten.Add(int64(len(b)))
	l.s.cached.Add(cost(len(b), 1))
	l.end.Store(h.NextOffset())
}

// EpochEnd answers a follower that asks where an epoch ended (KIP-101,
// OffsetForLeaderEpoch): the largest epoch of this log that is not above the
// one asked for, and the offset after its last batch. An epoch before the
// log's first one ended where that began. -1, -1: the log has no batch, or the
// epoch is newer than all of its batches.
func (l *Log) EpochEnd(epoch int32) (foundEpoch int32, endOffset int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.epochs.end(epoch, l.start.Load(), l.end.Load())
}

// EpochAt is the leader epoch that the record at an offset was appended in, -1
// if the log doesn't have it. Where compaction has removed the record, it is
// that of those around it.
func (l *Log) EpochAt(offset int64) int32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if offset < l.start.Load() || offset >= l.end.Load() {
		return -1
	}
	return l.epochs.at(offset)
}

// LastEpoch is the leader epoch of the last batch, -1 if there is none.
func (l *Log) LastEpoch() int32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.epochs); n > 0 {
		return l.epochs[n-1].epoch
	}
	return -1
}

// usable is why the log can't be used, or nil.
func (l *Log) usable() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.gone
}
