package raft

import (
	"context"
	"errors"
	"slices"
	"syscall"
	"time"

	etcd "go.etcd.io/raft/v3"

	"github.com/chroniklog/chronik/raft/wire"
)

// A leader whose process has ended need not be missed for an election's
// timeout: its connections end, and its address refuses new ones. That is no
// proof (an address may change, a firewall may refuse), and none is needed:
// whoever forgets a leader that lives can't win a vote, since the others still
// hear from it, and learns of it again by its next heartbeat.

// graceTicks lie between noticing that the leader is gone and standing for
// election, for the others to notice, too: before that they grant no vote.
// Between one voter and the next they lie once more, so that the first has won
// before the second stands.
const graceTicks = 2

// Gone tells that a member's process seems to have ended. If it was the
// leader, this member forgets it and soon stands for election, in an order
// that all voters know.
func (c *Core) Gone(id uint64) {
	st := c.rn.BasicStatus()
	if c.err != nil || st.Lead != id || st.RaftState != etcd.StateFollower {
		return
	}
	_ = c.rn.ForgetLeader() // can't fail
	voters := slices.DeleteFunc(slices.Clone(c.conf.GetVoters()), func(v uint64) bool { return v == id })
	slices.Sort(voters)
	if rank := slices.Index(voters, c.cfg.ID); rank >= 0 {
		c.stand = graceTicks * (rank + 1)
	}
}

// succeed counts down to the candidature that Gone decided on. It is dropped
// when there is a leader, or an election, before.
func (c *Core) succeed() {
	if c.stand == 0 {
		return
	}
	if st := c.rn.BasicStatus(); st.Lead != etcd.None || st.RaftState != etcd.StateFollower {
		c.stand = 0
		return
	}
	if c.stand--; c.stand == 0 {
		if err := c.rn.Campaign(); err != nil {
			c.cfg.Logger.Debug("campaign", "error", err)
		}
	}
}

// Gone implements Handler.
func (n *Node) Gone(id uint64) {
	select {
	case n.control <- func(c *Core) { c.Gone(id) }:
	default: // a hint only: an election's timeout tells, too
	}
}

const (
	// gonePause lies between two looks at a member whose connection ended: of
	// a process that ends, connections may end before the listener.
	gonePause = 20 * time.Millisecond
	// goneTime is how long it is looked at; longer, and an election is near.
	goneTime = 400 * time.Millisecond
)

// watch looks whether a member whose connection has ended is gone.
func (l *link) watch() {
	ctx, cancel := context.WithTimeout(l.ctx, goneTime)
	defer cancel()
	for ctx.Err() == nil {
		c, err := l.t.ep.Dial(ctx, l.member.Addr, wire.ClassControl,
			wire.Identity{Node: l.member.Node, Raft: l.member.RaftID})
		if err == nil {
			_ = c.Close()
			return
		}
		if l.refused(err) {
			return
		}
		select {
		case <-time.After(gonePause):
		case <-ctx.Done():
		}
	}
}

// refused reports a member whose address refuses connections as gone.
func (l *link) refused(err error) bool {
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return false
	}
	l.t.h.Gone(l.member.RaftID)
	return true
}
