package replica

import (
	"context"
	"fmt"

	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/storage/record"
)

// Point is where a log ended at one moment.
type Point struct {
	LogStart, End int64
	LeaderEpoch   int32 // no batch below End is of a later one
	// State is what derives from the log up to End (producers, idempotency
	// keys, the fence), nil if nothing does. It outlives trimming and
	// compaction: the batches need not tell all of it.
	State []byte
}

// Point returns where this leader's log ends, once that is committed: what is
// below never changes.
func (r *Replica) Point(ctx context.Context) (Point, error) {
	r.mu.Lock()
	if err := r.mayLead(); err != nil {
		r.mu.Unlock()
		return Point{}, r.wrap("find the end of", err)
	}
	r.seal() // it ends where a batch does
	p := Point{LogStart: r.log.StartOffset(), End: r.st.End(), LeaderEpoch: r.st.LeaderEpoch()}
	var sn *partition.Snapshot
	if r.st.HasDerived() {
		sn = r.st.Snapshot(r.nowMs())
	}
	var g *gate
	var passed <-chan struct{} = opened
	if p.End > r.st.HighWatermark() {
		g = r.gateAt(p.End)
		passed = g.committedCh()
	}
	r.mu.Unlock()
	select {
	case <-passed:
	case <-ctx.Done():
		return Point{}, r.wrap("find the end of", context.Cause(ctx))
	}
	if g != nil && g.commitErr != nil {
		return Point{}, r.wrap("find the end of", fmt.Errorf("%w: %v", partition.ErrNotLeader, g.commitErr))
	}
	if sn != nil {
		p.State = sn.Encode()
	}
	return p, nil
}

// mayLead is nil while appends are taken; under mu.
func (r *Replica) mayLead() error {
	if r.down != nil {
		return r.down
	}
	return r.st.Leading(r.st.LeaderEpoch())
}

// BeginRestore prepares an empty log for batches from start on, which a backup
// has instead of a leader, and takes the state that was saved with them, nil if
// there is none. It returns where the log ends: repeated, after an interruption,
// it leaves the log as it is, and the restore goes on there. The replica must
// be in the given epoch, which nobody leads: partition.ErrStaleLeaderEpoch,
// ErrUnknownLeaderEpoch.
func (r *Replica) BeginRestore(ctx context.Context, epoch int32, start int64, state []byte) (end int64, err error) {
	if end, err = r.restored(epoch); err != nil {
		return 0, err
	}
	switch {
	case end > 0 && end < start:
		return 0, r.wrap("restore", &partition.OffsetConflictError{Expected: start, Current: end})
	case end < start:
		if err := r.Reset(ctx, epoch, start); err != nil {
			return 0, err
		}
	}
	if len(state) == 0 && start > 0 {
		// The followers' logs begin with a saved state, too. One that is saved
		// later waits for the watermark, and that for them.
		st := partition.New(r.opts.Node, r.opts.Config, r.opts.Limits)
		st.ResetDerived(start)
		state = st.Snapshot(r.nowMs()).Encode()
	}
	if len(state) > 0 {
		if err := r.TakeState(ctx, epoch, state); err != nil {
			return 0, err
		}
	}
	return r.restored(epoch)
}

// Restore appends batches of a backup as a follower appends its leader's, and
// returns where the log ends once they are on disk. partition.OffsetConflictError
// if they do not follow its end; those that it has already are passed over.
func (r *Replica) Restore(ctx context.Context, epoch int32, batches []byte) (end int64, err error) {
	if end, err = r.restored(epoch); err != nil {
		return 0, err
	}
	if h, err := record.ParseHeader(batches); err != nil {
		return 0, r.wrap("restore", err)
	} else if h.BaseOffset > end {
		return 0, r.wrap("restore", &partition.OffsetConflictError{Expected: h.BaseOffset, Current: end})
	}
	// Without a watermark: nothing is compacted or deleted before it is led.
	if err := r.Follow(ctx, epoch, partition.FetchAnswer{}, batches); err != nil {
		return 0, err
	}
	r.mu.Lock()
	end = r.log.EndOffset()
	var g *gate
	var synced <-chan struct{} = opened
	if end > r.st.FlushedEnd() {
		g = r.gates.at(end)
		synced = g.flushedCh()
	}
	r.mu.Unlock()
	select {
	case <-synced:
	case <-ctx.Done():
		return 0, r.wrap("restore", fmt.Errorf("%w: %v", partition.ErrOutcomeUnknown, context.Cause(ctx)))
	}
	if g != nil && g.flushErr != nil {
		return 0, r.wrap("restore", fmt.Errorf("%w: %v", partition.ErrOutcomeUnknown, g.flushErr))
	}
	return end, nil
}

// restored is where the log of a partition that nobody leads ends.
func (r *Replica) restored(epoch int32) (int64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.mayFollow(epoch)
	if err == nil && r.st.Leader() != 0 {
		err = partition.ErrStaleLeaderEpoch
	}
	if err != nil {
		return 0, r.wrap("restore", err)
	}
	return r.log.EndOffset(), nil
}
