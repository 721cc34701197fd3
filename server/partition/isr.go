package partition

import "slices"

// unknownOffset stands for a follower that has not reported yet.
const unknownOffset int64 = -1

// follower is what a leader knows of another replica.
type follower struct {
	node        int32
	brokerEpoch uint64 // of its last fetch
	fetched     int64  // end of its log
	flushed     int64  // synced end of its log, unknownOffset before its first fetch

	// It is behind since the time at which the leader's log ended at target:
	// it has not synced that much since.
	behind        bool
	since, target int64
}

// observe notes whether the follower has what the leader had.
func (f *follower) observe(now, end int64) {
	switch {
	case f.flushed >= end:
		f.behind = false
	case !f.behind || f.flushed >= f.target:
		f.behind, f.since, f.target = true, now, end
	}
}

// inSync is the ISR and its change in flight.
type inSync struct {
	replicas  []int32
	committed []int32
	proposal  *Proposal // in flight, outcome open
	followers []follower
}

// Proposal is a change of the ISR that the leader asks the controller for
// (AlterPartition): a compare-and-set on both epochs.
type Proposal struct {
	LeaderEpoch, PartitionEpoch int32
	ISR                         []Member
}

// Member is a replica of a proposed ISR with the broker epoch that its fetches
// carried: the controller refuses an incarnation that is no longer registered
// (KIP-903). The leader's own is 0: its executor knows it.
type Member struct {
	Node        int32
	BrokerEpoch uint64
}

// has tells whether node is in the proposed ISR.
func (p *Proposal) has(node int32) bool {
	return p != nil && slices.ContainsFunc(p.ISR, func(m Member) bool { return m.Node == node })
}

func (i *inSync) follower(node int32) *follower {
	for k := range i.followers {
		if i.followers[k].node == node {
			return &i.followers[k]
		}
	}
	return nil
}

// maximal tells whether node is in the committed ISR or may be in it soon.
func (i *inSync) maximal(node int32) bool {
	return slices.Contains(i.committed, node) || i.proposal.has(node)
}

