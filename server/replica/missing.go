package replica

import "github.com/chroniklog/chronik/server/partition"

// Missing is how many offsets a replica lacks of this leader's log, and how
// many that has; none if this node does not lead.
func (r *Replica) Missing(node int32) (missing, total int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := r.offsets()
	if r.st.Role() != partition.RoleLeader {
		return 0, 0
	}
	return r.st.Missing(node, o.LogStart)
}

// Lags appends how far the followers are behind to dst; none if this node does
// not lead.
func (r *Replica) Lags(dst []partition.Lag) []partition.Lag {
	now := r.nowMs()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.st.Role() != partition.RoleLeader {
		return dst
	}
	return r.st.Lags(dst, now)
}
