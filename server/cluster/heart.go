package cluster

import (
	"context"
	"encoding/binary"
	"errors"
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

const (
	// probeTime is how long a connection that was accepted has to stay open
	// to be one of a process that lives: it waits for the dialler's greeting.
	probeTime = 50 * time.Millisecond
	// probePause lies between two attempts.
	probePause = 20 * time.Millisecond
)

// probe looks whether a process listens at an address. The listener of one that
// ends may outlive its connections by a moment, and a connection that it takes
// then is closed: the probe is repeated until the address refuses, or ctx ends.
func (c *Cluster) probe(ctx context.Context, addr string) error {
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		if err != nil {
			return err
		}
		if stays(conn) {
			return nil
		}
		select {
		case <-time.After(probePause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// stays tells whether the other side leaves a new connection open for a while.
func stays(conn net.Conn) bool {
	defer conn.Close()
	if conn.SetReadDeadline(time.Now().Add(probeTime)) != nil {
		return false
	}
	_, err := conn.Read(make([]byte, 1))
	var timeout net.Error
	return err == nil || errors.As(err, &timeout) && timeout.Timeout()
}
