package raft

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chroniklog/chronik/raft/meta"
	"github.com/chroniklog/chronik/raft/wire"
)

// testCluster is nodes over TCP on loopback.
type testCluster struct {
	t     testing.TB
	dir   string
	addrs map[NodeID]string
	front map[NodeID]*front
	nodes map[NodeID]*testNode
	tune  func(*Options)
}

type testNode struct {
	*Node
	ep    *wire.Endpoint
	fatal atomic.Pointer[error]
}

// front is a listener that outlives the nodes behind it, so that nobody else
// gets the address while a node is down. Connections to a node that is down are
// closed at once.
type front struct {
	net.Listener
	mu   sync.Mutex
	node *behind
}

// behind is the front as one life of a node sees it.
type behind struct {
	f     *front
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newFront(t testing.TB) *front {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &front{Listener: l}
	var group sync.WaitGroup
	group.Go(f.run)
	t.Cleanup(func() {
		_ = l.Close()
		group.Wait()
	})
	return f
}

func (f *front) run() {
	for {
		c, err := f.Listener.Accept()
		if err != nil {
			return
		}
		f.mu.Lock()
		b := f.node
		f.mu.Unlock()
		if b == nil {
			_ = c.Close()
			continue
		}
		select {
		case b.conns <- c:
		case <-b.done:
			_ = c.Close()
		}
	}
}

func (f *front) attach() *behind {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.node = &behind{f: f, conns: make(chan net.Conn), done: make(chan struct{})}
	return f.node
}

func (b *behind) Accept() (net.Conn, error) {
	select {
	case c := <-b.conns:
		return c, nil
	case <-b.done:
		return nil, net.ErrClosed
	}
}

func (b *behind) Addr() net.Addr { return b.f.Addr() }

func (b *behind) Close() error {
	b.once.Do(func() {
		b.f.mu.Lock()
		if b.f.node == b {
			b.f.node = nil
		}
		b.f.mu.Unlock()
		close(b.done)
	})
	return nil
}

func newTestCluster(t testing.TB, ids ...NodeID) *testCluster {
	c := &testCluster{t: t, dir: t.TempDir(), addrs: map[NodeID]string{}, nodes: map[NodeID]*testNode{}}
	c.front = map[NodeID]*front{}
	for _, id := range ids {
		c.front[id] = newFront(t)
		c.addrs[id] = c.front[id].Addr().String()
	}
	t.Cleanup(func() {
		for id := range c.nodes {
			c.stop(id)
		}
	})
	return c
}

func (c *testCluster) nodeDir(id NodeID) string { return filepath.Join(c.dir, fmt.Sprint(id)) }

// start starts a node; with join or peers as given.
func (c *testCluster) start(id NodeID, peers map[NodeID]string, join string) (*testNode, error) {
	c.t.Helper()
	n := &testNode{}
	log := slog.New(slog.NewTextHandler(testLog{c.t}, &slog.HandlerOptions{Level: slog.LevelInfo})).With("node", id)
	n.ep = wire.New(wire.Options{Listener: c.front[id].attach(), Logger: log})
	tr := NewWireTransport(n.ep, log)
	n.ep.Serve()
	o := Options{
		Dir: c.nodeDir(id), NodeID: id, Addr: c.addrs[id], Peers: peers, Join: join, Transport: tr,
		Logger: log, Ballast: -1, Tick: 20 * time.Millisecond,
		Fatal: func(err error) { n.fatal.Store(&err) },
	}
	if c.tune != nil {
		c.tune(&o)
	}
	node, err := Open(context.Background(), o)
	if err != nil {
		return nil, errors.Join(err, n.ep.Close())
	}
	n.Node = node
	c.nodes[id] = n
	return n, nil
}

func (c *testCluster) mustStart(id NodeID, peers map[NodeID]string, join string) *testNode {
	c.t.Helper()
	n, err := c.start(id, peers, join)
	if err != nil {
		c.t.Fatal(err)
	}
	return n
}

// stop stops a node. Nothing is flushed for it that wasn't synced before:
// what a node promised must not depend on its end.
func (c *testCluster) stop(id NodeID) {
	n := c.nodes[id]
	if n == nil {
		return
	}
	delete(c.nodes, id)
	if err := errors.Join(n.Close(), n.ep.Close()); err != nil {
		c.t.Errorf("stop node %d: %v", id, err)
	}
	if err := n.fatal.Load(); err != nil {
		c.t.Errorf("node %d failed: %v", id, *err)
	}
}

// static starts ids as a static quorum and waits until all are ready.
func (c *testCluster) static(ids ...NodeID) {
	c.t.Helper()
	for _, id := range ids {
		c.mustStart(id, maps.Clone(c.addrs), "")
	}
	for _, id := range ids {
		waitReady(c.t, c.nodes[id].Node)
	}
}

func (c *testCluster) any() *testNode {
	for _, n := range c.nodes {
		return n
	}
	return nil
}

// leader waits until all running nodes agree on one that runs.
func (c *testCluster) leader() NodeID {
	c.t.Helper()
	var leader NodeID
	eventually(c.t, func() bool {
		leader = c.any().Status().Leader
		for _, n := range c.nodes {
			if n.Status().Leader != leader {
				return false
			}
		}
		return leader != 0 && c.nodes[leader] != nil
	})
	return leader
}

// eventually polls a condition that other goroutines bring about.
func eventually(t testing.TB, cond func() bool) {
	t.Helper()
	for begin := time.Now(); time.Since(begin) < 15*time.Second; time.Sleep(5 * time.Millisecond) {
		if cond() {
			return
		}
	}
	t.Fatal("condition did not come about")
}

// converged waits until all running nodes have equal images.
func (c *testCluster) converged() {
	c.t.Helper()
	eventually(c.t, func() bool {
		var first *meta.Image
		for _, n := range c.nodes {
			equal := true
			n.View(func(m *meta.Image) {
				image, err := meta.Load(m.Pairs())
				if err != nil {
					c.t.Fatal(err)
				}
				if first == nil {
					first = image
				}
				equal = first.Equal(image)
			})
			if !equal {
				return false
			}
		}
		return true
	})
}

func (c *testCluster) hasTopic(id NodeID, i int) bool {
	found := false
	c.nodes[id].View(func(m *meta.Image) { _, found = m.TopicByID(topicID(i)) })
	return found
}

func TestStaticQuorum(t *testing.T) {
	c := newTestCluster(t, 1, 2, 3)
	begin := time.Now()
	c.static(1, 2, 3)
	t.Logf("founded in %v", time.Since(begin))
	lead := c.leader()
	for id, n := range c.nodes { // from followers, too
		propose(t, n.Node, register(id))
	}
	propose(t, c.nodes[1].Node, topic(1, 4, 1, 2, 3))
	c.converged()
	for id := range c.nodes {
		if s := c.nodes[id].Status(); !slices.Equal(sorted(s.Voters), []NodeID{1, 2, 3}) {
			t.Errorf("node %d: voters %v", id, s.Voters)
		}
		if !c.hasTopic(id, 1) {
			t.Errorf("node %d lacks the topic", id)
		}
	}

	// The leader dies: the others elect one of them, and nothing is lost.
	c.stop(lead)
	begin = time.Now()
	propose(t, c.any().Node, topic(2, 1, 1, 2, 3))
	t.Logf("first proposal after the leader's death: %v", time.Since(begin))

	// It comes back with what it had and catches up.
	c.mustStart(lead, maps.Clone(c.addrs), "")
	waitReady(t, c.nodes[lead].Node)
	c.converged()
	if !c.hasTopic(lead, 2) {
		t.Error("the former leader didn't catch up")
	}
}

func sorted(ids []NodeID) []NodeID {
	out := slices.Clone(ids)
	slices.Sort(out)
	return out
}
