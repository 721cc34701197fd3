package replica

import (
	"context"
	"errors"
	"fmt"

	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/storage/record"
)

// errRepair is why nothing that was known of a follower's log end counts
// after it was cut.
var errRepair = errors.New("the log was cut to follow its leader")

// ErrGap: batches from the leader that do not follow the end of this log.
var ErrGap = errors.New("batches do not follow the end of the log")

// Position is where a follower's log ends.
type Position struct {
	LeaderEpoch int32
	Offset      int64 // in memory: what it wants next
	Flushed     int64 // on disk
	LastEpoch   int32 // of its last batch, -1 if it has none
}

// Position is where this follower's log ends; ok is false while there is
// nothing to fetch: this node leads, or nobody does, or the log is being cut.
func (r *Replica) Position() (p Position, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down != nil || r.repairing || r.st.Role() != partition.RoleFollower || r.st.Leader() == 0 {
		return Position{}, false
	}
	return Position{
		LeaderEpoch: r.st.LeaderEpoch(), Offset: r.log.EndOffset(),
		Flushed: r.log.FlushedOffset(), LastEpoch: r.log.LastEpoch(),
	}, true
}

// Follow appends the leader's batches, which it may keep, and takes the
// leader's watermark and log start. It blocks while too much is staged.
// Errors: ErrStaleLeaderEpoch, ErrUnknownLeaderEpoch, ErrGap, and those of a
// damaged batch; what came before the fault is appended.
func (r *Replica) Follow(ctx context.Context, epoch int32, a partition.FetchAnswer, batches []byte) error {
	for rest := batches; len(rest) > 0; {
		var (
			batch []byte
			err   error
		)
		if batch, rest, err = record.Split(rest); err == nil {
			err = record.CheckCRC(batch)
		}
		if err == nil {
			err = r.followBatch(ctx, epoch, batch)
		}
		if err != nil {
			return r.wrap("follow", err)
		}
	}
	r.mu.Lock()
	err := r.mayFollow(epoch)
	var woken wake
	moved := false
	if err == nil {
		moved = r.st.Followed(&a)
		woken = r.advanced(moved)
	}
	trim := err == nil && a.LogStart > r.log.StartOffset() && a.LogStart <= r.st.HighWatermark()
	if trim && r.snap.saved < a.LogStart && r.st.HasDerived() {
		// The snapshot waits for a watermark that later answers bring: not
		// here. Who takes it trims, for there may be no answer after those.
		trim = false
		r.snap.owed = a.LogStart
		r.snapshotNow()
	}
	r.mu.Unlock()
	woken.open()
	if err != nil {
		return r.wrap("follow", err)
	}
	if trim {
		err = r.trim(ctx, a.LogStart)
	}
	if moved || trim {
		r.changed()
	}
	return err
}

func (r *Replica) mayFollow(epoch int32) error {
	if r.down != nil {
		return r.down
	}
	if r.repairing {
		return partition.ErrStaleLeaderEpoch
	}
	return r.st.Following(epoch)
}

