package cluster

import (
	"context"
	"time"

	"github.com/chroniklog/chronik/raft/wire"
	"github.com/chroniklog/chronik/server/peer"
	"github.com/chroniklog/chronik/server/replication"
	"github.com/chroniklog/chronik/storage/plog"
)

// dialTimeout bounds a connection's making, handshake included.
const dialTimeout = 2 * time.Second

// Follow copies a partition from its leader from now on; a partition that was
// copied from another leader is not any more.
func (c *Cluster) Follow(id plog.ID, leader int32, f replication.Followed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		return
	}
	c.unfollow(id)
	fetcher := c.fetchers[leader]
	if fetcher == nil {
		fetcher = replication.NewFetcher(leader, c.dialReplication, c.o.Epoch, c.o.Logger)
		c.fetchers[leader] = fetcher
		c.wg.Go(func() { fetcher.Run(c.ctx) })
	}
	c.leaders[id] = leader
	fetcher.Add(id, f)
}

func (c *Cluster) dialReplication(ctx context.Context, leader int32) (peer.Conn, error) {
	return c.dial(ctx, leader, wire.ClassReplication)
}

// Unfollow stops copying a partition.
func (c *Cluster) Unfollow(id plog.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unfollow(id)
}

func (c *Cluster) unfollow(id plog.ID) {
	if leader, ok := c.leaders[id]; ok {
		delete(c.leaders, id)
		c.fetchers[leader].Remove(id)
	}
}
