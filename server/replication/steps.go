package replication

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/chroniklog/chronik/server/peer"
)

// Both sides of a connection without goroutines, for simulators: these call,
// one after the other, what Serve and Fetcher.Run do.

// RefusedRetry is how long a refused position waits before Again.
const RefusedRetry = refusedRetry

// Feeder is the leader's side of one connection.
type Feeder struct {
	s    *session
	out  sink
	buf  []byte
	list []*place
}

// NewFeeder is Serve for a connection that just began.
func NewFeeder(follower int32, leaders Leaders) *Feeder {
	f := &Feeder{}
	f.s = newSession(&f.out, follower, leaders)
	return f
}

// Take takes a follower's message; an error ends the connection.
func (f *Feeder) Take(msg []byte) error {
	var m Fetch
	return f.s.received(msg, &m)
}

// Ready tells whether there may be something to send.
func (f *Feeder) Ready() bool {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	return len(f.s.ready)+len(f.s.late) > 0
}

// Next returns the messages to send now.
func (f *Feeder) Next() [][]byte {
	f.out.sent = nil
	for f.Ready() {
		f.s.overdue()                               // there is no clock here
		f.buf, f.list, _ = f.s.round(f.buf, f.list) // a sink takes everything
	}
	return f.out.sent
}

// Close ends the connection.
func (f *Feeder) Close() { f.s.forget() }

// sink keeps what is sent.
type sink struct{ sent [][]byte }

var _ peer.Conn = (*sink)(nil)

func (s *sink) Send(msg []byte) error {
	s.sent = append(s.sent, append([]byte(nil), msg...))
	return nil
}

func (s *sink) Receive() ([]byte, error) { return nil, io.EOF }

func (s *sink) Close() error { return nil }

// Begin starts a new connection of a fetcher that Run does not run.
func (f *Fetcher) Begin() {
	f.sleep = func(context.Context, time.Duration) {}
	f.broken = false
	f.hangUp = func() { f.broken = true }
	f.restart()
	slices.SortFunc(f.changed, func(a, b *copied) int {
		return cmp.Or(bytes.Compare(a.id.Topic[:], b.id.Topic[:]), cmp.Compare(a.id.Partition, b.id.Partition))
	})
}

// Ready tells whether there may be something to send.
func (f *Fetcher) Ready() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.changed)+len(f.dropped) > 0
}

// Next returns the messages to send now.
func (f *Fetcher) Next() (list [][]byte) {
	var m Fetch
	for f.Ready() {
		if msg := f.next(nil, &m); len(msg) > 0 {
			list = append(list, msg)
		}
	}
	return list
}

// Refused tells whether positions wait for Again.
func (f *Fetcher) Refused() bool { return f.anyRefused() }

// Again sends the refused positions again.
func (f *Fetcher) Again() { f.again() }

// Take takes a leader's message, which it keeps; an error ends the connection.
// repair is given the truncations and resets, which it runs in any order.
func (f *Fetcher) Take(ctx context.Context, msg []byte, repair Repairs) error {
	if f.broken {
		return errHungUp
	}
	return f.received(ctx, msg, repair)
}

// errHungUp: a repair gave the connection up.
var errHungUp = errors.New("the follower hung up")

// Repairs runs repairs.
type Repairs func(func())

// Go implements runner.
func (r Repairs) Go(fn func()) { r(fn) }
