package replica

import (
	"fmt"

	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/storage/plog"
)

var _ plog.Owner = (*Replica)(nil)

// Seal is called by the store when a commit cycle starts: the open batch goes
// to the log.
func (r *Replica) Seal() {
	r.mu.Lock()
	r.dirty = true // nothing is held from here on
	r.seal()
	// A follower's fetcher was told when it appended.
	grown := r.grown && r.st.Role() == partition.RoleLeader
	r.dirty, r.grown = false, false
	r.mu.Unlock()
	if grown {
		r.grew()
	}
}

// Flushed is called by the store when a commit cycle has synced everything
// below end: it moves the watermark and opens the gates.
func (r *Replica) Flushed(end int64, c *plog.Cycle) {
	cycle := &partition.Cycle{
		ID: c.ID, Start: c.Start, SyncStart: c.SyncStart, End: c.End,
		Bytes: c.Bytes, Batches: c.Batches, Journal: c.Journal,
	}
	r.mu.Lock()
	bytes, woken := r.gates.flush(end, cycle)
	r.staged -= bytes
	r.rate.add(bytes, c.End.Sub(c.Start))
	advanced := r.st.Flushed(end)
	woken = append(woken, r.advanced(advanced)...)
	r.snapshotIfDue()
	follows := r.st.Role() != partition.RoleLeader
	r.mu.Unlock()
	woken.open()
	switch {
	case advanced:
		r.changed()
	case follows: // followers don't ask what their leader has synced
		r.grew()
	}
}

// advanced takes note of a watermark that moved, and returns what it opens.
func (r *Replica) advanced(moved bool) wake {
	if !moved {
		return nil
	}
	r.st.SetLogStart(r.log.StartOffset())
	r.hintWatermark()
	if r.held() {
		r.tell()
	}
	return r.gates.commit(r.st.HighWatermark())
}

// Failed is called by the store when it is dead, for which the process will
// end, or when the log is deleted: nothing is acknowledged any more.
func (r *Replica) Failed(err error) {
	r.mu.Lock()
	r.down = fmt.Errorf("%w: the log failed: %w", partition.ErrClosed, err)
	r.snap.disarm()
	woken := r.failWaiters(err)
	r.mu.Unlock()
	woken.open()
	r.changed()
}

// failWaiters gives up every waiter.
func (r *Replica) failWaiters(err error) wake {
	woken := r.gates.fail(err)
	if r.pack.b != nil { // its records stay; who asks later waits at a new gate
		woken = append(woken, r.pack.gate.fail(err)...)
		r.pack.gate = &gate{}
	}
	r.staged = 0
	return woken
}
