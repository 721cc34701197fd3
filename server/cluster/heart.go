package cluster

import (
	"context"
	"encoding/binary"
	"net"
	"time"

	"github.com/chroniklog/chronik/raft/meta"
	"github.com/chroniklog/chronik/raft/wire"
	"github.com/chroniklog/chronik/server/controller"
	"github.com/chroniklog/chronik/server/peer"
)

// beatEvery is DESIGN's: six heartbeats in a session.
const beatEvery = 250 * time.Millisecond

// methodBeat is the only call of its class.
const methodBeat peer.Method = 1

// beat tells the controller that this node lives.
func (c *Cluster) beat(ctx context.Context) {
	t := time.NewTicker(beatEvery)
	defer t.Stop()
	for {
		if epoch := c.o.Epoch(); epoch != 0 && !c.resting.Load() {
			c.tell(ctx, controller.Heartbeat{
				Broker: meta.NodeID(c.o.Node), Epoch: epoch, Healthy: c.o.Healthy(),
			})
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// Rest ends the heartbeats: the node is about to stop, and wants to be taken
// for dead.
func (c *Cluster) Rest() { c.resting.Store(true) }

// tell sends one heartbeat, without waiting: a controller that does not answer
// must not delay the next one, which may go to another.
func (c *Cluster) tell(ctx context.Context, h controller.Heartbeat) {
	to := c.o.Metadata.Status().Leader
	switch to {
	case 0:
	case h.Broker:
		c.controller.Heard(h)
	default:
		ctx, cancel := context.WithTimeout(ctx, beatEvery)
		defer cancel()
		c.caller(to, wire.ClassHeartbeat).Go(ctx, methodBeat, encodeBeat(h), func([]byte, error) {})
	}
}

func encodeBeat(h controller.Heartbeat) []byte {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, beatSize), uint32(h.Broker))
	b = binary.BigEndian.AppendUint64(b, h.Epoch)
	if h.Healthy {
		return append(b, 1)
	}
	return append(b, 0)
}

const beatSize = 4 + 8 + 1

// decodeBeat ignores bytes behind those it knows: a newer release's.
func decodeBeat(b []byte) (h controller.Heartbeat, ok bool) {
	if len(b) < beatSize {
		return h, false
	}
	return controller.Heartbeat{
		Broker: meta.NodeID(binary.BigEndian.Uint32(b)), Epoch: binary.BigEndian.Uint64(b[4:]), Healthy: b[12] == 1,
	}, true
}

// listener takes heartbeats.
type listener struct{ controller *controller.Controller }

// Begin implements peer.Handler.
func (l *listener) Begin(_ context.Context, m peer.Method, payload []byte, reply peer.Reply) func() {
	h, ok := decodeBeat(payload)
	reply(nil, m != methodBeat || !ok || !l.controller.Heard(h))
	return nil
}

// probe looks whether somebody listens at an address.
func (c *Cluster) probe(ctx context.Context, addr string) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	return conn.Close()
}
