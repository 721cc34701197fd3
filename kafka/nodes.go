package kafka

import (
	"net"
	"strconv"

	"github.com/chroniklog/chronik/server"
)

// endpoint is where a node's Kafka listener is reached.
type endpoint struct {
	id     int32
	host   string
	port   int32
	fenced bool
}

// endpoints are the nodes that have a Kafka address; fenced ones only if
// asked for.
func endpoints(info *server.ClusterInfo, fenced bool) []endpoint {
	list := make([]endpoint, 0, len(info.Nodes))
	for _, n := range info.Nodes {
		if !n.Alive && !fenced {
			continue
		}
		host, port, err := net.SplitHostPort(n.Kafka)
		if err != nil {
			continue // the node has no Kafka listener
		}
		number, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			continue
		}
		list = append(list, endpoint{id: n.ID, host: host, port: int32(number), fenced: !n.Alive})
	}
	return list
}

// controller is the controller's node id as Kafka tells it.
func controller(info *server.ClusterInfo) int32 {
	if info.Controller == 0 {
		return -1
	}
	return info.Controller
}

// away are the replicas whose nodes are not alive.
func away(info *server.ClusterInfo, replicas []server.NodeID) (list []int32) {
	for _, id := range replicas {
		alive := false
		for i := range info.Nodes {
			if info.Nodes[i].ID == id {
				alive = info.Nodes[i].Alive
			}
		}
		if !alive {
			list = append(list, id)
		}
	}
	return list
}

// leader is who leads a partition, for the hints of KIP-951.
type leader struct {
	id, epoch int32
}

// hints collects the leaders that an answer points to, and then where they
// are.
type hints struct {
	ids []int32
}

// leaderFor is the hint for a partition's error; -1, -1 where none helps.
func (k *Listener) leaderFor(topic string, p int32, code int16) leader {
	none := leader{id: -1, epoch: -1}
	if code != codeNotLeader && code != codeFencedLeaderEpoch {
		return none
	}
	info, err := k.broker.PartitionState(topic, p)
	if err != nil || info.Leader == 0 {
		return none
	}
	return leader{id: info.Leader, epoch: info.LeaderEpoch}
}

// add notes a leader that was pointed to.
func (h *hints) add(l leader) {
	if l.id < 0 {
		return
	}
	for _, id := range h.ids {
		if id == l.id {
			return
		}
	}
	h.ids = append(h.ids, l.id)
}

// endpoints tells where the leaders are.
func (h *hints) endpoints(b Broker) (list []endpoint) {
	if len(h.ids) == 0 {
		return nil
	}
	info := b.Cluster()
	for _, e := range endpoints(&info, true) {
		for _, id := range h.ids {
			if e.id == id {
				list = append(list, e)
			}
		}
	}
	return list
}
