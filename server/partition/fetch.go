package partition

import "slices"

// Fetch is a follower's request to its leader.
type Fetch struct {
	Node        int32
	BrokerEpoch uint64
	LeaderEpoch int32
	Offset      int64 // end of its log: what it wants next
	Flushed     int64 // synced end of its log
}

// EpochEnd is where the records of a leader epoch end in a log.
type EpochEnd struct {
	Epoch int32 // -1: the log has no epoch so old
	End   int64
}

// FetchAnswer is the leader's answer, without the batches.
type FetchAnswer struct {
	HighWatermark int64
	LogStart      int64
	// Diverging, when not nil, tells that the follower's log is not a prefix
	// of the leader's: it truncates by TruncateTo and sends no batch.
	Diverging *EpochEnd
	// Advanced tells that the watermark moved.
	Advanced bool
	// Owed, when not 0, is the offset of the saved state that the follower
	// needs beside the batches: the log does not hold any more what that
	// derives from.
	Owed int64
	// Traced are the appends among the batches whose traces are sampled, at
	// most MaxTraced.
	Traced []Traced
}

// CheckFetch decides whether a fetch may be served at all: ErrStaleLeaderEpoch,
// ErrUnknownLeaderEpoch, ErrStaleBrokerEpoch, ErrNotReplica, NotLeaderError.
func (s *State) CheckFetch(f *Fetch) error {
	switch {
	case f.LeaderEpoch < s.leaderEpoch:
		return ErrStaleLeaderEpoch
	case f.LeaderEpoch > s.leaderEpoch:
		return ErrUnknownLeaderEpoch
	case s.role != RoleLeader:
		return s.notLeader()
	case !slices.Contains(s.isr.replicas, f.Node) || f.Node == s.node:
		return ErrNotReplica
	case f.BrokerEpoch < s.isr.follower(f.Node).brokerEpoch:
		return ErrStaleBrokerEpoch
	}
	return nil
}

// Fetched takes a fetch at time now. last is the epoch of the follower's last
// batch (-1: its log is empty), mine where the epoch not above it ends in this
// leader's log. The batches to send begin at f.Offset.
func (s *State) Fetched(now int64, f *Fetch, last int32, mine EpochEnd) (FetchAnswer, error) {
	if err := s.CheckFetch(f); err != nil {
		return FetchAnswer{}, err
	}
	a := FetchAnswer{LogStart: s.logStart}
	switch {
	case diverges(f, last, mine) && !s.mutation.NoTruncation:
		a.Diverging = &mine
		a.HighWatermark = s.hw
		return a, nil
	case f.Offset < s.logStart:
		return a, &OffsetTrimmedError{Offset: f.Offset, LogStart: s.logStart}
	case f.Offset > s.end:
		return a, &OffsetBeyondEndError{Offset: f.Offset, HighWatermark: s.hw}
	}
	w := s.isr.follower(f.Node)
	w.brokerEpoch = f.BrokerEpoch // another incarnation counts with what it has, not with what the last one had
	w.fetched, w.flushed = f.Offset, min(f.Flushed, f.Offset)
	w.observe(now, s.end)
	a.Advanced = s.advance()
	a.HighWatermark = s.hw
	return a, nil
}

// diverges tells whether a follower's log has records that the leader's has
// not.
func diverges(f *Fetch, last int32, mine EpochEnd) bool {
	return last >= 0 && (mine.Epoch < last || mine.End < f.Offset)
}

// TruncateTo is where a follower cuts its log when its leader says that it
// diverges: mine answers where the epoch not above d.Epoch ends in the
// follower's own log, end is that log's end. The cut is never above end, and
// never by the watermark (KIP-101, KIP-279). The follower then fetches from
// there, with the epoch that it now ends in.
func TruncateTo(d EpochEnd, mine EpochEnd, end int64) int64 {
	if mine.Epoch < d.Epoch {
		// The follower has nothing of that epoch: the leader's end of it says
		// nothing of where they part.
		return min(mine.End, end)
	}
	return min(d.End, mine.End, end)
}

// Followed takes the leader's answer on a follower whose log now ends at end:
// its watermark is the leader's, as far as its own log is synced. It reports
// whether the watermark moved; it never moves back.
func (s *State) Followed(a *FetchAnswer) (advanced bool) {
	if s.role != RoleFollower {
		return false
	}
	hw := min(a.HighWatermark, s.flushed)
	if hw <= s.hw {
		return false
	}
	s.hw = hw
	return true
}

// Truncated tells that this follower's log was cut, or emptied, and now ends
// at end; Adopt has brought the derived state there.
func (s *State) Truncated(end int64) {
	s.end = end
	s.flushed = min(s.flushed, end)
	s.hw = min(s.hw, end)
}

// Following is nil if this node follows in the given leader epoch; else
// ErrStaleLeaderEpoch or ErrUnknownLeaderEpoch.
func (s *State) Following(epoch int32) error {
	switch {
	case epoch > s.leaderEpoch:
		return ErrUnknownLeaderEpoch
	case epoch < s.leaderEpoch || s.role != RoleFollower:
		return ErrStaleLeaderEpoch
	}
	return nil
}

// Leading is nil if this node leads in the given epoch; else NotLeaderError.
func (s *State) Leading(epoch int32) error {
	if s.role != RoleLeader || epoch != s.leaderEpoch {
		return s.notLeader()
	}
	return nil
}
