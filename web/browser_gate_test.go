package web_test

import (
	"io"
	"net"
	"sync"
	"testing"
)

// gate stands before a node and passes connections on. Shut, it cuts those
// that are open and refuses new ones.
type gate struct {
	t        *testing.T
	target   string
	listener net.Listener

	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]bool
	all    sync.WaitGroup
}

func newGate(t *testing.T, target string) *gate {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{t: t, target: target, listener: l, conns: make(map[net.Conn]bool)}
	g.all.Go(g.accept)
	t.Cleanup(func() {
		_ = l.Close()
		g.shut()
		g.all.Wait()
	})
	return g
}

func (g *gate) addr() string { return g.listener.Addr().String() }

func (g *gate) accept() {
	for {
		from, err := g.listener.Accept()
		if err != nil {
			return
		}
		g.all.Go(func() { g.pass(from) })
	}
}

// pass copies both ways until either end is closed.
func (g *gate) pass(from net.Conn) {
	to, err := net.Dial("tcp", g.target)
	if err != nil {
		_ = from.Close()
		return
	}
	if !g.hold(from, to) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { copyAndClose(from, to) })
	both.Go(func() { copyAndClose(to, from) })
	both.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.conns, from)
	delete(g.conns, to)
}

func copyAndClose(to, from net.Conn) {
	_, _ = io.Copy(to, from) // ends with the connection
	_ = to.Close()
	_ = from.Close()
}

// hold remembers a pair so that shut can cut it; false when it is shut already.
func (g *gate) hold(conns ...net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range conns {
		if g.closed {
			_ = c.Close()
		} else {
			g.conns[c] = true
		}
	}
	return !g.closed
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for c := range g.conns {
		_ = c.Close()
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = false
}
