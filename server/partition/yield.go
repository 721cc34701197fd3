package partition

// yielding is the time (Unix milliseconds) in which a leader takes no appends,
// because it is about to be replaced.
type yielding struct{ from, until int64 }

// Yield has this leader refuse appends from now until a time (Unix
// milliseconds), or until it learns of a change of leadership, so that it can
// finish what it has in hand. One that is not replaced goes on by itself.
func (s *State) Yield(now, until int64) { s.yields = yielding{now, until} }

// accepts is nil if this node takes an append at now that is pinned so. The
// refusal of a leader that yields names no leader: who the next one is has to be
// waited for.
func (s *State) accepts(now int64, pin Pin) error {
	// A clock that was set back ends it, too.
	if s.role != RoleLeader || !pin.allows(s.leaderEpoch) || now >= s.yields.from && now < s.yields.until {
		return s.notLeader()
	}
	return nil
}
