package partition

// Missing is how many offsets a replica lacks of this leader's log, and how
// many that has; all of them if it has not been heard from.
func (s *State) Missing(node int32, start int64) (missing, total int64) {
	total = max(s.end-start, 0)
	f := s.isr.follower(node)
	if f == nil || f.flushed == unknownOffset {
		return total, total
	}
	return min(max(s.end-max(f.fetched, start), 0), total), total
}
