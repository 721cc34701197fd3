package server

import (
	"context"
	"time"

	"github.com/chroniklog/chronik/raft/meta"
	"github.com/chroniklog/chronik/server/forward"
	"github.com/chroniklog/chronik/storage/plog"
)

const (
	// yieldTime is how long a leader that is to be replaced may take for the
	// appends that it has in hand.
	yieldTime = time.Second
	// yieldHold is how long it refuses new ones, unless it is replaced before:
	// yieldTime, and the time that a command takes.
	yieldHold = 3 * time.Second
)

// Yield implements forward.Leadership.
func (l *Local) Yield(ctx context.Context, ids []plog.ID) {
	ctx, cancel := context.WithTimeout(ctx, yieldTime)
	defer cancel()
	inHand := make([]<-chan struct{}, 0, len(ids))
	for _, id := range ids {
		_, p, err := l.part(id)
		if err != nil || p.state.Load().Leader != l.b.o.Node {
			continue
		}
		if r := p.replica.Load(); r != nil {
			inHand = append(inHand, r.Yield(yieldHold))
		}
	}
	for _, done := range inHand {
		select {
		case <-done:
		case <-ctx.Done():
			return
		}
	}
}

// Yield has the leaders that a command will replace finish what they have in
// hand, so that no append ends with an unknown outcome for it. Call it just
// before the command is proposed.
func (b *Broker) Yield(ctx context.Context, cmd meta.Command) {
	if b.peers == nil {
		return
	}
	var list []forward.Handover
	b.meta.View(func(img *meta.Image) {
		for _, h := range meta.Handovers(img, cmd) {
			list = append(list, forward.Handover{ID: logID(h.TopicID, h.Partition), Leader: h.Leader})
		}
	})
	ctx, cancel := context.WithTimeout(ctx, yieldTime+failoverPause)
	defer cancel()
	forward.Prepare(ctx, list, b.o.Node, b.Local(), b.peers.Leader)
}

// Leave gives up, in good order, what this node leads and its places in ISRs,
// before it stops, and waits until the other nodes show that. What fails here
// is what the cluster does by itself when this node is gone.
func (b *Broker) Leave(ctx context.Context) error {
	cmd := &meta.FenceBroker{ID: b.o.Node, Epoch: b.Epoch()}
	for {
		b.Yield(ctx, cmd)
		res, err := b.propose(ctx, cmd)
		if err != nil {
			return err
		}
		if !res.More {
			return b.awaitEverywhere(ctx, res.Index)
		}
	}
}
