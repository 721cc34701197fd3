package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Refusal is an answer that says no: its payload is the peer's, and the
// method's to decode.
type Refusal struct{ Payload []byte }

func (*Refusal) Error() string { return "refused by peer" }

// Done takes a call's answer, which it may keep. It is called once, from the
// connection's goroutine: it must not block.
type Done func(answer []byte, err error)

// Caller makes calls to one broker. It connects when there is something to
// ask, and again after a connection failed; it owns two goroutines while it is
// connected.
type Caller struct {
	dial func(ctx context.Context) (Conn, error)
	ctx  context.Context //nolint:containedctx // ends with Close
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu   sync.Mutex
	link *link
}

// NewCaller makes a caller; it dials on demand.
func NewCaller(dial func(ctx context.Context) (Conn, error)) *Caller {
	ctx, stop := context.WithCancel(context.Background())
	return &Caller{dial: dial, ctx: ctx, stop: stop}
}

// Close ends every call with ErrLost and waits for the goroutines.
func (c *Caller) Close() {
	c.stop()
	c.wg.Wait()
}

// Call asks and waits. The error is a *Refusal if the peer refused, ctx's
// cause, or one of this package's.
func (c *Caller) Call(ctx context.Context, m Method, payload []byte) ([]byte, error) {
	type result struct {
		answer []byte
		err    error
	}
	got := make(chan result, 1)
	cancel := c.Go(ctx, m, payload, func(answer []byte, err error) { got <- result{answer, err} })
	select {
	case r := <-got:
		return r.answer, r.err
	case <-ctx.Done():
		cancel()
		return nil, context.Cause(ctx)
	}
}

// Go asks without waiting. ctx gives the time that the peer may take; its end
// is not watched: call cancel, which tells the peer that nobody waits.
func (c *Caller) Go(ctx context.Context, m Method, payload []byte, done Done) (cancel func()) {
	l := c.connected()
	f := frame{kind: kindCall, method: m, payload: payload}
	if end, ok := ctx.Deadline(); ok {
		f.left = max(time.Until(end), time.Millisecond)
	}
	if len(payload) > maxPayload {
		done(nil, fmt.Errorf("%w: %d bytes", ErrBusy, len(payload)))
		return func() {}
	}
	if err := l.ask(&f, done); err != nil {
		done(nil, err)
		return func() {}
	}
	return func() { l.cancel(f.id) }
}

// connected is the present link; a new one dials in the background, and calls
// queue on it meanwhile.
func (c *Caller) connected() *link {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link != nil && !c.link.ended() {
		return c.link
	}
	l := &link{out: newOutbox(), calls: map[uint64]Done{}}
	c.link = l
	if c.ctx.Err() != nil {
		l.end(ErrUnreachable)
		return l
	}
	c.wg.Go(func() { l.run(c.ctx, c.dial) })
	return l
}

// link is one connection and the calls on it.
type link struct {
	out *outbox

	mu    sync.Mutex
	calls map[uint64]Done // nil once the link has ended
	next  uint64
	why   error // of the end
}

func (l *link) ended() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls == nil
}

func (l *link) ask(f *frame, done Done) error {
	l.mu.Lock()
	switch {
	case l.calls == nil:
		l.mu.Unlock()
		return l.why
	case len(l.calls) >= maxCalls:
		l.mu.Unlock()
		return ErrBusy
	}
	l.next++
	f.id = l.next
	l.calls[f.id] = done
	l.mu.Unlock()
	if !l.out.put(f) {
		if l.take(f.id) != nil {
			return ErrBusy
		}
	}
	return nil
}

// take removes a call; nil if it was answered.
func (l *link) take(id uint64) Done {
	l.mu.Lock()
	defer l.mu.Unlock()
	done := l.calls[id]
	delete(l.calls, id)
	return done
}

func (l *link) cancel(id uint64) {
	if l.take(id) != nil {
		l.out.put(&frame{kind: kindCancel, id: id})
	}
}

// end fails every call.
func (l *link) end(why error) {
	l.mu.Lock()
	calls := l.calls
	l.calls, l.why = nil, why
	l.mu.Unlock()
	for _, done := range calls {
		done(nil, why)
	}
}

// run connects and carries calls until the connection or ctx ends.
func (l *link) run(ctx context.Context, dial func(context.Context) (Conn, error)) {
	conn, err := dial(ctx)
	if err != nil {
		l.end(fmt.Errorf("%w: %w", ErrUnreachable, err))
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = l.out.write(ctx, conn)
		_ = conn.Close()
	})
	err = l.receive(conn)
	cancel()
	_ = conn.Close()
	wg.Wait()
	l.end(fmt.Errorf("%w: %w", ErrLost, err))
}

func (l *link) receive(conn Conn) error {
	var f frame
	for {
		msg, err := conn.Receive()
		if err != nil {
			return err
		}
		for len(msg) > 0 {
			if msg, err = f.decode(msg); err != nil {
				return err
			}
			done := l.take(f.id)
			switch {
			case f.kind != kindAnswer && f.kind != kindRefusal:
				return fmt.Errorf("%w: a call from the called", ErrFrame)
			case done == nil: // cancelled
			case f.kind == kindAnswer:
				done(bytes.Clone(f.payload), nil)
			default:
				done(nil, &Refusal{Payload: bytes.Clone(f.payload)})
			}
		}
	}
}

// Unsent tells whether err means that the call was certainly not carried out.
func Unsent(err error) bool { return errors.Is(err, ErrUnreachable) || errors.Is(err, ErrBusy) }
