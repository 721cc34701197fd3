package raft

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/chroniklog/chronik/raft/meta"
)

func TestJoinAsLearnerThenVoter(t *testing.T) {
	c := newTestCluster(t, 1, 2, 3)
	c.tune = func(o *Options) { o.CompactEvery, o.CompactKeep = 20, 5 }
	c.mustStart(1, nil, "")
	waitReady(t, c.nodes[1].Node)
	propose(t, c.nodes[1].Node, register(1))
	for i := range 60 { // the log no longer begins at its beginning
		propose(t, c.nodes[1].Node, topic(i, 1, 1))
	}

	c.mustStart(2, nil, c.addrs[1])
	waitReady(t, c.nodes[2].Node)
	c.converged()
	// Two voters would be worse than one: it stays a learner.
	time.Sleep(maintainTicks * 20 * time.Millisecond * 2)
	if s := c.nodes[1].Status(); !slices.Equal(s.Voters, []NodeID{1}) || !slices.Equal(s.Learners, []NodeID{2}) {
		t.Errorf("two nodes: voters %v, learners %v", s.Voters, s.Learners)
	}
	propose(t, c.nodes[2].Node, register(2)) // forwarded

	c.mustStart(3, nil, c.addrs[2]) // through a member that isn't the controller
	// As long as the change is under way the old voter can't be missed.
	eventually(t, func() bool {
		for _, n := range c.nodes {
			if s := n.Status(); s.Changing || !slices.Equal(sorted(s.Voters), []NodeID{1, 2, 3}) {
				return false
			}
		}
		return true
	})
	c.stop(1)
	propose(t, c.nodes[3].Node, topic(100, 1, 2))
	c.converged()
	if !c.hasTopic(2, 59) || !c.hasTopic(3, 100) {
		t.Error("a topic is missing")
	}
}

