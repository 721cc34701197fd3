package sim

import "time"

// network decides what becomes of messages. Datagrams (raft's messages, calls,
// heartbeats) are lost, doubled and overtake each other one by one; the
// connections of replication keep order, and break (link.go).
type network struct {
	w    *world
	loss float64
	dup  float64
	slow float64 // probability of a long delay
	cuts map[[2]int32]bool
}

func (n *network) begin(w *world) {
	n.w = w
	n.cuts = map[[2]int32]bool{}
}

// cut tells whether messages from one node to another are lost now. Node 0 is
// the clients.
func (n *network) cut(from, to int32) bool { return n.cuts[[2]int32{from, to}] }

// delay draws how long a message takes.
func (n *network) delay() time.Duration {
	if n.w.chance(n.slow) {
		return between(n.w.rng, 5*time.Millisecond, 400*time.Millisecond)
	}
	return between(n.w.rng, 100*time.Microsecond, 3*time.Millisecond)
}

// send delivers a datagram, or several, or none, to a node of which the life
// that is there then gets it.
func (n *network) send(from, to int32, fn func(*node)) { n.deliver(from, to, n.dup, fn) }

// sendOnce is send for what must not be doubled.
func (n *network) sendOnce(from, to int32, fn func(*node)) { n.deliver(from, to, 0, fn) }

func (n *network) deliver(from, to int32, dup float64, fn func(*node)) {
	dest := n.w.node(to)
	if from == to {
		dest.after(0, func() { fn(dest) })
		return
	}
	times := 1
	switch {
	case n.cut(from, to) || n.w.chance(n.loss):
		times = 0
	case n.w.chance(dup):
		times = 2
	}
	for range times {
		n.w.after(n.delay(), func() {
			if !n.cut(from, to) {
				dest.receive(func() { fn(dest) })
			}
		})
	}
}

// reply delivers a datagram to the clients.
func (n *network) reply(from int32, fn func()) {
	if n.cut(from, 0) || n.w.chance(n.loss) {
		return
	}
	n.w.after(n.delay(), fn)
}
