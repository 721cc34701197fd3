// Package peertest has connections between brokers of one process, for tests.
package peertest

import (
	"bytes"
	"io"
	"sync"
)

// Pipe is a pair of connected ends; each direction keeps its order and holds
// up to 16 messages before Send blocks.
func Pipe() (a, b *End) {
	x, y := make(chan []byte, 16), make(chan []byte, 16)
	closed := make(chan struct{})
	once := new(sync.Once)
	return &End{out: x, in: y, closed: closed, once: once}, &End{out: y, in: x, closed: closed, once: once}
}

// End is one end of a Pipe; it is a peer.Conn.
type End struct {
	out    chan<- []byte
	in     <-chan []byte
	closed chan struct{}
	once   *sync.Once
}

// Send implements peer.Conn.
func (e *End) Send(msg []byte) error {
	select {
	case <-e.closed:
		return io.ErrClosedPipe
	default:
	}
	select {
	case e.out <- bytes.Clone(msg):
		return nil
	case <-e.closed:
		return io.ErrClosedPipe
	}
}

// Receive implements peer.Conn.
func (e *End) Receive() ([]byte, error) {
	select {
	case msg := <-e.in:
		return msg, nil
	case <-e.closed:
		return nil, io.EOF
	}
}

// Close implements peer.Conn: both ends are closed.
func (e *End) Close() error {
	e.once.Do(func() { close(e.closed) })
	return nil
}
