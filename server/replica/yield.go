package replica

import (
	"time"

	"github.com/chroniklog/chronik/server/partition"
)

// Yield prepares this leader for its successor: for the given time, or until
// metadata names the next leader, appends are refused as those between two
// leaders are, with partition.ErrNotLeader. The channel is closed when what was
// accepted before has been committed, or never will be by this leader.
func (r *Replica) Yield(hold time.Duration) <-chan struct{} {
	now := r.nowMs()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down != nil || r.st.Role() != partition.RoleLeader {
		return opened
	}
	r.st.Yield(now, now+hold.Milliseconds())
	if end := r.st.End(); end > r.st.HighWatermark() {
		return r.gateAt(end).committedCh()
	}
	return opened
}
