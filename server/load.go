package server

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/chroniklog/chronik/raft/meta"
	"github.com/chroniklog/chronik/server/forward"
	"github.com/chroniklog/chronik/server/telemetry"
)

// loadTime bounds the question for other nodes' counters: who looks at rates
// asks anew every few seconds, and a node that is away must not hold that up.
const loadTime = time.Second

var _ forward.Loader = (*Local)(nil)

// Load implements forward.Loader.
func (l *Local) Load() telemetry.Load { return l.b.o.Metrics.Load() }

// NodeLoad is what one node has done; without Answered the rest is nothing.
type NodeLoad struct {
	Node     NodeID
	Answered bool
	telemetry.Load
}

// Load is what each node has done, in the order of their ids. All are asked at
// the same time; those that are fenced are not asked.
func (b *Broker) Load(ctx context.Context) []NodeLoad {
	ctx, cancel := context.WithTimeout(ctx, loadTime)
	defer cancel()
	var all []NodeLoad
	fenced := make(map[NodeID]bool)
	b.meta.View(func(img *meta.Image) {
		for _, n := range img.Brokers() {
			all = append(all, NodeLoad{Node: n.ID})
			fenced[n.ID] = n.Fenced
		}
	})
	slices.SortFunc(all, func(x, y NodeLoad) int { return cmp.Compare(x.Node, y.Node) })
	var wg sync.WaitGroup
	for i := range all {
		n := &all[i]
		if n.Node == b.o.Node {
			n.Load, n.Answered = b.Local().Load(), true
			continue
		}
		if b.peers == nil || fenced[n.Node] {
			continue
		}
		wg.Go(func() {
			load, err := b.peers.Leader(n.Node).Load(ctx)
			if err == nil { // else it is away: the answer says that
				n.Load, n.Answered = load, true
			}
		})
	}
	wg.Wait()
	return all
}
