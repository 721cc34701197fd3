package servertest

import (
	"context"
	"errors"
	"net"
	"sync"
)

// Network is what the nodes of a cluster reach each other by. A test can cut a
// node off from the others; clients still reach it. The zero value is whole.
type Network struct {
	mu    sync.Mutex
	off   string // the peer address of the node that is cut off
	conns map[net.Conn][2]string
}

// errCut: the connection would lead from or to a node that is cut off.
var errCut = errors.New("the network is cut")

// WithNetwork has the nodes connect to each other over the network.
func WithNetwork(w *Network) Option {
	return func(o *options) {
		own := o.cfg.Peer
		o.dial = func(ctx context.Context, addr string) (net.Conn, error) { return w.dial(ctx, own, addr) }
	}
}

// CutOff ends the node's connections from and to the others, and lets no new
// ones be made until Mend.
func (w *Network) CutOff(n *Node) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.off = n.o.cfg.Peer
	for conn, ends := range w.conns {
		if ends[0] == w.off || ends[1] == w.off {
			_ = conn.Close()
			delete(w.conns, conn)
		}
	}
}

// Mend ends what CutOff began.
func (w *Network) Mend() {
	w.mu.Lock()
	w.off = ""
	w.mu.Unlock()
}

func (w *Network) dial(ctx context.Context, from, to string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", to)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.off != "" && (from == w.off || to == w.off) {
		_ = conn.Close()
		return nil, errCut
	}
	if w.conns == nil {
		w.conns = map[net.Conn][2]string{}
	}
	w.conns[conn] = [2]string{from, to}
	return conn, nil
}
