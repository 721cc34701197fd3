package server

import (
	"sync"

	"github.com/chroniklog/chronik/raft/meta"
)

// Leader is who leads a partition, as far as this node knows.
type Leader struct {
	Node  NodeID // 0: nobody
	Epoch int32
	// HTTP is the address that the node advertises for its API, host:port;
	// empty if it is not known.
	HTTP string
	// Here: it is this node.
	Here bool
	// Proven: it is known to take appends in this epoch, since it is this node
	// or has answered one. Another node may be named before it knows of that
	// itself: it then refuses what comes first and takes what comes next.
	Proven bool
}

// Leader tells who leads a partition. It is cheap: the answers of the data
// plane name the leader.
func (b *Broker) Leader(topic string, p int32) (Leader, error) {
	_, part, err := b.dir.part(topic, p)
	if err != nil {
		return Leader{}, err
	}
	s := part.state.Load()
	l := Leader{Node: s.Leader, Epoch: s.LeaderEpoch, Here: s.Leader == b.o.Node}
	l.Proven = l.Here || part.proven.Load() == int64(l.Epoch)+1
	if l.Node != 0 {
		l.HTTP = b.addresses.of(l.Node, b.nodeAddress)
	}
	return l, nil
}

// addresses remembers where nodes are reached, so that a request does not
// contend for the metadata image.
type addresses struct {
	mu    sync.RWMutex
	known map[NodeID]string
	age   uint64 // grows when what is known is forgotten
}

// of is the address of a node; find looks one up that is not remembered.
func (a *addresses) of(id NodeID, find func(NodeID) string) string {
	a.mu.RLock()
	addr, ok := a.known[id]
	age := a.age
	a.mu.RUnlock()
	if ok {
		return addr
	}
	addr = find(id)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.age == age { // else it may be what has just been forgotten
		if a.known == nil {
			a.known = map[NodeID]string{}
		}
		a.known[id] = addr
	}
	return addr
}

// applied forgets what events of the metadata log may have changed. The image
// shows them already.
func (a *addresses) applied(events []meta.Event) {
	for _, e := range events {
		switch e.(type) {
		case meta.BrokerChanged, meta.BrokerRemoved, meta.ImageReplaced:
			a.mu.Lock()
			clear(a.known)
			a.age++
			a.mu.Unlock()
			return
		}
	}
}
