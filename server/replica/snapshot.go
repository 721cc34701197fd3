package replica

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/storage/record"
)

// worthwhile is how much must have been appended since the last snapshot for
// one to be saved on Close: less is scanned faster than saved.
const worthwhile = 1 << 20

// snapshots is the care for the derived state.
type snapshots struct {
	saved  int64 // offset of the last snapshot saved
	hinted int64 // watermark that the log was told
	grown  int64 // bytes appended since it was taken
	taking bool  // one is being taken in the background
	owed   int64 // the leader's log start, where this log is trimmed to once one is saved
	timer  *time.Timer
}

// disarm stops the timer, for good if the replica is down.
func (s *snapshots) disarm() {
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
}

// derive makes the state that the log's last snapshot and what follows it
// tell. saved is the offset that the snapshot holds for.
func (r *Replica) derive(ctx context.Context) (st *partition.State, saved int64, err error) {
	st = partition.New(r.opts.Node, r.opts.Config, r.opts.Limits)
	start, end := r.log.StartOffset(), r.log.EndOffset()
	from, state, ok, err := r.log.LoadState(end)
	if err != nil {
		return nil, 0, fmt.Errorf("load state: %w", err)
	}
	if ok {
		// A leader's state is of an offset that this log may have yet to reach.
		if err = st.Restore(state); err == nil && st.End() < from {
			err = fmt.Errorf("%w: of offset %d, saved as %d", partition.ErrSnapshot, st.End(), from)
		}
		if err != nil {
			return nil, 0, fmt.Errorf("state at %d: %w", from, err)
		}
		from = st.End()
	} else {
		st.ResetDerived(start)
		from = start
	}
	now := r.nowMs()
	var reader record.Reader
	err = r.log.Scan(ctx, min(max(start, from), end), func(batch []byte, h record.Header) error {
		return st.Replay(now, batch, &h, &reader, r.opts.MaxDecompressed)
	})
	if err != nil {
		return nil, 0, fmt.Errorf("replay from %d: %w", max(start, from), err)
	}
	st.Replayed(end)
	return st, from, nil
}

// hintWatermark tells the log up to where it may compact and delete: not
// beyond the last snapshot, as long as there is something to remember.
func (r *Replica) hintWatermark() {
	hw := r.st.HighWatermark()
	if r.snap.saved < hw && r.st.HasDerived() {
		hw = r.snap.saved
	}
	if hw > r.snap.hinted { // what derives from the log began above the last hint
		r.snap.hinted = hw
		r.log.SetHighWatermark(hw)
	}
}

// snapshotIfDue starts a snapshot, or the timer of the next one.
func (r *Replica) snapshotIfDue() {
	s := &r.snap
	if s.taking || r.down != nil || r.st.Ahead() {
		return
	}
	if s.grown >= r.opts.SnapshotBytes {
		r.snapshotNow()
		return
	}
	if s.timer == nil && s.grown > 0 && r.st.HasDerived() {
		s.timer = time.AfterFunc(r.opts.SnapshotInterval, r.timedSnapshot)
	}
}

// snapshotNow starts a snapshot in the background, unless one is being taken.
func (r *Replica) snapshotNow() {
	if r.snap.taking || r.down != nil {
		return
	}
	r.snap.taking = true
	r.wg.Add(1)
	r.opts.Go(r.background)
}

// timedSnapshot runs on the timer's goroutine.
func (r *Replica) timedSnapshot() {
	r.mu.Lock()
	r.snap.timer = nil
	if r.snap.taking || r.down != nil {
		r.mu.Unlock()
		return
	}
	r.snap.taking = true
	r.wg.Add(1)
	r.mu.Unlock()
	r.background()
}

// background takes a snapshot, and trims what waited for it.
func (r *Replica) background() {
	defer r.wg.Done()
	err := r.snapshot(r.ctx)
	for to := int64(0); err == nil && r.owes(&to); {
		err = r.trim(r.ctx, to) // it takes a snapshot if the last one is too old
		r.changed()
	}
	if err == nil {
		return
	}
	r.mu.Lock()
	r.snap.taking = false
	r.mu.Unlock()
	if r.ctx.Err() == nil && !errors.Is(err, partition.ErrNotLeader) {
		r.opts.Logger.Warn("partition state not saved",
			"topic", r.opts.Topic, "partition", r.opts.ID.Partition, "error", err)
	}
}

// owes tells whether this log is to be trimmed to where the leader's starts, if
// that waited for a snapshot. If not, another one may be taken from then on.
func (r *Replica) owes(to *int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	*to, r.snap.owed = r.snap.owed, 0
	r.snap.taking = *to > r.log.StartOffset() && r.down == nil && !r.repairing
	return r.snap.taking
}

// snapshot copies the derived state, waits until the watermark has passed it,
// and saves it.
func (r *Replica) snapshot(ctx context.Context) error {
	r.mu.Lock()
	if r.st.Ahead() { // the one that is saved is of a later offset
		r.mu.Unlock()
		return nil
	}
	r.seal() // a snapshot ends where a batch ends
	sn := r.st.Snapshot(r.nowMs())
	r.snap.grown = 0
	r.snap.disarm()
	var g *gate
	var passed <-chan struct{} = opened
	if sn.Offset() > r.st.HighWatermark() {
		g = r.gateAt(sn.Offset())
		passed = g.committedCh()
	}
	r.mu.Unlock()

	state := sn.Encode()
	select {
	case <-passed:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if g != nil && g.commitErr != nil {
		return fmt.Errorf("%w: %v", partition.ErrNotLeader, g.commitErr)
	}
	return r.save(sn.Offset(), state)
}

func (r *Replica) save(offset int64, state []byte) error {
	if err := r.log.SaveState(offset, state); err != nil {
		return fmt.Errorf("save state at %d: %w", offset, err)
	}
	r.mu.Lock()
	r.snap.saved = max(r.snap.saved, offset)
	r.hintWatermark()
	r.mu.Unlock()
	return nil
}

// finalSnapshot saves the state of a replica that takes no appends any more,
// if that is possible and spares the next start a scan.
func (r *Replica) finalSnapshot() error {
	r.mu.Lock()
	if r.st.HighWatermark() < r.st.End() || r.snap.grown < worthwhile || r.st.Ahead() {
		r.mu.Unlock()
		return nil
	}
	sn := r.st.Snapshot(r.nowMs())
	r.snap.grown = 0
	r.mu.Unlock()
	return r.save(sn.Offset(), sn.Encode())
}
