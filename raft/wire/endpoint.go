package wire

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"
)

// Handler serves a connection of one class; the connection is closed when it
// returns. The context ends with the endpoint, which closes the connection
// then, too.
type Handler func(ctx context.Context, c *Conn)

// Options of an endpoint; Listener is required.
type Options struct {
	// Listener accepts plain TCP; the endpoint owns it.
	Listener net.Listener
	// TLS, when set, is used for both directions.
	TLS    *tls.Config
	Logger *slog.Logger
	// Dial connects; nil: TCP.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
	// version and oldest are Version and the one before, but for tests.
	version, oldest uint16
}

// Endpoint accepts and makes connections in the name of one node.
type Endpoint struct {
	opts Options

	mu       sync.Mutex
	self     Identity
	handlers map[Class]Handler
	conns    map[net.Conn]bool
	// complained is when a refused connection was last logged as a warning.
	complained time.Time

	ctx   context.Context
	stop  context.CancelFunc
	group sync.WaitGroup
}

// New makes an endpoint. It accepts connections from Serve on.
func New(o Options) *Endpoint {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Dial == nil {
		o.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		}
	}
	if o.version == 0 {
		o.version, o.oldest = Version, max(Version-1, 1)
	}
	e := &Endpoint{opts: o, handlers: map[Class]Handler{}, conns: map[net.Conn]bool{}}
	e.ctx, e.stop = context.WithCancel(context.Background())
	return e
}

// Addr is the listener's address.
func (e *Endpoint) Addr() net.Addr { return e.opts.Listener.Addr() }

// SetIdentity says who this node is, in handshakes from now on.
func (e *Endpoint) SetIdentity(id Identity) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.self = id
}

// SetCluster sets the cluster alone.
func (e *Endpoint) SetCluster(cluster string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.self.Cluster = cluster
}

// Accepted is how many connections of other nodes are open.
func (e *Endpoint) Accepted() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.conns)
}

// Identity is what SetIdentity and SetCluster said.
func (e *Endpoint) Identity() Identity {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.self
}

// Handle sets the handler of a class; nil refuses it.
func (e *Endpoint) Handle(class Class, h Handler) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.handlers[class] = h
}

func (e *Endpoint) handler(class Class) Handler {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.handlers[class]
}

// Serve begins to accept.
func (e *Endpoint) Serve() { e.group.Go(e.accept) }

func (e *Endpoint) accept() {
	for {
		c, err := e.opts.Listener.Accept()
		if err != nil {
			if e.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			// Out of descriptors, for example: others may be freed.
			e.opts.Logger.Warn("accept peer", "error", err)
			select {
			case <-time.After(100 * time.Millisecond):
			case <-e.ctx.Done():
			}
			continue
		}
		if e.track(c) {
			e.group.Go(func() { e.serve(c) })
		}
	}
}

// track registers a connection so that Close ends it. A connection that comes
// too late, or is one too many, is closed.
func (e *Endpoint) track(c net.Conn) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ctx.Err() != nil || len(e.conns) >= maxConns {
		_ = c.Close() // nothing was exchanged
		return false
	}
	e.conns[c] = true
	return true
}

func (e *Endpoint) untrack(c net.Conn) {
	_ = c.Close() // whoever used it knows how it ended
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.conns, c)
}

func (e *Endpoint) serve(raw net.Conn) {
	defer e.untrack(raw)
	c, h, err := e.welcome(raw)
	if err != nil {
		e.complain(raw.RemoteAddr().String(), err)
		return
	}
	h(e.ctx, c)
}

// complainEvery is how often a refused connection is logged for operators: who
// refused it may be the one that is wrong, and a stranger comes again and again.
const complainEvery = 10 * time.Second

// errNotServed: a class that this node does not serve yet, or any more. While
// nodes start and stop that is as it should be.
var errNotServed = errors.New("class is not served")

// complain logs a handshake that failed.
func (e *Endpoint) complain(addr string, err error) {
	level := slog.LevelDebug
	if (errors.Is(err, ErrRefused) || errors.Is(err, ErrFrame)) && !errors.Is(err, errNotServed) {
		e.mu.Lock()
		if now := time.Now(); now.Sub(e.complained) >= complainEvery {
			e.complained, level = now, slog.LevelWarn
		}
		e.mu.Unlock()
	}
	e.opts.Logger.Log(e.ctx, level, "refused a connection to the peer port", "addr", addr, "error", err)
}

