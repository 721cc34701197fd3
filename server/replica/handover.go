package replica

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/storage/record"
)

// A follower derives producers, idempotency keys and the fence from the batches
// that it copies. Where the leader's log has been trimmed or compacted they
// derive from more than it holds: then the follower is given the leader's last
// saved state, which is of at least the offset up to which anything was removed
// (see hintWatermark and trim), and what is committed. It counts once the log
// is copied up to there.

// owed is the offset of the saved state that a follower which goes on at from
// needs, 0 if the batches tell all. last is the epoch of its last batch, -1 if
// its log is empty. Under mu.
func (r *Replica) owed(from int64, last int32) int64 {
	saved := r.snap.saved
	begins := last < 0 && from > 0 && saved >= from
	compacted := r.st.Config().Compact && saved > from
	if begins || compacted {
		return saved
	}
	return 0
}

// errNoState: the leader's own saved state can't be read.
var errNoState = errors.New("no saved state can be read")

// SavedState is the last saved state, for a follower that is owed it. If it
// can't be read another one is begun to be saved.
func (r *Replica) SavedState() ([]byte, error) {
	_, state, ok, err := r.log.LoadState(math.MaxInt64)
	if err == nil && !ok {
		err = errNoState
		r.mu.Lock()
		r.snapshotNow()
		r.mu.Unlock()
	}
	if err != nil {
		return nil, r.wrap("hand over the state of", err)
	}
	return state, nil
}

// TakeState takes the leader's saved state, and is durable on return: a restart
// finds it, unless it lost the end of the log, too, and asks again.
func (r *Replica) TakeState(_ context.Context, epoch int32, state []byte) error {
	offset, err := r.stateOffset(state)
	if err != nil {
		return r.wrap("take the state of", err)
	}
	r.mu.Lock()
	err = r.mayFollow(epoch)
	at := r.log.FlushedOffset()
	r.mu.Unlock()
	if err != nil {
		return r.wrap("take the state of", err)
	}
	if offset < at {
		return nil // the log has told more by itself
	}
	r.opts.Logger.Info("taking the leader's saved state", "topic", r.opts.Topic,
		"partition", r.opts.ID.Partition, "offset", offset, "log_end", at, "epoch", epoch)
	// What is committed stays true, whoever leads when it is saved.
	if err := r.log.SaveState(at, state); err != nil {
		return r.wrap("take the state of", err)
	}
	return r.repair(epoch, func(context.Context) error { return nil })
}

// stateOffset is the offset that a saved state holds for.
func (r *Replica) stateOffset(state []byte) (int64, error) {
	st := partition.New(r.opts.Node, partition.DefaultConfig(), r.opts.Limits)
	if err := st.Restore(state); err != nil {
		return 0, err
	}
	return st.End(), nil
}

// truncate cuts the log. If a leader's state that was taken over is of a later
// offset, what it was committed as is not: somebody was elected in spite of
// what it lacked. The log is then copied from its beginning.
func (r *Replica) truncate(ctx context.Context, to int64) error {
	if err := r.log.Truncate(ctx, to); err != nil {
		return err
	}
	end := r.log.EndOffset()
	_, state, ok, err := r.log.LoadState(end)
	if err != nil || !ok {
		return err
	}
	if offset, err := r.stateOffset(state); err != nil || offset <= end {
		return err
	}
	return r.log.Reset(ctx, 0)
}

// fillHoles puts batches without records where compaction has left none, from
// from on, and up to end if there is nothing else: a follower's log has no
// holes but those that it makes itself. They are of the epoch that follows.
func fillHoles(batches []byte, from, end int64, last int32) ([]byte, error) {
	next, whole := from, true
	for rest := batches; len(rest) > 0; {
		h, err := record.ParseHeader(rest)
		if err != nil {
			return nil, err
		}
		if h.BaseOffset > next {
			whole = false
			break
		}
		next, rest = h.NextOffset(), rest[min(h.Size(), len(rest)):]
	}
	if whole && (len(batches) > 0 || from >= end) {
		return batches, nil
	}
	var out []byte
	next = from
	for rest := batches; len(rest) > 0; {
		batch, after, err := record.Split(rest)
		if err != nil {
			return nil, fmt.Errorf("fill holes: %w", err)
		}
		h, err := record.ParseHeader(batch)
		if err != nil {
			return nil, fmt.Errorf("fill holes: %w", err)
		}
		out = record.AppendHole(out, next, h.BaseOffset, h.LeaderEpoch)
		out = append(out, batch...)
		next, rest = h.NextOffset(), after
	}
	if len(batches) == 0 {
		out = record.AppendHole(out, next, end, last)
	}
	return out, nil
}
