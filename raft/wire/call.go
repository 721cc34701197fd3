package wire

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Frame types of calls.
const (
	frameRequest uint8 = 1
	frameAnswer  uint8 = 2
	frameError   uint8 = 3
)

// Limits of calls.
const (
	// MaxCall bounds requests and answers in bytes.
	MaxCall = 8 << 20
	// maxServed bounds the requests of one connection that are served at a
	// time; further ones wait in the connection.
	maxServed = 512
	// maxPending bounds the calls that wait for answers on one connection.
	maxPending = 4096

	callWriteTimeout = 5 * time.Second
)

// ErrCall is a called handler's error; the text is the handler's.
var ErrCall = errors.New("call failed")

// ErrNoAnswer: the connection broke after the request was sent. It may have
// been handled.
var ErrNoAnswer = errors.New("connection lost before the answer")

// ServeCalls is a Handler that answers requests, several at a time. An error
// goes back as text.
func ServeCalls(answer func(ctx context.Context, from Identity, request []byte) ([]byte, error)) Handler {
	return func(ctx context.Context, c *Conn) {
		ctx, cancel := context.WithCancel(ctx)
		var group sync.WaitGroup
		defer group.Wait()
		defer cancel()
		slots := make(chan struct{}, maxServed)
		for {
			f, err := c.Read(MaxCall)
			if err != nil || f.Type != frameRequest {
				return
			}
			slots <- struct{}{}
			group.Go(func() {
				defer func() { <-slots }()
				out := Frame{Type: frameAnswer, Stream: f.Stream}
				out.Payload, err = answer(ctx, c.Remote(), f.Payload)
				if err != nil {
					out.Type, out.Payload = frameError, []byte(err.Error())
				}
				if c.SetWriteDeadline(time.Now().Add(callWriteTimeout)) != nil || c.Write(out) != nil {
					_ = c.Close() // the reader ends, and with it the connection
				}
			})
		}
	}
}

// Caller makes calls of one class, over one connection per address that is
// made when it is needed and shared by concurrent calls.
type Caller struct {
	e     *Endpoint
	class Class

	mu    sync.Mutex
	lines map[string]*line
}

// NewCaller makes a caller; Close it before the endpoint.
func (e *Endpoint) NewCaller(class Class) *Caller {
	return &Caller{e: e, class: class, lines: map[string]*line{}}
}

// line is the connection to one address.
type line struct {
	mu      sync.Mutex // held while dialing
	conn    *Conn
	pending *pending
}

// pending are the calls that wait on one connection.
type pending struct {
	mu     sync.Mutex
	next   uint32
	calls  map[uint32]chan Frame
	closed bool
}

// Call sends a request and waits for the answer. ErrUnreachable: the request
// was not sent. ErrCall: the handler's error. ErrNoAnswer, or the context's
// error: it may have been handled.
func (c *Caller) Call(ctx context.Context, addr string, request []byte) ([]byte, error) {
	if len(request) > MaxCall {
		return nil, fmt.Errorf("%w: request of %d bytes", ErrUnreachable, len(request))
	}
	conn, p, err := c.line(addr).connect(ctx, c, addr)
	if err != nil {
		return nil, err
	}
	stream, answer, err := p.add()
	if err != nil {
		return nil, err
	}
	defer p.remove(stream)
	err = conn.SetWriteDeadline(time.Now().Add(callWriteTimeout))
	if err == nil {
		err = conn.Write(Frame{Type: frameRequest, Stream: stream, Payload: request})
	}
	if err != nil {
		_ = conn.Close() // part of a frame may be out; the reader tells the others
		return nil, fmt.Errorf("%w: %w", ErrNoAnswer, err)
	}
	select {
	case f, ok := <-answer:
		switch {
		case !ok:
			return nil, ErrNoAnswer
		case f.Type == frameError:
			return nil, fmt.Errorf("%w: %s", ErrCall, f.Payload)
		}
		return f.Payload, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (c *Caller) line(addr string) *line {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.lines[addr]
	if l == nil {
		l = &line{}
		c.lines[addr] = l
	}
	return l
}

// connect returns the live connection, or makes one.
func (l *line) connect(ctx context.Context, c *Caller, addr string) (*Conn, *pending, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != nil && !l.pending.isClosed() {
		return l.conn, l.pending, nil
	}
	conn, err := c.e.Dial(ctx, addr, c.class, Identity{})
	if err != nil {
		return nil, nil, err
	}
	p := &pending{calls: map[uint32]chan Frame{}}
	l.conn, l.pending = conn, p
	c.e.group.Go(func() {
		defer conn.Close()
		for {
			f, err := conn.Read(MaxCall)
			if err != nil {
				p.close()
				return
			}
			p.deliver(f)
		}
	})
	return conn, p, nil
}

// Close ends the connections; calls that wait end with ErrNoAnswer.
func (c *Caller) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.lines {
		l.mu.Lock()
		if l.conn != nil {
			_ = l.conn.Close() // its reader ends and fails the calls
		}
		l.mu.Unlock()
	}
}

func (p *pending) add() (uint32, chan Frame, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.calls) >= maxPending {
		return 0, nil, fmt.Errorf("%w: %d calls wait", ErrUnreachable, len(p.calls))
	}
	for p.calls[p.next] != nil {
		p.next++
	}
	id := p.next
	p.next++
	ch := make(chan Frame, 1)
	p.calls[id] = ch
	return id, ch, nil
}

func (p *pending) remove(stream uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.calls, stream)
}

func (p *pending) deliver(f Frame) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if ch := p.calls[f.Stream]; ch != nil {
		delete(p.calls, f.Stream)
		ch <- f
	}
}

func (p *pending) isClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

func (p *pending) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for id, ch := range p.calls {
		delete(p.calls, id)
		close(ch)
	}
}