// welcome is the accepting half of the handshake.
func (e *Endpoint) welcome(raw net.Conn) (*Conn, Handler, error) {
	if err := raw.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return nil, nil, err
	}
	if e.opts.TLS != nil {
		raw = tls.Server(raw, e.opts.TLS)
	}
	r := bufio.NewReaderSize(raw, 32<<10)
	in, err := readHello(r)
	if err != nil {
		return nil, nil, err
	}
	own := e.Identity()
	h := e.handler(in.class)
	verdict, text := judge(own, in, e.opts.version, e.opts.oldest, h != nil)
	version := common(e.opts.version, e.opts.oldest, in.version, in.oldest)
	out := hello{version: e.opts.version, oldest: e.opts.oldest, class: in.class, status: verdict, self: own, text: text}
	if verdict == statusOK {
		out.version = version
	}
	if _, err := raw.Write(out.encode()); err != nil {
		return nil, nil, err
	}
	if verdict == statusClass {
		return nil, nil, fmt.Errorf("%w: %w: %s", ErrRefused, errNotServed, text)
	}
	if verdict != statusOK {
		return nil, nil, fmt.Errorf("%w: %s", ErrRefused, text)
	}
	return newConn(raw, r, in.self, version), h, raw.SetDeadline(time.Time{})
}

// Dial connects to the node at an address. Non-zero fields of to are demanded:
// another node, or another incarnation, refuses. The context bounds the
// handshake, too. ErrUnreachable, ErrRefused, ErrCluster, ErrVersion.
func (e *Endpoint) Dial(ctx context.Context, addr string, class Class, to Identity) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	raw, err := e.opts.Dial(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	if !e.track(raw) {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, ErrClosed)
	}
	c, err := e.greet(ctx, raw, class, to)
	if err != nil {
		e.untrack(raw)
		return nil, fmt.Errorf("dial %s: %w", addr, err)
	}
	return c, nil
}

// greet is the dialing half of the handshake.
func (e *Endpoint) greet(ctx context.Context, raw net.Conn, class Class, to Identity) (*Conn, error) {
	// A context that ends closes the connection under the handshake.
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer stop()
	wire := raw
	if e.opts.TLS != nil {
		wire = tls.Client(raw, e.opts.TLS)
	}
	out := hello{version: e.opts.version, oldest: e.opts.oldest, class: class, self: e.Identity(), meant: to}
	if _, err := wire.Write(out.encode()); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	r := bufio.NewReaderSize(wire, 32<<10)
	in, err := readHello(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	switch {
	case in.status == statusVersion:
		return nil, fmt.Errorf("%w: %w: %s", ErrUnreachable, ErrVersion, in.text)
	case in.status == statusCluster:
		return nil, fmt.Errorf("%w: %w: %s", ErrUnreachable, ErrCluster, in.text)
	case in.status != statusOK:
		return nil, fmt.Errorf("%w: %w: %s", ErrUnreachable, ErrRefused, in.text)
	case in.version > e.opts.version || in.version < e.opts.oldest:
		return nil, fmt.Errorf("%w: %w: node %d answers in version %d, this one speaks %d to %d",
			ErrUnreachable, ErrVersion, in.self.Node, in.version, e.opts.oldest, e.opts.version)
	case to.Raft != 0 && in.self.Raft != to.Raft || to.Node != 0 && in.self.Node != to.Node:
		return nil, fmt.Errorf("%w: %w: it is node %d", ErrUnreachable, ErrRefused, in.self.Node)
	}
	return &Conn{
		c: tracked{Conn: wire, e: e, raw: raw}, r: r, w: bufio.NewWriterSize(wire, 32<<10),
		remote: in.self, version: in.version,
	}, nil
}

// tracked is a dialed connection whose Close the endpoint hears of.
type tracked struct {
	net.Conn
	e   *Endpoint
	raw net.Conn
}

// Close implements net.Conn.
func (t tracked) Close() error {
	t.e.untrack(t.raw)
	return nil
}

// Close closes the listener and all connections, and waits for the handlers.
func (e *Endpoint) Close() error {
	e.stop()
	err := e.opts.Listener.Close()
	e.mu.Lock()
	for c := range e.conns {
		_ = c.Close() // its user sees the error
	}
	e.mu.Unlock()
	e.group.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
