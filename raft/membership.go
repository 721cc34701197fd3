package raft

import (
	pb "go.etcd.io/raft/v3/raftpb"
)

// membership is what the loop remembers about the members.
type membership struct {
	conf *pb.ConfState // that Status describes
}

// membersChanged tells the transport who the members are. Only the loop may
// call it, or launch before.
func (n *Node) membersChanged() {
	if n.opts.Transport != nil {
		n.opts.Transport.SetMembers(n.image.ClusterID(), n.image.Members())
	}
}

// maintain is called at each tick.
func (n *Node) maintain() {}
