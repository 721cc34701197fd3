package node

import (
	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/coordinator"
	"github.com/chroniklog/chronik/server/group"
)

// newCoordinator makes the coordinator of the groups whose log this node leads.
func (n *Node) newCoordinator() *coordinator.Coordinator {
	delay := n.cfg.GroupInitialDelay
	if delay == 0 {
		delay = -1 // to the group zero is "not said"
	}
	return coordinator.New(coordinator.Options{
		Topics: n.broker, Logs: n.broker.LedLogs(), Node: n.cfg.NodeID, Now: n.o.Now,
		Logger: n.log.With("part", "groups"), Group: group.Config{InitialDelay: delay},
	})
}

// groupFront takes the API's requests about any group.
func (n *Node) groupFront() *coordinator.Front {
	return &coordinator.Front{
		Coordinator: n.groups, Cluster: n.broker,
		Peer: func(id server.NodeID) coordinator.Peer { return n.peers.cluster.Leader(id) },
	}
}
