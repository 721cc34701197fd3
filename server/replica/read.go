package replica

import (
	"context"

	"github.com/chroniklog/chronik/server/partition"
)

// Offsets describes the log as this node knows it. A leader whose watermark
// has not reached its epoch's start does not know the committed end yet: ask
// TailKnown before answering "latest".
func (r *Replica) Offsets() partition.Offsets {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.offsets()
}

func (r *Replica) offsets() partition.Offsets {
	r.st.SetLogStart(r.log.StartOffset())
	return r.st.Offsets()
}

// TailKnown is nil when this node leads and knows where the committed log
// ends; else partition.ErrNotLeader or ErrOffsetNotAvailable.
func (r *Replica) TailKnown() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.st.TailKnown()
}

// Read returns whole batches from offset from on, of maxBytes at most but one
// batch at least where there is one; the first may begin before from. The
// bytes are read-only and stay valid. None with a nil error means that there
// is nothing to see yet.
//
// Errors: partition.ErrNotLeader, ErrOffsetTrimmed, ErrOffsetBeyondEnd,
// ErrOffsetNotAvailable, ErrClosed at the end of what a closed replica has, and
// those of the log.
func (r *Replica) Read(from int64, maxBytes int, iso partition.Isolation) ([]byte, partition.Offsets, error) {
	r.mu.Lock()
	offs := r.offsets()
	limit, err := r.st.ReadEnd(from)
	if r.down != nil && err == nil && from >= limit {
		err = r.down // nothing will come any more: who waits must not wait on
	}
	r.mu.Unlock()
	if err != nil {
		return nil, offs, err
	}
	if iso == partition.ReadCommitted {
		limit = min(limit, offs.LastStable)
	}
	if from >= limit {
		return nil, offs, nil
	}
	batches, err := r.log.Read(from, limit, maxBytes)
	if err != nil {
		if start := r.log.StartOffset(); start > from { // trimmed meanwhile
			return nil, offs, &partition.OffsetTrimmedError{Offset: from, LogStart: start}
		}
		return nil, offs, r.wrap("read", err)
	}
	return batches, offs, nil
}

// OffsetForTime finds the first record below the high watermark whose
// timestamp is ts (Unix milliseconds) or later; ok is false if there is none.
// Errors are those of Read, by offset, except that a new leader which finds
// none says ErrOffsetNotAvailable.
func (r *Replica) OffsetForTime(ts int64) (offset, timestamp int64, ok bool, err error) {
	r.mu.Lock()
	offs := r.offsets()
	_, err = r.st.ReadEnd(offs.LogStart)
	tail := r.st.TailKnown()
	r.mu.Unlock()
	if err != nil {
		return 0, 0, false, err
	}
	offset, timestamp, ok, err = r.log.OffsetForTime(ts, offs.HighWatermark)
	if err != nil {
		return 0, 0, false, r.wrap("offset for time", err)
	}
	if !ok && tail != nil {
		return 0, 0, false, tail
	}
	return offset, timestamp, ok, nil
}

// Trim deletes the records below before, NoOffset meaning all that are
// committed, and returns where the log starts then. Whole segments go; the
// first batch left may begin before. It returns once the deletion is durable.
func (r *Replica) Trim(ctx context.Context, before int64) (logStart int64, err error) {
	r.mu.Lock()
	offs := r.offsets()
	err = r.st.TailKnown()
	if before == partition.NoOffset {
		before = offs.HighWatermark
	}
	if err == nil && before > offs.HighWatermark {
		err = &partition.OffsetBeyondEndError{Offset: before, HighWatermark: offs.HighWatermark}
	}
	if r.down != nil {
		err = r.down
	}
	r.mu.Unlock()
	if err != nil || before <= offs.LogStart {
		return offs.LogStart, err
	}
	if err := r.trim(ctx, before); err != nil {
		return offs.LogStart, err
	}
	r.changed()
	return r.Offsets().LogStart, nil
}

// trim removes the records below before from the log, once a snapshot has what
// they mean.
func (r *Replica) trim(ctx context.Context, before int64) error {
	r.mu.Lock()
	save := r.st.HasDerived() && r.snap.saved < before
	r.mu.Unlock()
	if save {
		if err := r.snapshot(ctx); err != nil {
			return r.wrap("snapshot before trim", err)
		}
	}
	if err := r.log.Trim(ctx, before); err != nil {
		return r.wrap("trim", err)
	}
	r.mu.Lock()
	r.st.SetLogStart(r.log.StartOffset())
	r.mu.Unlock()
	return nil
}
