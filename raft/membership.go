package raft

import (
	"cmp"
	"slices"

	etcd "go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"github.com/chroniklog/chronik/raft/meta"
)

// maxVoters bounds the voters; further nodes stay learners.
const maxVoters = 5

// maintainTicks is how often the controller looks at its members.
const maintainTicks = 10

// readyLag is how many entries behind a learner may be to become a voter.
const readyLag = 256

// membership is what the loop remembers about the members.
type membership struct {
	conf  *pb.ConfState // that Status describes
	ticks int
	// heard is the tick at which the controller last knew of a member's
	// activity: etcd raft forgets it at every check of the quorum.
	heard map[uint64]int
	since int // the tick at which this node became the controller
	// active are the voters that the controller heard from lately.
	active []uint64
	// files hold snapshots that were received since the last round.
	files []string
}

// silence is how many ticks without a sign of a member mean that it is not
// there.
const silence = 2 * electionTicks

// hears tells whether a member was heard from lately.
func (m *membership) hears(id uint64) bool {
	at, ok := m.heard[id]
	return ok && m.ticks-at <= silence
}

// listens tells whether this node has been the controller for long enough to
// take a member's silence for its absence.
func (m *membership) listens() bool { return m.heard != nil && m.ticks-m.since > silence }

// membersChanged tells the transport and the identity file who the members
// are. Only the loop may call it, or launch before.
func (n *Node) membersChanged() {
	members, cluster := n.image.Members(), n.image.ClusterID()
	if n.opts.Transport != nil {
		n.opts.Transport.SetMembers(cluster, members)
	}
	n.members.signal()
	id := n.id()
	if len(members) == 0 || id.cluster == cluster && slices.Equal(id.members, members) {
		return
	}
	next := *id
	next.cluster, next.members = cluster, members
	n.ident.Store(&next)
	if err := next.save(n.opts.FS, n.opts.Dir); err != nil {
		// The file only helps a later start whose log is corrupt.
		n.opts.Logger.Warn("save metadata members", "error", err)
	}
}

// maintain is called at each tick.
func (n *Node) maintain() {
	m := &n.member
	m.ticks++
	if n.core.State().Role != etcd.StateLeader {
		m.heard, m.active = nil, nil
		return
	}
	if m.heard == nil {
		m.heard, m.since = map[uint64]int{}, m.ticks
	}
	n.core.rn.WithProgress(func(id uint64, _ etcd.ProgressType, pr tracker.Progress) {
		if pr.RecentActive || id == n.id().raftID {
			m.heard[id] = m.ticks
		}
	})
	if m.ticks%maintainTicks == 0 {
		n.tendMembers()
	}
}

// candidates are the members as the controller knows them now.
func (n *Node) candidates() (voters, learners []candidate) {
	commit := n.core.rn.BasicStatus().GetCommit()
	n.core.rn.WithProgress(func(id uint64, typ etcd.ProgressType, pr tracker.Progress) {
		c := candidate{id: id, node: n.nodeOf(id), lately: n.member.hears(id)}
		c.ready = c.lately && (id == n.id().raftID ||
			pr.State == tracker.StateReplicate && pr.Match+readyLag >= commit)
		c.comes = !c.ready && (c.lately || !n.member.listens())
		if typ == etcd.ProgressTypeLearner {
			learners = append(learners, c)
		} else {
			voters = append(voters, c)
		}
	})
	return voters, learners
}

// tendMembers notes who is active and promotes learners.
func (n *Node) tendMembers() {
	voters, learners := n.candidates()
	active := []uint64{}
	for _, c := range voters {
		if c.lately {
			active = append(active, c.id)
		}
	}
	slices.Sort(active)
	n.member.active = active
	if len(n.core.State().Conf.GetVotersOutgoing()) > 0 {
		return
	}
	changes := promote(voters, learners)
	if changes == nil {
		changes = demote(voters, n.id().raftID)
	}
	if changes != nil {
		n.opts.Logger.Info("changing metadata voters", "changes", pb.ConfChangesToString(changes))
		if err := n.core.ProposeConf(&pb.ConfChangeV2{Changes: changes}); err != nil {
			n.opts.Logger.Debug("change voters", "error", err)
		}
	}
}

// candidate is a member as promote sees it.
type candidate struct {
	id     uint64
	node   NodeID
	lately bool // heard from
	ready  bool // and caught up
	comes  bool // not caught up, but heard from, as far as it is known yet
}

