package raft

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	etcd "go.etcd.io/raft/v3"

	"github.com/chroniklog/chronik/raft/meta"
)

// adminRequest is a change of the members, for the controller. Repeating one
// is harmless.
type adminRequest struct {
	Op     string      `json:"op"` // enter, leave, transfer
	Member meta.Member `json:"member,omitzero"`
	Node   NodeID      `json:"node,omitempty"`
}

const (
	opEnter    = "enter"
	opLeave    = "leave"
	opTransfer = "transfer"

	// adminStep bounds one attempt at the controller; adminRepeat is when it
	// proposes again what raft may have dropped (one change at a time).
	adminStep   = 10 * time.Second
	adminRepeat = 500 * time.Millisecond
)

// RemoveNode removes a node from the metadata group, from any node. A node
// that is the controller hands over first. ErrLastVoter; no error if it is no
// member.
func (n *Node) RemoveNode(ctx context.Context, node NodeID) error {
	if err := n.atController(ctx, adminRequest{Op: opLeave, Node: node}); err != nil {
		return fmt.Errorf("remove node %d: %w", node, err)
	}
	return nil
}

// TransferController makes a voter the controller, from any node, and waits
// until it is. ErrUnknownNode if the node is no voter.
func (n *Node) TransferController(ctx context.Context, node NodeID) error {
	ctx, cancel := context.WithTimeout(ctx, n.opts.ProposeTimeout)
	defer cancel()
	for {
		changed := n.changed.wait()
		if n.Status().Leader == node {
			return nil
		}
		if err := n.atController(ctx, adminRequest{Op: opTransfer, Node: node}); err != nil {
			return fmt.Errorf("transfer controller to node %d: %w", node, err)
		}
		timer := time.NewTimer(2 * electionTicks * n.opts.Tick)
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
		case <-n.ctx.Done():
		}
		timer.Stop()
		if err := n.over(ctx); err != nil {
			return fmt.Errorf("transfer controller to node %d: %w", node, err)
		}
	}
}

// atController carries out a request at the controller, wherever it is.
func (n *Node) atController(ctx context.Context, a adminRequest) error {
	ctx, cancel := context.WithTimeout(ctx, n.opts.ProposeTimeout)
	defer cancel()
	request, err := json.Marshal(a)
	if err != nil {
		return err
	}
	request = append([]byte{methodAdmin}, request...)
	for {
		changed := n.changed.wait()
		if a.Op == opLeave && a.Node == n.opts.NodeID && n.gone() {
			return nil // nobody would tell
		}
		err := errNotLeader
		switch s := n.Status(); {
		case s.Controller():
			err = n.administer(ctx, a)
		case s.leader != 0 && n.opts.Transport != nil:
			if addr := n.addr(s.leader); addr != "" {
				_, err = readAnswer(n.opts.Transport.Call(ctx, addr, request))
			}
		}
		retry := errors.Is(err, errNotLeader) || errors.Is(err, errDropped) || errors.Is(err, errUncertain)
		if !retry {
			return err
		}
		timer := time.NewTimer(retryPause)
		select {
		case <-timer.C:
		case <-changed:
		case <-ctx.Done():
		case <-n.ctx.Done():
		}
		timer.Stop()
		if cause := n.over(ctx); cause != nil {
			return fmt.Errorf("%w: %w", n.noController(), cause)
		}
	}
}

// gone tells that this node saw its own removal.
func (n *Node) gone() bool {
	gone := false
	n.View(func(m *meta.Image) {
		_, present := m.Member(n.id().raftID)
		gone = !present && len(m.Members()) > 0
	})
	return gone
}

// administer carries out a request as the controller.
func (n *Node) administer(ctx context.Context, a adminRequest) error {
	switch a.Op {
	case opTransfer:
		return n.do(func(c *Core) error { return n.transfer(c, a.Node) })
	case opEnter:
		if a.Member.RaftID == 0 || a.Member.Node < 1 || a.Member.Addr == "" || len(a.Member.Addr) > 256 {
			return fmt.Errorf("%w: member without id, node or address", meta.ErrInvalidCommand)
		}
	case opLeave:
	default:
		return fmt.Errorf("unknown operation %q; upgrade this node", a.Op)
	}
	for {
		applied := n.members.wait()
		done := false
		err := n.do(func(c *Core) (err error) {
			done, err = n.change(c, a)
			return err
		})
		if err != nil || done {
			return err
		}
		timer := time.NewTimer(adminRepeat)
		select {
		case <-applied:
		case <-timer.C:
		case <-ctx.Done():
		case <-n.ctx.Done():
		}
		timer.Stop()
		if n.over(ctx) != nil {
			return errUncertain
		}
	}
}

// change proposes what is left to do; done if nothing is.
func (n *Node) change(c *Core, a adminRequest) (done bool, err error) {
	st := c.State()
	if st.Role != etcd.StateLeader {
		return false, errNotLeader
	}
	if len(st.Conf.GetVotersOutgoing()) > 0 {
		return false, nil // an earlier change is under way
	}
	if a.Op == opEnter {
		twin, known := n.twin(a.Member)
		switch {
		case !known:
			return false, nil
		case twin.Node != 0:
			return true, fmt.Errorf("%w: %d is in use by a node that runs at %s: "+
				"start this one with another --node-id, and on a directory of its own, or stop that one",
				ErrNodeIDTaken, twin.Node, twin.Addr)
		}
		cc := enter(a.Member, n.image.Members(), st.Conf)
		if cc == nil {
			return true, nil
		}
		return false, c.ProposeConf(cc)
	}
	cc, err := leave(a.Node, n.image.Members(), st.Conf)
	if err != nil || cc == nil {
		return true, err
	}
	if a.Node == n.opts.NodeID {
		// The others would have to miss the controller first.
		for _, id := range n.member.active {
			if id != n.id().raftID {
				c.Transfer(id)
				return false, errNotLeader
			}
		}
		return false, errDropped // nobody is known to be there yet
	}
	voters, learners := n.candidates()
	cc, comes := replaced(cc, voters, learners)
	if comes {
		return false, nil
	}
	return false, c.ProposeConf(cc)
}

// twin is a member that runs under the same node id as one that wants to
// enter, zero if there is none: with another directory, or with a copy of that
// one's. A node that lost its disk, or moved to another address, has none: its
// former incarnation is not heard from any more. A new controller has to listen
// for as long before it knows that.
func (n *Node) twin(m meta.Member) (twin meta.Member, known bool) {
	known = true
	for _, p := range n.image.Members() {
		if p.Node != m.Node || p == m {
			continue
		}
		if p.RaftID == n.id().raftID || n.member.hears(p.RaftID) {
			return p, true
		}
		known = known && n.member.listens()
	}
	return meta.Member{}, known
}

// transfer asks for a handover.
func (n *Node) transfer(c *Core, node NodeID) error {
	st := c.State()
	if st.Role != etcd.StateLeader {
		return errNotLeader
	}
	for _, id := range st.Conf.GetVoters() {
		if n.nodeOf(id) == node {
			if id != n.id().raftID {
				c.Transfer(id)
			}
			return nil
		}
	}
	return ErrUnknownNode
}
