package raft

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	etcd "go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/tracker"
)

// Quorum is the metadata group as its controller sees it.
type Quorum struct {
	Controller NodeID         `json:"controller"`
	Term       uint64         `json:"term"`
	Commit     uint64         `json:"commit"`
	Members    []QuorumMember `json:"members"` // by node id
}

// QuorumMember is how far one member has come.
type QuorumMember struct {
	Node  NodeID `json:"node"`
	Voter bool   `json:"voter"`
	// Match is the last entry that the member is known to hold.
	Match uint64 `json:"match"`
	// Active: the controller heard of it within the last election time.
	Active bool `json:"active"`
}

// Quorum asks the controller how far the members of the metadata group have
// come, from any node, in one attempt. ErrNoController if it isn't known or
// does not answer.
func (n *Node) Quorum(ctx context.Context) (q Quorum, err error) {
	ctx, cancel := context.WithTimeout(ctx, adminStep)
	defer cancel()
	s := n.Status()
	addr := n.addr(s.leader)
	switch {
	case s.Controller():
		q, err = n.quorum()
	case s.leader == 0 || n.opts.Transport == nil || addr == "":
		err = errNotLeader
	default:
		var b []byte
		if b, err = readAnswer(n.opts.Transport.Call(ctx, addr, []byte{methodQuorum})); err == nil {
			err = json.Unmarshal(b, &q)
		}
	}
	if errors.Is(err, errNotLeader) || errors.Is(err, errUncertain) {
		err = fmt.Errorf("%w: %w", n.noController(), err)
	}
	if err != nil {
		return Quorum{}, fmt.Errorf("describe the metadata quorum: %w", err)
	}
	return q, nil
}

// quorum is Quorum at the controller.
func (n *Node) quorum() (q Quorum, err error) {
	err = n.do(func(c *Core) error {
		if c.State().Role != etcd.StateLeader {
			return errNotLeader
		}
		st := c.rn.BasicStatus()
		q = Quorum{Controller: n.opts.NodeID, Term: st.GetTerm(), Commit: st.GetCommit()}
		c.rn.WithProgress(func(id uint64, typ etcd.ProgressType, pr tracker.Progress) {
			q.Members = append(q.Members, QuorumMember{
				Node: n.nodeOf(id), Voter: typ == etcd.ProgressTypePeer, Match: pr.Match,
				Active: pr.RecentActive || id == n.id().raftID,
			})
		})
		return nil
	})
	slices.SortFunc(q.Members, func(a, b QuorumMember) int { return int(a.Node) - int(b.Node) })
	return q, err
}
