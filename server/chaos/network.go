package chaos

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
)

// Network carries the traffic between the nodes of a cluster: each node is
// told an address that a proxy listens on. Bytes from one node to another can
// be held up, in each direction by itself, as a broken network does: nothing
// is refused, nothing arrives, and what was held up arrives later, unless the
// connection is given up meanwhile.
type Network struct {
	mu      sync.Mutex
	changed *sync.Cond
	cut     map[link]bool
	gates   map[int]*gate
	closed  bool
	wg      sync.WaitGroup
}

// link is one direction between two nodes.
type link struct{ from, to int }

// gate is the proxy in front of one node.
type gate struct {
	node            int
	outside, inside string
	listener        net.Listener // nil while the node is down
	conns           map[net.Conn]struct{}
}

// NewNetwork is whole.
func NewNetwork() *Network {
	n := &Network{cut: map[link]bool{}, gates: map[int]*gate{}}
	n.changed = sync.NewCond(&n.mu)
	return n
}

// loopback is an address of this machine that nobody else uses: ports that a
// test takes there are free when it takes them again.
func loopback() string {
	host := fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(254), rand.IntN(256), 1+rand.IntN(254))
	l, err := net.Listen("tcp", host+":0")
	if err != nil {
		return "127.0.0.1" // not every system has the whole of 127/8
	}
	_ = l.Close() // nothing was sent
	return host
}

// freeAddrs are n different ports of host that are free now.
func freeAddrs(host string, n int) (addrs []string, err error) {
	for range n {
		l, listenErr := net.Listen("tcp", host+":0")
		if listenErr != nil {
			return nil, listenErr
		}
		defer func() { err = errors.Join(err, l.Close()) }()
		addrs = append(addrs, l.Addr().String())
	}
	return addrs, nil
}

// Add makes the gate of a node, which listens on inside. It is down.
func (n *Network) Add(node int, outside, inside string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.gates[node] = &gate{node: node, outside: outside, inside: inside, conns: map[net.Conn]struct{}{}}
}

// Up opens the gate of a node whose process starts.
func (n *Network) Up(node int) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	g := n.gates[node]
	if g.listener != nil {
		return nil
	}
	l, err := net.Listen("tcp", g.outside)
	if err != nil {
		return err
	}
	g.listener = l
	n.wg.Go(func() { n.accept(g, l) })
	return nil
}

// Down closes the gate of a node whose process has ended, and what went
// through it: from now on connections to it are refused.
func (n *Network) Down(node int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	g := n.gates[node]
	if g.listener != nil {
		_ = g.listener.Close()
		g.listener = nil
	}
	n.drop(g)
}

func (n *Network) drop(g *gate) {
	for c := range g.conns {
		_ = c.Close()
	}
	n.changed.Broadcast()
}

// Cut holds up everything that from sends to to.
func (n *Network) Cut(from, to int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut[link{from, to}] = true
}

// Heal lets everything pass again. With reset, connections end, as after a
// partition that was longer than their patience.
func (n *Network) Heal(reset bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.cut)
	if reset {
		for _, g := range n.gates {
			n.drop(g)
		}
	}
	n.changed.Broadcast()
}

// Close ends everything and waits for it.
func (n *Network) Close() {
	n.mu.Lock()
	n.closed = true
	clear(n.cut)
	for _, g := range n.gates {
		if g.listener != nil {
			_ = g.listener.Close()
			g.listener = nil
		}
		n.drop(g)
	}
	n.mu.Unlock()
	n.wg.Wait()
}

func (n *Network) accept(g *gate, l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		n.wg.Go(func() { n.carry(g, c) })
	}
}

// own registers connections so that drop finds them; false when the gate is
// closed.
func (n *Network) own(g *gate, c net.Conn) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed || g.listener == nil {
		return false
	}
	g.conns[c] = struct{}{}
	return true
}

func (n *Network) disown(g *gate, c net.Conn) {
	n.mu.Lock()
	delete(g.conns, c)
	n.mu.Unlock()
	_ = c.Close()
}

// carry joins a connection to a node with one to its process.
func (n *Network) carry(g *gate, out net.Conn) {
	if !n.own(g, out) {
		_ = out.Close()
		return
	}
	defer n.disown(g, out)
	first, from, err := dialer(out)
	if err != nil {
		return
	}
	if !n.pass(link{from, g.node}, out) {
		return
	}
	in, err := net.Dial("tcp", g.inside)
	if err != nil {
		return
	}
	if !n.own(g, in) {
		_ = in.Close()
		return
	}
	defer n.disown(g, in)
	var wg sync.WaitGroup
	wg.Go(func() { n.copy(link{from, g.node}, in, out, first) })
	wg.Go(func() { n.copy(link{g.node, from}, out, in, nil) })
	wg.Wait()
}

// pass waits while the link is cut; false when the connection's gate closed
// meanwhile, which the next write tells, too.
func (n *Network) pass(l link, c net.Conn) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for n.cut[l] && !n.closed && n.alive(c) {
		n.changed.Wait()
	}
	return !n.closed
}

// alive tells whether the connection is still owned by a gate that is open.
func (n *Network) alive(c net.Conn) bool {
	for _, g := range n.gates {
		if _, ok := g.conns[c]; ok {
			return g.listener != nil
		}
	}
	return false
}

// copy moves bytes as long as the link lets it; then both ends are closed.
func (n *Network) copy(l link, to, from net.Conn, first []byte) {
	defer from.Close()
	defer to.Close()
	if _, err := to.Write(first); err != nil {
		return
	}
	buf := make([]byte, 64<<10)
	for {
		size, err := from.Read(buf)
		if size > 0 {
			if !n.pass(l, from) {
				return
			}
			if _, err := to.Write(buf[:size]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// errStranger: the connection does not begin as one between nodes does.
var errStranger = errors.New("no handshake between nodes")

// dialer reads the handshake (package raft/wire), which names the node that
// dials.
func dialer(c net.Conn) (read []byte, node int, err error) {
	const (
		head     = 14 // magic, two versions, length, checksum
		lengthAt = 8
		nodeAt   = head + 10
	)
	read = make([]byte, head)
	if _, err := io.ReadFull(c, read); err != nil {
		return nil, 0, err
	}
	if string(read[:4]) != "CHKP" {
		return nil, 0, errStranger
	}
	body := make([]byte, binary.LittleEndian.Uint16(read[lengthAt:]))
	if _, err := io.ReadFull(c, body); err != nil {
		return nil, 0, err
	}
	read = append(read, body...)
	if len(read) < nodeAt+4 {
		return nil, 0, errStranger
	}
	return read, int(binary.LittleEndian.Uint32(read[nodeAt:])), nil
}
