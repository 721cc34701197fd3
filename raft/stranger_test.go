package raft

import (
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chroniklog/chronik/raft/meta"
)

// refused waits until a node gives up.
func refused(t *testing.T, n *testNode) error {
	t.Helper()
	select {
	case err := <-n.Refused():
		return err
	case <-n.Ready():
		t.Fatal("it was let in")
	case <-time.After(15 * time.Second):
		t.Fatalf("it was not refused; it waits for: %v", n.Waiting())
	}
	return nil
}

func wantText(t *testing.T, err error, want error, texts ...string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("%v is not %v", err, want)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%v: it does not say %q", err, text)
		}
	}
}

// outsider is a cluster's node on an address of its own, with a directory of
// its own or a copy.
func (c *testCluster) outsider(name NodeID) {
	c.front[name] = newFront(c.t)
	c.addrs[name] = c.front[name].Addr().String()
}

// startAs starts the outsider under a node id.
func (c *testCluster) startAs(at, id NodeID, peers map[NodeID]string, join string) *testNode {
	c.t.Helper()
	tune := c.tune
	defer func() { c.tune = tune }()
	c.tune = func(o *Options) {
		if tune != nil {
			tune(o)
		}
		o.NodeID = id
	}
	return c.mustStart(at, peers, join)
}

// A second process under a node id is told so and gives up, whether it has a
// directory of its own or a copy; the first one goes on.
func TestNodeIDTaken(t *testing.T) {
	c := newTestCluster(t, 1, 2, 3)
	c.static(1, 2, 3)
	propose(t, c.nodes[1].Node, register(1))
	peers := maps.Clone(c.addrs)
	c.outsider(11)
	n := c.startAs(11, 2, nil, c.addrs[1])
	wantText(t, refused(t, n), ErrNodeIDTaken, c.addrs[2], "--node-id")
	c.stop(11)

	// The controller is a new one when the copy comes: it has yet to hear from
	// whom there is.
	eventually(t, func() bool {
		_ = c.nodes[1].TransferController(t.Context(), 2)
		return c.leader() == 2
	})
	raftID := c.nodes[2].id().raftID
	c.stop(2)
	if err := os.RemoveAll(c.nodeDir(11)); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(c.nodeDir(11), os.DirFS(c.nodeDir(2))); err != nil {
		t.Fatal(err)
	}
	c.mustStart(2, peers, "")
	waitReady(t, c.nodes[2].Node)
	n = c.startAs(11, 2, peers, "")
	wantText(t, refused(t, n), ErrNodeIDTaken, c.addrs[2], "directory of its own")
	c.stop(11)

	propose(t, c.nodes[2].Node, topic(1, 1, 1))
	c.converged()
	c.nodes[1].View(func(m *meta.Image) {
		if got, _ := m.Member(raftID); got.Addr != c.addrs[2] || len(m.Members()) != 3 {
			t.Errorf("members: %+v", m.Members())
		}
	})
}

// An empty node whose --peers lead to another cluster does not enter it.
func TestPeersOfAnotherCluster(t *testing.T) {
	c := newTestCluster(t, 1, 2, 3)
	c.static(1, 2, 3)
	propose(t, c.nodes[1].Node, register(1))
	c.outsider(11)
	c.outsider(12)
	for name, peers := range map[string]map[NodeID]string{
		"a node that the cluster doesn't know": {4: c.addrs[11], 1: c.addrs[1], 5: c.addrs[12]},
		"another node at the address":          {4: c.addrs[11], 6: c.addrs[1], 5: c.addrs[12]},
	} {
		t.Run(name, func(t *testing.T) {
			n := c.startAs(11, 4, peers, "")
			wantText(t, refused(t, n), ErrForeign, c.addrs[1], "--peers", "--join")
			c.stop(11)
			if _, err := os.Stat(c.nodeDir(11) + "/" + logDir); !os.IsNotExist(err) {
				t.Errorf("it has a log: %v", err)
			}
		})
	}
}

// A node of one cluster that is pointed at another refuses to start; a foreign
// node among its own is no reason.
func TestDirectoryOfAnotherCluster(t *testing.T) {
	c := newTestCluster(t, 1, 2, 3)
	c.static(1, 2, 3)
	named(t, c.nodes[1].Node, "ours")
	c.outsider(11)
	other := c.startAs(11, 1, nil, "")
	waitReady(t, other.Node)
	named(t, other.Node, "theirs")
	eventually(t, func() bool {
		known := 0
		for _, n := range c.nodes {
			if n.ep.Identity().Cluster != "" {
				known++
			}
		}
		return known == 4
	})

	c.stop(3)
	_, err := c.start(3, nil, c.addrs[11])
	wantText(t, err, ErrForeign, c.addrs[11], "--join", "cluster theirs, not ours")
	_, err = c.start(3, map[NodeID]string{3: c.addrs[3], 1: c.addrs[11]}, "")
	wantText(t, err, ErrForeign, c.addrs[11], "--peers")
	n := c.mustStart(3, map[NodeID]string{3: c.addrs[3], 1: c.addrs[1], 2: c.addrs[11]}, "")
	waitReady(t, n.Node)
	c.stop(11)
	c.converged()
}

func named(t *testing.T, n *Node, cluster string) {
	t.Helper()
	propose(t, n, &meta.SetClusterInfo{ID: cluster, Secret: make([]byte, 32)})
}

func TestNotAmong(t *testing.T) {
	members := []meta.Member{{RaftID: 1, Node: 1}, {RaftID: 2, Node: 2}, {RaftID: 22, Node: 2}}
	peers := map[NodeID]string{1: "a", 2: "b", 3: "c", 4: "d"}
	if got := notAmong(peers, members); !slices.Equal(got, []NodeID{3, 4}) {
		t.Errorf("%v", got)
	}
	if got := notAmong(peers, nil); got != nil {
		t.Errorf("%v of a node that knows no members", got)
	}
}

// A member whose directory is older than what it acknowledged stops, and says
// what to do.
func TestOlderDirectory(t *testing.T) {
	c := newTestCluster(t, 1, 2, 3)
	c.static(1, 2, 3)
	propose(t, c.nodes[1].Node, register(1))
	eventually(t, func() bool {
		_ = c.nodes[1].TransferController(t.Context(), 1)
		return c.leader() == 1
	})
	c.stop(2)
	before := t.TempDir()
	if err := os.CopyFS(before, os.DirFS(c.nodeDir(2))); err != nil {
		t.Fatal(err)
	}
	peers := maps.Clone(c.addrs)
	waitReady(t, c.mustStart(2, peers, "").Node)
	for i := range 5 {
		propose(t, c.nodes[1].Node, topic(i+1, 1, 1))
	}
	c.converged()
	c.stop(2)
	if err := errors.Join(os.RemoveAll(c.nodeDir(2)), os.CopyFS(c.nodeDir(2), os.DirFS(before))); err != nil {
		t.Fatal(err)
	}
	n := c.mustStart(2, peers, "")
	eventually(t, func() bool { return n.fatal.Load() != nil })
	err := *n.fatal.Swap(nil)
	wantText(t, err, ErrCorrupt, "older copy", "--join")
}
