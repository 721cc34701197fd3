package partition

// Role is what this node is to the partition.
type Role int8

const (
	// RoleNone neither leads nor follows: no metadata has arrived yet.
	RoleNone Role = iota
	// RoleFollower copies the leader's log.
	RoleFollower
	// RoleLeader accepts appends.
	RoleLeader
)

// String names the role.
func (r Role) String() string {
	return [...]string{"none", "follower", "leader"}[r]
}

// State is one partition. It is not safe for concurrent use: its executor
// holds a lock. Times are Unix milliseconds, offsets "next" offsets: the first
// one not covered.
type State struct {
	node   int32
	cfg    Config
	limits Limits

	role           Role
	leader         int32
	leaderEpoch    int32
	partitionEpoch int32
	epochStart     int64 // log end when this node became leader
	yields         yielding

	logStart int64
	hw       int64
	flushed  int64 // synced on this node
	end      int64 // staged on this node
	// covered is up to where the log is known to have told what derives from
	// it. It is above end only on a follower that was given its leader's state
	// and has yet to copy the log up to there.
	covered int64

	isr       inSync
	producers producers
	idem      idempotency
	fence     fence
	keys      keyIndex

	mutation Mutation // zero but in tests
}

// New is the state of an empty partition on the given node.
func New(node int32, cfg Config, limits Limits) *State {
	s := &State{node: node, cfg: cfg, limits: limits.withDefaults(), leaderEpoch: -1, partitionEpoch: -1}
	s.clearDerived(0)
	return s
}

// clearDerived forgets everything that derives from the log, which now ends
// at end.
func (s *State) clearDerived(end int64) {
	s.producers = newProducers(s.limits.Producers, s.limits.ProducerIdle.Milliseconds())
	s.idem = newIdempotency(s.limits.IdempotencyKeys, s.limits.IdempotencyTTL.Milliseconds())
	s.fence = fence{offset: NoOffset}
	s.keys = newKeyIndex(s.limits.Keys)
	s.end, s.covered = end, end
}

// Config is the configuration in force.
func (s *State) Config() Config { return s.cfg }

// SetConfig replaces the configuration. It reports whether the watermark
// moved, which a lower MinISR may cause.
func (s *State) SetConfig(cfg Config) (advanced bool) {
	s.cfg = cfg
	if !cfg.Compact {
		s.keys = newKeyIndex(s.limits.Keys)
	}
	return s.advance()
}

// Role is what this node is to the partition.
func (s *State) Role() Role { return s.role }

// Leader is the node that leads, 0 if none is known.
func (s *State) Leader() int32 { return s.leader }

// LeaderEpoch is the epoch of the leadership, -1 before the first.
func (s *State) LeaderEpoch() int32 { return s.leaderEpoch }

// End is the offset that the next record gets.
func (s *State) End() int64 { return s.end }

// HighWatermark is the first offset that may still change.
func (s *State) HighWatermark() int64 { return s.hw }

// Offsets describes the log.
func (s *State) Offsets() Offsets {
	return Offsets{
		LogStart: s.logStart, HighWatermark: s.hw, LastStable: s.hw,
		LogEnd: s.end, LeaderEpoch: s.leaderEpoch,
	}
}

// SetLogStart tells where the log starts now; it never moves back. It reports
// whether it moved.
func (s *State) SetLogStart(start int64) bool {
	if start <= s.logStart {
		return false
	}
	s.logStart = start
	if s.hw < start { // a follower may be told to trim above its own watermark
		s.hw = start
	}
	return true
}

// ReadEnd is the offset that a reader at from may read up to. Beyond it there
// is nothing to see yet; the errors are OffsetTrimmedError,
// OffsetBeyondEndError, ErrOffsetNotAvailable and NotLeaderError.
func (s *State) ReadEnd(from int64) (int64, error) {
	switch {
	case s.role != RoleLeader:
		return 0, s.notLeader()
	case from < s.logStart:
		return 0, &OffsetTrimmedError{Offset: from, LogStart: s.logStart}
	case from > s.hw && s.hw < s.epochStart: // even beyond the end: the refusal would cite the watermark
		return 0, ErrOffsetNotAvailable
	case from > s.end: // the log of a leader holds all that was ever committed
		return 0, &OffsetBeyondEndError{Offset: from, HighWatermark: s.hw}
	}
	return s.hw, nil
}

// TailKnown is nil when this leader knows where the committed log ends, so
// that it may answer "latest"; else ErrOffsetNotAvailable or NotLeaderError.
func (s *State) TailKnown() error {
	if s.role != RoleLeader {
		return s.notLeader()
	}
	if s.hw < s.epochStart {
		return ErrOffsetNotAvailable
	}
	return nil
}

func (s *State) notLeader() error {
	leader := s.leader
	if leader == s.node {
		leader = 0
	}
	return &NotLeaderError{Leader: leader, Epoch: s.leaderEpoch}
}
