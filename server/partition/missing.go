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

// Lag is how far a follower is behind this leader.
type Lag struct {
	Node    int32
	Records int64 // offsets that it has not synced; all there are if it was never heard from
	Ms      int64 // since it had synced all that was there; 0: it has
}

// Lags appends the lag of every other replica to dst.
func (s *State) Lags(dst []Lag, now int64) []Lag {
	for i := range s.isr.followers {
		f := &s.isr.followers[i]
		lag := Lag{Node: f.node, Records: max(s.end-max(f.flushed, s.logStart), 0)}
		if f.behind && lag.Records > 0 {
			lag.Ms = max(now-f.since, 0)
		}
		dst = append(dst, lag)
	}
	return dst
}