func TestRemoveAndTransfer(t *testing.T) {
	c := newTestCluster(t, 1, 2, 3)
	c.static(1, 2, 3)
	lead := c.leader()
	next := lead%3 + 1
	if err := c.nodes[next].TransferController(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	if got := c.leader(); got != next {
		t.Errorf("controller is %d, not %d", got, next)
	}
	if err := c.nodes[lead].TransferController(t.Context(), 9); !errors.Is(err, ErrUnknownNode) {
		t.Errorf("transfer to a stranger: %v", err)
	}
	// The controller removes itself: it hands over first.
	if err := c.nodes[next].RemoveNode(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	removed := c.nodes[next]
	delete(c.nodes, next)
	eventually(t, func() bool {
		s := c.any().Status()
		return !slices.Contains(s.Voters, next) && s.Leader != 0 && s.Leader != next
	})
	propose(t, c.nodes[c.leader()].Node, register(lead))
	c.nodes[next] = removed
	c.stop(next)

	// It stays out when it is started again with its old directory.
	c.mustStart(next, maps.Clone(c.addrs), "")
	other := c.any()
	time.Sleep(200 * time.Millisecond)
	if s := other.Status(); slices.Contains(s.Learners, next) || slices.Contains(s.Voters, next) {
		t.Errorf("the removed node came back: %+v", s)
	}
}

func TestSoleVoterIsNotRemoved(t *testing.T) {
	n := openSole(t, soleOptions(t, t.TempDir()))
	defer closeNode(t, n)
	if err := n.RemoveNode(t.Context(), 1); !errors.Is(err, ErrLastVoter) {
		t.Errorf("remove the sole voter: %v", err)
	}
	if err := n.RemoveNode(t.Context(), 5); err != nil {
		t.Errorf("remove a stranger: %v", err)
	}
}

func TestEmptiedNodeReplacesItself(t *testing.T) {
	c := newTestCluster(t, 1, 2, 3)
	c.static(1, 2, 3)
	propose(t, c.nodes[1].Node, register(1))
	old := c.nodes[3].Status().RaftID
	c.stop(3)
	if err := os.RemoveAll(c.nodeDir(3)); err != nil {
		t.Fatal(err)
	}
	n := c.mustStart(3, maps.Clone(c.addrs), "")
	if n.Status().RaftID == old {
		t.Fatal("the emptied node took its old raft id")
	}
	eventually(t, func() bool {
		s := c.nodes[1].Status()
		replaced := false
		c.nodes[1].View(func(m *meta.Image) { _, ok := m.Member(old); replaced = !ok })
		return replaced && slices.Equal(sorted(s.Voters), []NodeID{1, 2, 3}) && len(s.Learners) == 0
	})
	waitReady(t, n.Node)
	c.converged()
	n.View(func(m *meta.Image) {
		if _, ok := m.Member(old); ok || len(m.Members()) != 3 {
			t.Errorf("members: %+v", m.Members())
		}
	})
}

func TestPromote(t *testing.T) {
	v := func(ids ...uint64) (out []candidate) {
		for _, id := range ids {
			out = append(out, candidate{id: id, node: NodeID(id % 100), ready: true})
		}
		return out
	}
	slow := candidate{id: 4, node: 4}
	for _, tc := range []struct {
		name             string
		voters, learners []candidate
		want             string
	}{
		{"alone", v(1), nil, ""},
		{"second waits", v(1), v(2), ""},
		{"two at once", v(1), v(3, 2), "v2 v3"},
		{"slow one doesn't count", v(1), append(v(2), slow), ""},
		{"fourth waits", v(1, 2, 3), v(4), ""},
		{"five", v(1, 2, 3), v(4, 5), "v4 v5"},
		{"not seven", v(1, 2, 3, 4, 5), v(6, 7), ""},
		{"after a removal", v(1, 2), v(4), "v4"},
		{"new incarnation", v(1, 2, 3), v(103), "v103 r3"},
		{"incarnation before others", v(1, 2, 3), v(4, 5, 103), "v103 r3"},
	} {
		if got := pb.ConfChangesToString(promote(tc.voters, tc.learners)); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

// A voter that leaves is replaced in the same change, where that keeps their
// number odd.
func TestReplaced(t *testing.T) {
	list := func(ready bool, ids ...uint64) (out []candidate) {
		for _, id := range ids {
			out = append(out, candidate{id: id, ready: ready})
		}
		return out
	}
	coming := candidate{id: 4, comes: true}
	for _, c := range []struct {
		name             string
		voters, learners []candidate
		leaves           uint64
		want             string // empty: the leaving waits
	}{
		{"a learner takes its place", list(true, 1, 2, 3), list(true, 4), 2, "r2 v4"},
		{"one that is not ready does not", list(true, 1, 2, 3), list(false, 4), 2, "r2"},
		{"one that soon will be is waited for", list(true, 1, 2, 3), []candidate{coming}, 2, ""},
		{"another one is ready", list(true, 1, 2, 3), append([]candidate{coming}, list(true, 5)...), 2, "r2 v5"},
		{"an odd number is left, and another comes", list(true, 1, 2), []candidate{coming}, 2, "r2"},
		{"the coming one leaves", list(true, 1, 2, 3), []candidate{coming}, 4, "r4"},
		{"there is none", list(true, 1, 2, 3), nil, 2, "r2"},
		{"an odd number is left", list(true, 1, 2), list(true, 4), 2, "r2"},
		{"a learner leaves", list(true, 1, 2), list(true, 3, 4), 4, "r4"},
		{"the second learner", list(true, 1, 2, 3), append(list(false, 4), list(true, 5)...), 3, "r3 v5"},
	} {
		cc := &pb.ConfChangeV2{Changes: []*pb.ConfChangeSingle{single(pb.ConfChangeRemoveNode, c.leaves)}}
		cc, comes := replaced(cc, c.voters, c.learners)
		if got := pb.ConfChangesToString(cc.Changes); comes != (c.want == "") || !comes && got != c.want {
			t.Errorf("%s: %q, waits: %t, want %q", c.name, got, comes, c.want)
		}
	}
}

func TestDemote(t *testing.T) {
	silent := candidate{id: 2, node: 2}
	v := func(ids ...uint64) (out []candidate) {
		for _, id := range ids {
			out = append(out, candidate{id: id, node: NodeID(id), ready: true})
		}
		return out
	}
	for _, tc := range []struct {
		name       string
		voters     []candidate
		controller uint64
		want       string
	}{
		{"alone", v(1), 1, ""},
		{"two", v(1, 2), 1, "l2"},
		{"two, the other leads", v(1, 2), 2, "l1"},
		{"three", v(1, 2, 3), 1, ""},
		{"four", v(1, 2, 3, 4), 1, "l4"},
		{"four, one is silent", append(v(1, 3, 4), silent), 1, "l2"},
	} {
		if got := pb.ConfChangesToString(demote(tc.voters, tc.controller)); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

// A cluster of three shrinks to two and to one, each time by a node that is
// stopped for good, and grows again: the number of voters stays odd.
func TestShrinkAndGrow(t *testing.T) {
	c := newTestCluster(t, 1, 2, 3)
	c.static(1, 2, 3)
	voters := func(n int) bool {
		for _, node := range c.nodes {
			if s := node.Status(); len(s.Voters) != n || len(s.Learners) != len(c.nodes)-n || s.Leader == 0 {
				return false
			}
		}
		return true
	}
	for left := 2; left >= 1; left-- {
		var gone NodeID
		for id := range c.nodes { // the sole voter can't go
			if s := c.any().Status(); id != s.Leader && (len(s.Voters) > 1 || !slices.Contains(s.Voters, id)) {
				gone = id
			}
		}
		c.stop(gone)
		if err := c.any().RemoveNode(t.Context(), gone); err != nil {
			t.Fatalf("remove %d: %v", gone, err)
		}
		eventually(t, func() bool { return voters(1) })
		propose(t, c.any().Node, register(NodeID(left)))
		if err := os.RemoveAll(c.nodeDir(gone)); err != nil {
			t.Fatal(err)
		}
	}
	last := c.any().Status().Leader
	for id := range c.addrs {
		if id != last {
			c.mustStart(id, nil, c.addrs[last])
		}
	}
	eventually(t, func() bool { return voters(3) })
	c.converged()
}

// TestDifferentLists: nodes that were started with different lists never found
// a cluster, and say why.
func TestDifferentLists(t *testing.T) {
	c := newTestCluster(t, 1, 2, 3)
	c.mustStart(1, maps.Clone(c.addrs), "")
	c.mustStart(2, map[NodeID]string{1: c.addrs[1], 2: c.addrs[2]}, "")
	c.mustStart(3, maps.Clone(c.addrs), "")
	ctx, cancel := context.WithTimeout(t.Context(), 600*time.Millisecond)
	defer cancel()
	_, err := c.nodes[1].Propose(ctx, register(1))
	if !errors.Is(err, ErrNoController) {
		t.Errorf("propose without a cluster: %v", err)
	}
	for id, n := range c.nodes {
		if s := n.Status(); s.State != "booting" {
			t.Errorf("node %d founded a cluster: %+v", id, s)
		}
		if _, err := os.Stat(filepath.Join(c.nodeDir(id), logDir)); !os.IsNotExist(err) {
			t.Errorf("node %d has a log: %v", id, err)
		}
	}
}

// TestLateFounder: the founders needn't start together, nor survive each
// other's restarts; the last one finds a cluster of which it is a voter.
func TestLateFounder(t *testing.T) {
	c := newTestCluster(t, 1, 2, 3)
	c.mustStart(1, maps.Clone(c.addrs), "")
	c.mustStart(2, maps.Clone(c.addrs), "")
	time.Sleep(250 * time.Millisecond)
	c.stop(2) // restarts before the founding keep the raft id
	c.mustStart(2, maps.Clone(c.addrs), "")
	c.mustStart(3, maps.Clone(c.addrs), "")
	for id, n := range c.nodes {
		waitReady(t, n.Node)
		if s := n.Status(); !slices.Equal(sorted(s.Voters), []NodeID{1, 2, 3}) {
			t.Errorf("node %d: %s", id, fmt.Sprint(s))
		}
	}
}

// recorder is a transport that only remembers its members.
type recorder struct {
	Transport
	members []meta.Member
}

func (r *recorder) SetMembers(_ string, members []meta.Member) { r.members = members }

// TestLearn: a node without members keeps the addresses that it heard of when
// another one without members answers, and its own image is better than both.
func TestLearn(t *testing.T) {
	r := &recorder{}
	n := &Node{opts: Options{Transport: r}, image: meta.NewImage()}
	known := []meta.Member{{RaftID: 1, Node: 1, Addr: "a"}}
	n.learn(greeted{Members: known})
	n.learn(greeted{})
	if !slices.Equal(r.members, known) {
		t.Errorf("members: %v", r.members)
	}
	n.image.SetMember(meta.Member{RaftID: 2, Node: 2, Addr: "b"})
	n.learn(greeted{Members: []meta.Member{{RaftID: 3, Node: 3, Addr: "c"}}})
	if !slices.Equal(r.members, known) {
		t.Errorf("members: %v", r.members)
	}
}

// A removal goes through though its controller is killed meanwhile, and the
// removed node, which was cut off, stays out.
func TestRemovalThroughAKill(t *testing.T) {
	c := newTestCluster(t, 1, 2, 3, 4, 5)
	c.static(1, 2, 3, 4, 5)
	lead := c.leader()
	gone, asked := lead%5+1, (lead+1)%5+1
	c.stop(gone)
	removed := make(chan error, 1)
	node := c.nodes[asked].Node
	go func() { removed <- node.RemoveNode(t.Context(), gone) }()
	c.stop(lead)
	if err := <-removed; err != nil {
		t.Fatal(err)
	}
	c.mustStart(lead, maps.Clone(c.addrs), "")
	c.mustStart(gone, maps.Clone(c.addrs), "")
	eventually(t, func() bool {
		for id, n := range c.nodes {
			s := n.Status()
			if id != gone && (s.Changing || len(s.Voters) != 3 || len(s.Learners) != 1 || slices.Contains(s.Voters, gone)) {
				return false
			}
		}
		return true
	})
	propose(t, c.nodes[lead].Node, register(1))
	c.nodes[asked].View(func(m *meta.Image) {
		for _, p := range m.Members() {
			if p.Node == gone {
				t.Errorf("the removed node is a member: %+v", p)
			}
		}
	})
}
