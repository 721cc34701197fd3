package replica

import (
	"context"
	"fmt"

	"github.com/chroniklog/chronik/server/partition"
)

// Pending is an append that was accepted and awaits its answer. It costs no
// goroutine; dropping it is fine. Its methods may be called concurrently.
type Pending struct {
	res  partition.Appended
	err  error // the answer once the gate opens; nil: res is
	gate *gate // nil: answered when accepted
	late bool  // answered at the high watermark, else when flushed here
	own  bool  // this request appended something
	done <-chan struct{}
}

// Offset is the offset of the first record. The append is neither durable nor
// final before Wait returns nil.
func (p *Pending) Offset() int64 { return p.res.Offset }

// LeaderEpoch is the epoch that the append was accepted in.
func (p *Pending) LeaderEpoch() int32 { return p.res.LeaderEpoch }

// Done is closed when Wait would return at once.
func (p *Pending) Done() <-chan struct{} { return p.done }

// Wait returns the answer: for acks=none at once, for acks=leader when the
// append is synced here, for acks=all when the high watermark passes it.
// A duplicate, and an error that tells of the partition's state (a conflict,
// a fence, a gap), is returned when the watermark passes that state.
//
// When ctx ends first, or this node loses the leadership or its disk, the
// error is partition.ErrOutcomeUnknown; but a request that was refused and
// appended nothing gets ErrNotLeader then.
func (p *Pending) Wait(ctx context.Context) (partition.Appended, error) {
	select {
	case <-p.done:
		return p.answer()
	default:
	}
	select {
	case <-p.done:
		return p.answer()
	case <-ctx.Done():
		return partition.Appended{}, fmt.Errorf("%w: %v", partition.ErrOutcomeUnknown, context.Cause(ctx))
	}
}

func (p *Pending) answer() (partition.Appended, error) {
	if p.gate != nil {
		if failed := p.failure(); failed != nil {
			if p.err != nil {
				return partition.Appended{}, fmt.Errorf("%w: %v", partition.ErrNotLeader, failed)
			}
			return partition.Appended{}, fmt.Errorf("%w: %v", partition.ErrOutcomeUnknown, failed)
		}
	}
	if p.err != nil {
		return partition.Appended{}, p.err
	}
	return p.res, nil
}

func (p *Pending) failure() error {
	if p.late {
		return p.gate.commitErr
	}
	return p.gate.flushErr
}

// Cycle is the commit cycle that synced the append here; nil for acks=none and
// where nothing was appended. Call it after Done is closed.
func (p *Pending) Cycle() *partition.Cycle {
	if p.gate == nil || !p.own {
		return nil
	}
	return p.gate.cycle
}
