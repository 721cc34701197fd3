package servertest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/chroniklog/chronik/server/config"
)

// Cluster is several nodes that found a cluster together.
type Cluster struct {
	Nodes []*Node // node id i+1 at index i

	t     testing.TB
	host  string
	peers []string
}

// StartCluster starts size nodes and returns when all are ready.
func StartCluster(t testing.TB, size int, opts ...Option) *Cluster {
	t.Helper()
	c := &Cluster{t: t, host: loopback()}
	for id := 1; id <= size; id++ {
		c.peers = append(c.peers, fmt.Sprintf("%d@%s", id, c.freeAddr()))
	}
	for id := 1; id <= size; id++ {
		c.Nodes = append(c.Nodes, prepare(t, append([]Option{WithConfig(c.static(id))}, opts...)...))
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return c
}

// static is the configuration of a founder.
func (c *Cluster) static(id int) func(*config.Config) {
	return func(cfg *config.Config) {
		cfg.NodeID, cfg.Peers = int32(id), c.peers
		_, cfg.Peer, _ = strings.Cut(c.peers[id-1], "@")
	}
}

// Start starts the nodes that do not run, at the same time, and returns when
// all are ready.
func (c *Cluster) Start() error {
	var g errgroup.Group
	for i, n := range c.Nodes {
		if n.node == nil {
			g.Go(func() error {
				if err := n.tryStart(); err != nil {
					return fmt.Errorf("start node %d: %w", i+1, err)
				}
				return nil
			})
		}
	}
	return g.Wait()
}

// Stop shuts nodes down in good order, at the same time.
func (c *Cluster) Stop(nodes ...*Node) {
	var g errgroup.Group
	for _, n := range nodes {
		g.Go(func() error { n.stop(); return nil })
	}
	_ = g.Wait() // stop reports to the test
}

// Prepare makes one more node, which joins when it is started.
func (c *Cluster) Prepare(opts ...Option) *Node {
	c.t.Helper()
	id := len(c.Nodes) + 1
	_, entrance, _ := strings.Cut(c.peers[0], "@")
	join := func(cfg *config.Config) {
		cfg.NodeID, cfg.Join, cfg.Peer = int32(id), entrance, c.freeAddr()
	}
	n := prepare(c.t, append([]Option{WithConfig(join)}, opts...)...)
	c.Nodes = append(c.Nodes, n)
	return n
}

// freeAddr is an address that is free now.
func (c *Cluster) freeAddr() string {
	c.t.Helper()
	l, err := net.Listen("tcp", c.host+":0")
	if err != nil {
		c.t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		c.t.Fatal(err)
	}
	return addr
}

// loopback is an address of this machine that no other test uses, so that a
// port that was free stays free; where there is none, the usual one.
func loopback() string {
	host := fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(254), rand.IntN(256), 1+rand.IntN(254))
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", host+":0")
	if err != nil {
		return "127.0.0.1"
	}
	_ = l.Close() // nobody connected
	return host
}