func (r *Replica) followBatch(ctx context.Context, epoch int32, batch []byte) error {
	h, err := record.ParseHeader(batch)
	if err != nil {
		return err
	}
	var reader record.Reader
	now := r.nowMs()
	for {
		r.mu.Lock()
		if err := r.mayFollow(epoch); err != nil {
			r.mu.Unlock()
			return err
		}
		end := r.log.EndOffset()
		if h.NextOffset() <= end { // sent twice
			r.mu.Unlock()
			return nil
		}
		if h.BaseOffset != end {
			r.mu.Unlock()
			return fmt.Errorf("%w: batch at %d, the log ends at %d", ErrGap, h.BaseOffset, end)
		}
		if r.staged > 0 && r.staged+int64(len(batch)) > r.opts.StagedBytes {
			synced := r.gates.at(end).flushedCh()
			r.mu.Unlock()
			select {
			case <-synced:
				continue
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		err := r.st.Replay(now, batch, &h, &reader, r.opts.MaxDecompressed)
		if err == nil {
			r.append(batch, &gate{})
		}
		first := err == nil && r.touch()
		r.mu.Unlock()
		if first {
			r.log.MarkDirty()
		}
		r.grew()
		return err
	}
}

// Diverged cuts the log where it parts from the leader's, as the leader's
// answer d tells. The follower fetches again from its new Position.
func (r *Replica) Diverged(_ context.Context, epoch int32, d partition.EpochEnd) error {
	return r.repair(epoch, func(ctx context.Context) error {
		end := r.log.EndOffset()
		to := partition.TruncateTo(d, r.epochEnd(d.Epoch), end)
		to = max(to, r.log.StartOffset())
		r.opts.Logger.Info("truncating a diverged log", "topic", r.opts.Topic, "partition", r.opts.ID.Partition,
			"from", end, "to", to, "epoch", epoch)
		return r.truncate(ctx, to)
	})
}

// Reset empties the log, which lags behind the start of its leader's; it then
// starts at start.
func (r *Replica) Reset(_ context.Context, epoch int32, start int64) error {
	return r.repair(epoch, func(ctx context.Context) error {
		r.opts.Logger.Warn("resetting a log that its leader's does not reach back to",
			"topic", r.opts.Topic, "partition", r.opts.ID.Partition,
			"end", r.log.EndOffset(), "start", start, "epoch", epoch)
		return r.log.Reset(ctx, start)
	})
}

// repair runs cut, which changes the log, outside of the lock, and then derives
// the state anew. Metadata that arrives meanwhile is applied after it: a
// leader's log is never cut. What was begun is finished though the connection
// to the leader may end: cut's context is the replica's, which Close ends.
func (r *Replica) repair(epoch int32, cut func(context.Context) error) error {
	r.mu.Lock()
	if err := r.mayFollow(epoch); err != nil {
		r.mu.Unlock()
		return r.wrap("repair", err)
	}
	r.repairing = true
	woken := r.gates.fail(errRepair)
	r.staged = 0
	r.wg.Add(1) // under the lock, and not down: before Close waits
	r.mu.Unlock()
	defer r.wg.Done()
	woken.open()

	err := cut(r.ctx)
	var st *partition.State
	saved := int64(0)
	if err == nil {
		st, saved, err = r.derive(r.ctx)
	}
	r.mu.Lock()
	if err == nil {
		r.st.Adopt(st)
		r.st.Truncated(r.log.EndOffset())
		r.st.SetLogStart(r.log.StartOffset())
		r.snap.saved = saved
	} else {
		r.down = fmt.Errorf("%w: the log was cut, but its state is not known: %w", partition.ErrClosed, err)
	}
	r.repairing = false
	later := r.later
	r.later = nil
	r.mu.Unlock()
	if later != nil {
		r.Apply(*later)
	}
	r.changed()
	if err != nil {
		return r.wrap("repair", err)
	}
	return nil
}

// epochEnd is where the last epoch of this log that is not above epoch ends.
// An epoch newer than all of the log's is no exception: a new leader has
// appended nothing yet.
func (r *Replica) epochEnd(epoch int32) partition.EpochEnd {
	last := r.log.LastEpoch()
	if last < 0 || epoch > last {
		return partition.EpochEnd{Epoch: last, End: r.log.EndOffset()}
	}
	found, end := r.log.EpochEnd(epoch)
	return partition.EpochEnd{Epoch: found, End: end}
}

// Fetched takes a follower's position into account and tells whether its log
// is a prefix of this leader's. lastEpoch is the epoch of the follower's last
// batch, -1 if it has none.
func (r *Replica) Fetched(f partition.Fetch, lastEpoch int32) (partition.FetchAnswer, error) {
	a, err := r.fetched(f, lastEpoch)
	trimmed := errors.Is(err, partition.ErrOffsetTrimmed)
	if !trimmed && (err != nil || lastEpoch >= 0 || f.Offset == 0) {
		return a, err
	}
	// The follower's log consists of whole batches, too, and is empty or will
	// be: it begins where one of this log's does.
	from := max(f.Offset, a.LogStart)
	first, err := r.firstBatch(from)
	switch {
	case err != nil:
		return a, err
	case f.Offset == first && !trimmed:
		return a, nil
	case f.Offset == first && lastEpoch < 0:
		f.Offset = from
		return r.fetched(f, lastEpoch)
	}
	a.LogStart = first
	return a, &partition.OffsetTrimmedError{Offset: f.Offset, LogStart: first}
}

// firstBatch is where the batch that holds an offset begins, or the offset if
// there is none.
func (r *Replica) firstBatch(offset int64) (int64, error) {
	b, err := r.log.Read(offset, r.log.EndOffset(), 1)
	if err != nil {
		return 0, r.wrap("read for a follower", err)
	}
	if len(b) == 0 {
		return offset, nil
	}
	h, err := record.ParseHeader(b)
	return min(offset, h.BaseOffset), err
}

func (r *Replica) fetched(f partition.Fetch, lastEpoch int32) (partition.FetchAnswer, error) {
	now := r.nowMs()
	r.mu.Lock()
	r.st.SetLogStart(r.log.StartOffset())
	a, err := r.st.Fetched(now, &f, lastEpoch, r.epochEnd(lastEpoch))
	woken := r.advanced(a.Advanced)
	if err == nil {
		r.propose(now)
		a.Owed = r.owed(f.Offset, lastEpoch)
	}
	r.mu.Unlock()
	woken.open()
	if a.Advanced {
		r.changed()
	}
	return a, err
}

// Staged returns whole batches from offset from on, synced or not, none if
// there are none, for a follower of this leader's epoch whose position Fetched
// has accepted. The bytes are read-only. partition.ErrNotLeader if the epoch is
// another.
func (r *Replica) Staged(epoch int32, from int64, maxBytes int) ([]byte, partition.FetchAnswer, error) {
	r.mu.Lock()
	err := r.st.Leading(epoch)
	offs := r.offsets()
	end := r.log.EndOffset()
	traces := r.tracedFrom(epoch, from)
	r.mu.Unlock()
	a := partition.FetchAnswer{HighWatermark: offs.HighWatermark, LogStart: offs.LogStart}
	switch {
	case err != nil:
		return nil, a, err
	case max(from, offs.LogStart) >= end || maxBytes <= 0:
		return nil, a, nil
	}
	// Where the log was trimmed into the midst of a batch, that is sent whole:
	// Fetched saw that the follower can append it.
	batches, err := r.log.Read(max(from, offs.LogStart), end, maxBytes)
	if err == nil && from < offs.LogStart {
		err = r.startsAt(batches, from, &a)
	}
	if err == nil {
		batches, err = fillHoles(batches, from, end, r.log.LastEpoch())
	}
	if err != nil {
		return nil, a, r.wrap("read for a follower", err)
	}
	a.Traced = tracedIn(traces, batches)
	return batches, a, nil
}

// startsAt wants the batch that holds the log's start to begin at from: else
// the log was trimmed since Fetched.
func (r *Replica) startsAt(batches []byte, from int64, a *partition.FetchAnswer) error {
	first := a.LogStart
	if len(batches) > 0 {
		h, err := record.ParseHeader(batches)
		if err != nil {
			return err
		}
		first = min(first, h.BaseOffset)
	}
	if first == from {
		return nil
	}
	a.LogStart = first
	return &partition.OffsetTrimmedError{Offset: from, LogStart: first}
}
