package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Bounds of the HTTP server. A body's time is the API's to bound, route by
// route, and a live stream extends its answer's with every piece it writes.
const (
	headerTimeout  = 10 * time.Second
	answerTimeout  = 5 * time.Minute // from the headers of a request to the end of its answer
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 64 << 10
	maxStreams     = 1000 // HTTP/2 requests at once on one connection
	pingTimeout    = 15 * time.Second
	pingAfter      = 30 * time.Second
)

// webServer is one HTTP listener: HTTP/1.1 and, without TLS, HTTP/2 by prior
// knowledge on the same port.
type webServer struct {
	listener net.Listener
	server   *http.Server
	conns    *connCounter
	done     chan error // Serve's end; nil before serve
}

// listen takes the address that a flag gives.
func listen(flag, addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("--%s: another process, perhaps another node, listens on %s; choose another address: %w",
			flag, addr, err)
	}
	if err != nil {
		return nil, fmt.Errorf("--%s: %w", flag, err)
	}
	return l, nil
}

// bindWeb takes the address. Clients that connect before serve wait in the
// kernel's backlog.
func bindWeb(name, addr string, conns *connCounter, log *slog.Logger) (*webServer, error) {
	l, err := listen(name, addr)
	if err != nil {
		return nil, err
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &webServer{
		listener: l, conns: conns,
		server: &http.Server{
			ReadHeaderTimeout: headerTimeout, WriteTimeout: answerTimeout, IdleTimeout: idleTimeout,
			MaxHeaderBytes: maxHeaderBytes, Protocols: protocols,
			HTTP2: &http.HTTP2Config{
				MaxConcurrentStreams: maxStreams, SendPingTimeout: pingAfter, PingTimeout: pingTimeout,
			},
			ErrorLog: slog.NewLogLogger(log.With("listener", name).Handler(), slog.LevelDebug),
		},
	}, nil
}

// serve begins to answer with h.
func (w *webServer) serve(h http.Handler) {
	w.server.Handler = h
	w.done = make(chan error, 1)
	go func() {
		err := w.server.Serve(w.conns.limit(w.listener))
		if errors.Is(err, http.ErrServerClosed) {
			err = nil
		}
		w.done <- err
	}()
}

// addr is the address that was bound.
func (w *webServer) addr() string { return w.listener.Addr().String() }

// shutdown stops accepting and waits for requests until ctx ends, then cuts
// what is left.
func (w *webServer) shutdown(ctx context.Context) error {
	err := w.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, w.server.Close())
	}
	return errors.Join(err, <-w.done)
}

// close cuts every connection.
func (w *webServer) close() error {
	if w.done == nil {
		return w.listener.Close()
	}
	return errors.Join(w.server.Close(), <-w.done)
}

// connCounter bounds and counts connections over all listeners.
type connCounter struct {
	slots chan struct{}
	open  atomic.Int64
	total prometheus.Counter
	held  prometheus.Counter
}

// maxOpsConns bounds the connections of the ops listener, which must stay
// reachable when the API's are used up.
const maxOpsConns = 256

// newOpsConnCounter counts for nobody.
func newOpsConnCounter() *connCounter { return newConnCounter(maxOpsConns, prometheus.NewRegistry()) }

// newConnCounter bounds connections to limit and registers what it counts.
func newConnCounter(limit int, r prometheus.Registerer) *connCounter {
	c := &connCounter{
		slots: make(chan struct{}, limit),
		total: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "chronik_connections_total", Help: "Connections accepted.",
		}),
		held: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "chronik_connections_limited_total",
			Help: "Times that accepting paused because --max-connections were open.",
		}),
	}
	r.MustRegister(c.total, c.held, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "chronik_connections", Help: "Connections open.",
	}, func() float64 { return float64(c.open.Load()) }))
	return c
}

// limit wraps a listener so that Accept waits for a free slot.
func (c *connCounter) limit(l net.Listener) net.Listener {
	return &limitedListener{Listener: l, counter: c, closed: make(chan struct{})}
}

type limitedListener struct {
	net.Listener
	counter *connCounter
	once    sync.Once
	closed  chan struct{}
}

func (l *limitedListener) Accept() (net.Conn, error) {
	select {
	case l.counter.slots <- struct{}{}:
	default:
		l.counter.held.Inc()
		select {
		case l.counter.slots <- struct{}{}:
		case <-l.closed:
			return nil, net.ErrClosed
		}
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.counter.slots
		return nil, err
	}
	l.counter.total.Inc()
	l.counter.open.Add(1)
	return &countedConn{Conn: conn, counter: l.counter}, nil
}

func (l *limitedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// countedConn gives its slot back when it is closed.
type countedConn struct {
	net.Conn
	counter *connCounter
	once    sync.Once
}

// WriteParts writes as the connection inside does, all parts in one system
// call: a net.Buffers does not see that it may.
func (c *countedConn) WriteParts(parts *net.Buffers) (int64, error) { return parts.WriteTo(c.Conn) }

// CloseWrite tells the client that nothing more comes; what it sends can still
// be read.
func (c *countedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

func (c *countedConn) Close() error {
	c.once.Do(func() {
		c.counter.open.Add(-1)
		<-c.counter.slots
	})
	return c.Conn.Close()
}
