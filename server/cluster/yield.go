package cluster

import (
	"context"
	"time"

	"github.com/chroniklog/chronik/raft/meta"
	"github.com/chroniklog/chronik/server/forward"
	"github.com/chroniklog/chronik/storage/plog"
)

// yieldTime bounds the preparation of leaders that the controller replaces.
const yieldTime = 1100 * time.Millisecond

// yield has the leaders that a command of the controller's will replace finish
// what they have in hand.
func (c *Cluster) yield(ctx context.Context, cmd meta.Command) {
	local := c.local.Load()
	if local == nil {
		return
	}
	var list []forward.Handover
	c.o.Metadata.View(func(img *meta.Image) {
		for _, h := range meta.Handovers(img, cmd) {
			list = append(list, forward.Handover{ID: plog.ID{Topic: h.TopicID, Partition: h.Partition}, Leader: h.Leader})
		}
	})
	ctx, cancel := context.WithTimeout(ctx, yieldTime)
	defer cancel()
	forward.Prepare(ctx, list, c.o.Node, *local, c.Leader)
}
