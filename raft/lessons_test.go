package raft

import (
	"context"
	"sync"
	"testing"
	"testing/cryptotest"
	"time"

	"github.com/chroniklog/chronik/raft/meta"
)

// The tests of this file are failures that systems of this kind have had.

// TestEveryEventArrives: no queue between the log and its observers drops
// anything: whoever counts events knows the catalog.
func TestEveryEventArrives(t *testing.T) {
	var created []string
	var last uint64
	o := soleOptions(t, t.TempDir())
	o.OnApply = func(index uint64, events []meta.Event) {
		if index < last {
			t.Errorf("events of %d after those of %d", index, last)
		}
		last = index
		for _, e := range events {
			if e, ok := e.(meta.TopicCreated); ok {
				created = append(created, e.Name)
			}
		}
	}
	n := openSole(t, o)
	propose(t, n, register(1))
	const total = 900
	var group sync.WaitGroup
	for w := range 30 {
		group.Go(func() {
			for i := range total / 30 {
				if _, err := n.Propose(t.Context(), topic(w*100+i, 1, 1)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	closeNode(t, n) // the loop has ended: created is complete
	seen := map[string]bool{}
	for _, name := range created {
		seen[name] = true
	}
	if len(created) != total || len(seen) != total {
		t.Errorf("%d events of %d topics, want %d", len(created), len(seen), total)
	}
}

// TestCompactionIsRare: entries trigger it, not rounds.
func TestCompactionIsRare(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 5)
	s := newSimulation(t, 5, 1)
	s.register()
	c := s.cores[1]
	compactions := 0
	hook := c.cfg.Hook
	c.cfg.Hook = func(st Stage) error {
		if st == StageCompact {
			compactions++
		}
		return hook(st)
	}
	from := c.State().Applied.Index
	for range 300 {
		s.propose()
		s.step()
	}
	applied := int(c.State().Applied.Index - from)
	if compactions == 0 || compactions > applied/12+1 {
		t.Errorf("%d compactions of %d entries", compactions, applied)
	}
	idle := compactions
	for range 200 {
		s.step()
	}
	if compactions != idle {
		t.Error("an idle log is compacted")
	}
}

// TestStartNeedsNobody: a member whose peers are all down is open at once,
// serves its image, and says that there is no controller.
func TestStartNeedsNobody(t *testing.T) {
	c := newTestCluster(t, 1, 2, 3)
	c.static(1, 2, 3)
	propose(t, c.nodes[1].Node, register(1))
	propose(t, c.nodes[1].Node, topic(1, 1, 1))
	c.converged()
	for id := range c.addrs {
		c.stop(id)
	}
	begin := time.Now()
	n := c.mustStart(2, nil, "")
	t.Logf("open without peers: %v", time.Since(begin))
	if !c.hasTopic(2, 1) {
		t.Error("the image is empty")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := n.Propose(ctx, topic(2, 1, 1)); err == nil {
		t.Error("proposed without a majority")
	}
	c.mustStart(3, nil, "")
	propose(t, n.Node, topic(2, 1, 1))
}

// TestViewsDontDeadlock: readers, proposers and observers that read, all at
// once, over many terms of load.
func TestViewsDontDeadlock(t *testing.T) {
	var n *Node
	var mu sync.Mutex
	o := soleOptions(t, t.TempDir())
	o.OnApply = func(uint64, []meta.Event) {
		mu.Lock()
		defer mu.Unlock()
		if n != nil {
			n.View(func(m *meta.Image) { m.Counts() })
			n.Status()
		}
	}
	node := openSole(t, o)
	mu.Lock()
	n = node
	mu.Unlock()
	propose(t, node, register(1))
	stop := make(chan struct{})
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(100 * time.Microsecond):
					node.View(func(m *meta.Image) { m.Topics("", "", 10) })
				}
			}
		})
	}
	for i := range 50 {
		propose(t, node, topic(i, 2, 1))
	}
	close(stop)
	group.Wait()
	closeNode(t, node)
}

// TestPausedLeader: a controller that doesn't hear from a majority steps down
// and takes no more commands.
func TestPausedLeader(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 11)
	s := newSimulation(t, 11, 1, 2, 3)
	s.register()
	old := s.leader()
	id := old.cfg.ID
	s.isolated = id
	for range 60 {
		s.step()
	}
	if s.cores[id].State().Lead == id {
		t.Error("the cut-off controller still leads")
	}
	if err := s.cores[id].Propose(meta.Encode(meta.Request{ID: meta.ID{1, 1, 9}}, topic(999, 1, 1))); err == nil {
		t.Error("it still takes commands")
	}
	l := s.leader()
	if l == nil || l.cfg.ID == id {
		t.Fatal("the others have no leader")
	}
	s.isolated = 0
	s.propose()
	s.settle()
}
