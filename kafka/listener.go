package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.opentelemetry.io/otel/trace"
)

// Options make a Listener. Broker and Logs are required.
type Options struct {
	Broker Broker
	Logs   Logs
	// Groups coordinates consumer groups; nil: their APIs are not spoken.
	Groups   Groups
	Logger   *slog.Logger          // nil: discards
	Registry prometheus.Registerer // nil: counts for nobody
	// Tracer makes the spans of Produce and Fetch; nil: none are made.
	Tracer trace.Tracer
	Limits Limits
	// Settings are the node's own settings as DescribeConfigs of a broker
	// shows them, under Kafka's names.
	Settings []Setting
}

// Setting is one setting of a node under the name that Kafka has for it.
type Setting struct {
	Name, Value string
	Type        kmsg.ConfigType
	// Set tells that the operator chose the value.
	Set bool
}

// Limits bound what clients can make the node hold. Zero fields take the
// default.
type Limits struct {
	// FrameBytes bounds a produce request; default 100 MiB, Kafka's own.
	FrameBytes int
	// RequestBytes bounds every other request. Default 4 MiB.
	RequestBytes int
	// InFlightBytes bounds the requests of all connections that were read and
	// not answered, once more what they were decoded into, and once more the
	// answers that wait for their clients. Default 256 MiB.
	InFlightBytes int64
	// ConnBytes is InFlightBytes of one connection; a single larger request
	// passes alone. Default 32 MiB.
	ConnBytes int64
	// ConnRequests is how many requests of a connection are read ahead of the
	// answers. Default 32.
	ConnRequests int
	// FetchBytes bounds one answer to a fetch. Default 16 MiB.
	FetchBytes int
	// Idle closes connections that send nothing. Default 10 minutes.
	Idle time.Duration
	// Transfer is how long a frame may take once it began to come or go,
	// beside a second for each MiB. Default 30 s.
	Transfer time.Duration
	// FetchSessions is how many fetch sessions are kept. Default 1000.
	FetchSessions int
}

func (l Limits) withDefaults() Limits {
	set(&l.FrameBytes, 100<<20)
	set(&l.RequestBytes, 4<<20)
	set(&l.InFlightBytes, 256<<20)
	set(&l.ConnBytes, 32<<20)
	set(&l.ConnRequests, 32)
	set(&l.FetchBytes, 16<<20)
	set(&l.Idle, 10*time.Minute)
	set(&l.Transfer, 30*time.Second)
	set(&l.FetchSessions, 1000)
	return l
}

func set[T int | int64 | time.Duration](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}

// ErrClosed is what Serve returns once Shutdown or Close was called.
var ErrClosed = errors.New("kafka listener is closed")

// Listener serves Kafka clients.
type Listener struct {
	broker   Broker
	logs     Logs
	groups   Groups
	log      *slog.Logger
	limits   Limits
	settings []Setting
	metrics  *metrics
	tracer   trace.Tracer // nil: tracing is off
	apis     []api        // by key
	room     room
	sessions *sessions
	buffers  sync.Pool // of *output

	mu     sync.Mutex
	socket net.Listener
	conns  map[*conn]struct{}
	closed bool
	// relieved is when the dawdlers were last looked for.
	relieved time.Time
	wg       sync.WaitGroup // connections
}

// New makes a listener that listens to nothing yet.
func New(o Options) *Listener {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	lim := o.Limits.withDefaults()
	k := &Listener{
		broker: o.Broker, logs: o.Logs, groups: o.Groups, log: o.Logger, limits: lim,
		tracer: o.Tracer, settings: o.Settings, apis: table(o.Groups != nil),
		metrics: newMetrics(o.Registry), room: newRoom(lim.InFlightBytes),
		sessions: newSessions(lim.FetchSessions), conns: map[*conn]struct{}{},
	}
	k.buffers.New = func() any { return new(output) }
	return k
}

// Serve accepts connections until Shutdown or Close, then returns ErrClosed.
// It takes the listener and closes it.
func (k *Listener) Serve(l net.Listener) error {
	k.mu.Lock()
	if k.closed {
		k.mu.Unlock()
		return errors.Join(ErrClosed, l.Close())
	}
	k.socket = l
	k.mu.Unlock()
	for {
		nc, err := l.Accept()
		if err != nil {
			if k.isClosed() {
				return ErrClosed
			}
			if temporary(err) {
				time.Sleep(acceptPause) // out of descriptors: the backlog waits
				continue
			}
			return fmt.Errorf("accept: %w", err)
		}
		k.begin(nc)
	}
}

// acceptPause is how long no connection is accepted when the process has run
// out of file descriptors.
const acceptPause = 50 * time.Millisecond

// temporary tells whether accepting may work again later.
func temporary(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && !errors.Is(err, net.ErrClosed)
}

func (k *Listener) isClosed() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.closed
}

// begin starts a connection, unless the listener is closed.
func (k *Listener) begin(nc net.Conn) {
	c := newConn(k, nc)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		c.abort()
		return
	}
	k.conns[c] = struct{}{}
	k.metrics.connections.Inc()
	k.wg.Go(func() {
		c.run()
		k.mu.Lock()
		delete(k.conns, c)
		k.mu.Unlock()
		k.metrics.connections.Dec()
	})
}

// Shutdown stops accepting and reading, answers what was read, and closes.
// When ctx ends first the connections are cut; the error is then ctx's.
func (k *Listener) Shutdown(ctx context.Context) error {
	for _, c := range k.stop() {
		c.drain()
	}
	done := make(chan struct{})
	go func() {
		k.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	k.cut()
	<-done
	return context.Cause(ctx)
}

// Close cuts every connection and waits for their goroutines.
func (k *Listener) Close() error {
	k.stop()
	k.cut()
	k.wg.Wait()
	return nil
}

// stop closes the socket and returns the connections.
func (k *Listener) stop() (list []*conn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
	if k.socket != nil {
		_ = k.socket.Close()
	}
	for c := range k.conns {
		list = append(list, c)
	}
	return list
}

func (k *Listener) cut() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for c := range k.conns {
		c.abort()
	}
}