// promote decides which learners become voters. A learner of a node that has a
// voter already (its former incarnation) takes that one's place. Otherwise the
// number of voters is kept odd: two voters are worse than one.
func promote(voters, learners []candidate) []*pb.ConfChangeSingle {
	order := func(a, b candidate) int { return cmp.Or(cmp.Compare(a.node, b.node), cmp.Compare(a.id, b.id)) }
	slices.SortFunc(voters, order)
	slices.SortFunc(learners, order)
	var spare []candidate
	for _, l := range learners {
		if !l.ready {
			continue
		}
		i := slices.IndexFunc(voters, func(v candidate) bool { return v.node == l.node })
		if i >= 0 {
			return []*pb.ConfChangeSingle{single(pb.ConfChangeAddNode, l.id), single(pb.ConfChangeRemoveNode, voters[i].id)}
		}
		spare = append(spare, l)
	}
	want := 1 + len(voters)%2 // to the next odd number
	if len(spare) < want || len(voters)+want > maxVoters {
		return nil
	}
	var out []*pb.ConfChangeSingle
	for _, l := range spare[:want] {
		out = append(out, single(pb.ConfChangeAddNode, l.id))
	}
	return out
}

// demote makes a learner of one voter where their number is even: after a
// removal that nobody made up for. Two voters can't do without either, nor be
// left by one; with one and a learner the learner may go. One that is not
// heard from goes first, the controller never.
func demote(voters []candidate, controller uint64) []*pb.ConfChangeSingle {
	if len(voters)%2 != 0 {
		return nil
	}
	slices.SortFunc(voters, func(a, b candidate) int {
		if a.ready != b.ready {
			return cmp.Compare(bit(a.ready), bit(b.ready))
		}
		return cmp.Or(-cmp.Compare(a.node, b.node), cmp.Compare(a.id, b.id))
	})
	for _, v := range voters {
		if v.id != controller {
			return []*pb.ConfChangeSingle{single(pb.ConfChangeAddLearnerNode, v.id)}
		}
	}
	return nil
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

func single(t pb.ConfChangeType, id uint64) *pb.ConfChangeSingle {
	return &pb.ConfChangeSingle{Type: t.Enum(), NodeId: new(id)}
}

// enter is the change that lets a member in: as a learner, in place of other
// learners of its node, or with a new address. Nil if nothing is to do.
func enter(m meta.Member, present []meta.Member, conf *pb.ConfState) *pb.ConfChangeV2 {
	i := slices.IndexFunc(present, func(p meta.Member) bool { return p.RaftID == m.RaftID })
	cc := &pb.ConfChangeV2{Context: encodeMembers([]meta.Member{m})}
	if i >= 0 {
		if present[i] == m {
			return nil
		}
		cc.Changes = []*pb.ConfChangeSingle{single(pb.ConfChangeUpdateNode, m.RaftID)}
		return cc
	}
	cc.Changes = []*pb.ConfChangeSingle{single(pb.ConfChangeAddLearnerNode, m.RaftID)}
	for _, p := range present {
		if p.Node == m.Node && slices.Contains(conf.GetLearners(), p.RaftID) {
			cc.Changes = append(cc.Changes, single(pb.ConfChangeRemoveNode, p.RaftID))
		}
	}
	return cc
}

// leave is the change that removes every incarnation of a node.
func leave(node NodeID, present []meta.Member, conf *pb.ConfState) (*pb.ConfChangeV2, error) {
	cc := &pb.ConfChangeV2{}
	voters := len(conf.GetVoters())
	for _, p := range present {
		if p.Node != node {
			continue
		}
		cc.Changes = append(cc.Changes, single(pb.ConfChangeRemoveNode, p.RaftID))
		if slices.Contains(conf.GetVoters(), p.RaftID) {
			voters--
		}
	}
	switch {
	case len(cc.Changes) == 0:
		return nil, nil
	case voters == 0:
		return nil, ErrLastVoter
	}
	return cc, nil
}

// replaced has a learner that is ready take the place of a voter that leaves,
// where an even number would be left: until promote makes up for it, two voters
// could not lose either. comes: no learner is ready, but one will be soon, and
// the leaving is better put off until then.
func replaced(cc *pb.ConfChangeV2, voters, learners []candidate) (change *pb.ConfChangeV2, comes bool) {
	stays := func(m candidate) bool {
		return !slices.ContainsFunc(cc.Changes, func(c *pb.ConfChangeSingle) bool { return c.GetNodeId() == m.id })
	}
	left := 0
	for _, v := range voters {
		if stays(v) {
			left++
		}
	}
	if left == len(voters) || left%2 != 0 {
		return cc, false
	}
	i := slices.IndexFunc(learners, func(l candidate) bool { return l.ready && stays(l) })
	if i >= 0 {
		cc.Changes = append(cc.Changes, single(pb.ConfChangeAddNode, learners[i].id))
		return cc, false
	}
	return cc, slices.ContainsFunc(learners, func(l candidate) bool { return l.comes && stays(l) })
}