// Electable are the other nodes that may be elected while this one leads: the
// maximal ISR. A new slice.
func (s *State) Electable() (nodes []int32) {
	for _, n := range s.isr.replicas {
		if n != s.node && s.isr.maximal(n) {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

// ISR is the committed in-sync replicas, as metadata last told; read-only.
func (s *State) ISR() []int32 { return s.isr.committed }

// Leadership is what metadata says of a partition.
type Leadership struct {
	Leader                      int32 // 0: none
	LeaderEpoch, PartitionEpoch int32
	Replicas, ISR               []int32
}

// OlderThan tells whether m was decided after l.
func (l *Leadership) OlderThan(m *Leadership) bool {
	return l.LeaderEpoch < m.LeaderEpoch || l.LeaderEpoch == m.LeaderEpoch && l.PartitionEpoch < m.PartitionEpoch
}

// Apply takes metadata; older epochs than those known are ignored.
// It reports whether the role or leader epoch changed, after which every
// waiter of a former leadership is to be failed unless this node still leads.
// Slices are copied.
func (s *State) Apply(l Leadership) (changed bool) {
	if l.OlderThan(&Leadership{LeaderEpoch: s.leaderEpoch, PartitionEpoch: s.partitionEpoch}) {
		return false
	}
	role := RoleFollower
	if l.Leader == s.node {
		role = RoleLeader
	}
	changed = l.LeaderEpoch != s.leaderEpoch || role != s.role || l.Leader != s.leader
	if l.PartitionEpoch != s.partitionEpoch || changed {
		s.isr.proposal = nil // decided, or its compare-and-set can't succeed any more
	}
	s.partitionEpoch = l.PartitionEpoch
	s.isr.committed = slices.Clone(l.ISR)
	s.isr.replicas = slices.Clone(l.Replicas)
	if changed {
		s.role, s.leader, s.leaderEpoch = role, l.Leader, l.LeaderEpoch
		s.yields = yielding{}
		s.isr.followers = nil
	}
	if role == RoleLeader {
		s.lead(changed)
	} else {
		s.keys = newKeyIndex(s.limits.Keys)
	}
	return changed
}

// lead begins or goes on with a leadership.
func (s *State) lead(begin bool) {
	if begin {
		if s.Ahead() { // elected in spite of what it lacks: so it knows nothing of it
			s.clearDerived(s.end)
		}
		s.epochStart = s.end
	}
	s.isr.followers = slices.DeleteFunc(s.isr.followers, func(f follower) bool {
		return !slices.Contains(s.isr.replicas, f.node)
	})
	for _, node := range s.isr.replicas {
		if node != s.node && s.isr.follower(node) == nil {
			s.isr.followers = append(s.isr.followers, follower{
				node: node, fetched: unknownOffset, flushed: unknownOffset,
			})
		}
	}
	s.advance()
}

// advance moves the high watermark to the lowest flushed offset of the maximal
// ISR, while the committed ISR is large enough.
func (s *State) advance() bool {
	if s.role != RoleLeader || len(s.isr.committed) < s.cfg.MinISR && !s.mutation.NoMinISR {
		return false
	}
	low := s.flushed
	for k := range s.isr.followers {
		f := &s.isr.followers[k]
		member := s.isr.maximal(f.node)
		if s.mutation.CommittedISR {
			member = slices.Contains(s.isr.committed, f.node)
		}
		if f.flushed < low && member {
			low = f.flushed
		}
	}
	if low <= s.hw {
		return false
	}
	s.hw = low
	if s.keys.active {
		s.keys.settle(low)
	}
	return true
}

// Flushed tells that this node's log is synced up to end. It reports whether
// the high watermark moved.
func (s *State) Flushed(end int64) (advanced bool) {
	if end > s.flushed {
		s.flushed = end
	}
	return s.advance()
}

// FlushedEnd is the synced end of this node's log.
func (s *State) FlushedEnd() int64 { return s.flushed }

// Propose returns the change of the ISR that is due at time now, nil if none:
// members that have lagged too long are left out, replicas that have caught up
// are added. It notes who lags: call it now and then. One change is in flight at a time, until Apply or ProposalFailed.
func (s *State) Propose(now int64) *Proposal {
	if s.role != RoleLeader {
		return nil
	}
	for k := range s.isr.followers {
		s.isr.followers[k].observe(now, s.end)
	}
	if s.isr.proposal != nil {
		return nil
	}
	p := &Proposal{LeaderEpoch: s.leaderEpoch, PartitionEpoch: s.partitionEpoch}
	changed := false
	for _, node := range s.isr.replicas {
		f := s.isr.follower(node)
		member := slices.Contains(s.isr.committed, node)
		wanted := f == nil || s.wanted(now, f, member) // f is nil for the leader itself
		if wanted {
			m := Member{Node: node}
			if f != nil {
				m.BrokerEpoch = f.brokerEpoch
			}
			p.ISR = append(p.ISR, m)
		}
		changed = changed || wanted != member
	}
	if !changed {
		return nil
	}
	s.isr.proposal = p
	return p
}

// wanted tells whether a follower belongs in the ISR.
func (s *State) wanted(now int64, f *follower, member bool) bool {
	if member {
		return !f.behind || now-f.since <= s.limits.FollowerLag.Milliseconds()
	}
	return f.flushed != unknownOffset && f.flushed >= s.hw && f.flushed >= s.epochStart
}

// Exclude takes replicas that can't join now, for the controller takes them
// for dead or does not know the incarnation that fetched, out of p, a proposal
// that was not sent yet: else the whole of it is refused, and one dead follower
// of an idle partition, which lacks nothing, keeps the live ones out. Members
// of the committed ISR stay in it. left is what remains to be asked for, nil if
// that is no change. It reports whether the watermark moved.
func (s *State) Exclude(p *Proposal, absent []int32) (left *Proposal, advanced bool) {
	if p == nil || s.isr.proposal != p {
		return nil, false
	}
	left = &Proposal{LeaderEpoch: p.LeaderEpoch, PartitionEpoch: p.PartitionEpoch}
	joining := 0
	for _, m := range p.ISR {
		member := slices.Contains(s.isr.committed, m.Node)
		if !member && slices.Contains(absent, m.Node) {
			continue
		}
		if !member {
			joining++
		}
		left.ISR = append(left.ISR, m)
	}
	if joining == 0 && len(left.ISR) == len(s.isr.committed) {
		left = nil
	}
	s.isr.proposal = left
	return left, s.advance()
}

// Pending is the change of the ISR in flight, nil if none. Its executor may
// repeat the very same request after an unknown outcome.
func (s *State) Pending() *Proposal { return s.isr.proposal }

// ProposalFailed tells that the controller refused p: it will never be
// applied. After an unknown outcome don't call it: the members it adds count
// for the watermark until metadata tells. It reports whether the watermark
// moved.
func (s *State) ProposalFailed(p *Proposal) (advanced bool) {
	if p == nil || s.isr.proposal != p {
		return false
	}
	s.isr.proposal = nil
	return s.advance()
}
