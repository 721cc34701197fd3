package raft

import (
	"testing"
)

// Whoever proposed and awaited sees what came of it, also where the controller
// is another node: a broker that has registered must not act by its old epochs.
func TestAwaitShowsResult(t *testing.T) {
	c := newTestCluster(t, 1, 2, 3)
	c.static(1, 2, 3)
	lead := c.leader()
	for id, n := range c.nodes {
		propose(t, n.Node, register(id))
	}
	for i := 1; i <= 60; i++ {
		for id, n := range c.nodes {
			if id == lead {
				continue
			}
			r := propose(t, n.Node, topic(i*10+int(id), 1, 1, 2, 3))
			if err := n.Await(t.Context(), r.Index); err != nil {
				t.Fatal(err)
			}
			if !c.hasTopic(id, i*10+int(id)) {
				t.Fatalf("node %d: created at %d, and not there", id, r.Index)
			}
			if applied := n.Status().Applied; applied < r.Index {
				t.Fatalf("node %d: applied up to %d, proposed at %d", id, applied, r.Index)
			}
		}
	}
}
