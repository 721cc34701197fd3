package raft

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime/debug"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
)

// run is the loop: it owns the core. While a round of Process writes to disk,
// messages and proposals gather in the queues; the next round takes all of
// them. Missed ticks are not made up for.
func (n *Node) run() {
	defer n.group.Go(n.refuseProposals)
	defer func() {
		if r := recover(); r != nil {
			n.fail(fmt.Errorf("metadata log: %v\n%s", r, debug.Stack()))
		}
	}()
	ticker := time.NewTicker(n.opts.Tick)
	defer ticker.Stop()
	for {
		for n.core.HasReady() {
			began := time.Now()
			if err := n.core.Process(); err != nil {
				n.fail(err)
				return
			}
			n.opts.Metrics.Round(time.Since(began))
			n.publish()
			n.waiters.reached(n.Status().Applied)
			n.drain()
			n.turns.Add(1)
		}
		n.publish()
		n.waiters.reached(n.Status().Applied)
		n.dropSnapshots()
		n.turns.Add(1)
		select {
		case <-n.ctx.Done():
			return
		case <-ticker.C:
			n.core.Tick()
			n.maintain()
		case m := <-n.inbox:
			n.step(m)
		case p := <-n.proposals:
			n.propose(p)
		case f := <-n.control:
			f(n.core)
		}
		n.drain()
	}
}

// drain takes what is queued, up to a queue's length of each.
func (n *Node) drain() {
	for range maxProposals {
		select {
		case m := <-n.inbox:
			n.step(m)
		case p := <-n.proposals:
			n.propose(p)
		case f := <-n.control:
			f(n.core)
		default:
			return
		}
	}
}

// refuseProposals answers what is queued when the loop has ended.
func (n *Node) refuseProposals() {
	for {
		select {
		case p := <-n.proposals:
			n.waiters.reject(p, ErrClosed)
		default:
			return
		}
	}
}

// step gives a message to the core. A follower on a full disk ignores entries,
// as if they were lost: it goes on voting and hearing from the leader.
func (n *Node) step(m *pb.Message) {
	if m.GetType() == pb.MsgSnap {
		n.member.files = append(n.member.files, string(m.GetSnapshot().GetData()))
	}
	if len(m.GetEntries()) > 0 || m.GetType() == pb.MsgSnap {
		if n.disk.CheckSpace(int(max(n.opts.MinFree, 0))) != nil {
			return
		}
	}
	n.core.Step(m)
}

// dropSnapshots removes the files of received snapshots, which are installed
// by now, or were not wanted.
func (n *Node) dropSnapshots() {
	for _, name := range n.member.files {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			n.opts.Logger.Warn("remove received snapshot", "error", err)
		}
	}
	n.member.files = n.member.files[:0]
}

// propose gives a proposal to the core.
func (n *Node) propose(p *proposal) {
	if err := n.disk.CheckSpace(int(max(n.opts.MinFree, 0)) + len(p.cmd)); err != nil {
		n.waiters.reject(p, err)
		return
	}
	if err := n.core.Propose(p.cmd); err != nil {
		n.waiters.reject(p, err)
	}
}

// send is called by the core: it must not block.
func (n *Node) send(msgs []*pb.Message) {
	if n.opts.Transport == nil {
		return
	}
	for _, m := range msgs {
		if m.GetType() == pb.MsgSnap {
			n.sendSnapshot(m)
			continue
		}
		n.opts.Transport.Send(m)
	}
}

// sendSnapshot streams the applied state as it is now.
func (n *Node) sendSnapshot(m *pb.Message) {
	src := n.disk.openSnapshot()
	if src.meta.Index != m.GetSnapshot().GetMetadata().GetIndex() {
		// The state has moved on since the message was made; tell raft to try
		// again, but not from within the core.
		src.Close()
		n.later(func(c *Core) { c.SnapshotSent(m.GetTo(), false) })
		return
	}
	n.group.Add(1)
	n.opts.Transport.SendSnapshot(m, func(w io.Writer) error { return src.stream(w) }, func(ok bool) {
		defer n.group.Done()
		src.Close()
		n.later(func(c *Core) { c.SnapshotSent(m.GetTo(), ok) })
	})
}

// later runs f on the loop, unless it ends before.
func (n *Node) later(f func(*Core)) {
	select {
	case n.control <- f:
	default:
		n.group.Go(func() {
			select {
			case n.control <- f:
			case <-n.ctx.Done():
			}
		})
	}
}

// do runs f on the loop and waits for it.
func (n *Node) do(f func(*Core) error) error {
	done := make(chan error, 1)
	select {
	case n.control <- func(c *Core) { done <- f(c) }:
	case <-n.ctx.Done():
		return ErrClosed
	}
	select {
	case err := <-done:
		return err
	case <-n.ctx.Done():
		return ErrClosed
	}
}

var errLost = errors.New("leadership was lost while the command was in flight")
