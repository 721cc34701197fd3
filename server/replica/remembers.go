package replica

// Remembers tells whether the Idempotency-Key was used in this partition and
// is still remembered. A broker asks before it sends the key to the partition
// that it would have today, after partitions were added.
func (r *Replica) Remembers(key string) bool {
	now := r.nowMs()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.st.Remembers(now, key)
}
