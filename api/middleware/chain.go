package middleware

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
)

// Config makes a Chain. Logger, Now, Registry, Fail and the limits are
// required.
type Config struct {
	Logger   *slog.Logger
	Now      func() time.Time
	Registry prometheus.Registerer
	Buckets  []float64    // of the histogram of request times, seconds
	Tracer   trace.Tracer // nil: tracing is off
	Draining <-chan struct{}
	// AllowedHosts are names that Host may hold beside addresses and
	// localhost; "*" allows all. AllowedOrigins are scheme://host[:port].
	AllowedHosts, AllowedOrigins []string
	MaxInFlightBytes             int64
	MaxRatio                     int64         // of decompressed to compressed bytes, beyond 1 MiB
	BodyTimeout                  time.Duration // for a whole body
	// Fail answers with the problem that describes err.
	Fail func(w http.ResponseWriter, r *http.Request, err error)
}

// Chain is what all requests of the API share.
type Chain struct {
	cfg       Config
	hosts     hosts
	origin    *http.CrossOriginProtection
	admission *Admission
	metrics   *Metrics
	unrouted  *routeMetrics
	codecs    codecs
	pool      sync.Pool // of *Response
	inFlight  atomic.Int64
	failures  lineLimit
}

// NewChain makes a chain; an allowed origin that is none is an error.
func NewChain(cfg Config) (*Chain, error) {
	c := &Chain{
		cfg: cfg, hosts: newHosts(cfg.AllowedHosts), origin: http.NewCrossOriginProtection(),
		admission: newAdmission(cfg.MaxInFlightBytes, cfg.Now),
	}
	for _, o := range cfg.AllowedOrigins {
		if err := c.origin.AddTrustedOrigin(o); err != nil {
			return nil, fmt.Errorf("allowed origin %q: %w", o, err)
		}
	}
	c.metrics = newMetrics(cfg.Registry, cfg.Buckets, c)
	c.unrouted = c.metrics.route("any", "none")
	return c, nil
}

// Wrap is the outer half, around the router. Paths for which open returns true
// are served under any Host: health and metrics.
func (c *Chain) Wrap(next http.Handler, open func(path string) bool) http.Handler {
	return &outer{chain: c, next: next, open: open}
}

type outer struct {
	chain *Chain
	next  http.Handler
	open  func(path string) bool
}

// ServeHTTP implements http.Handler.
func (o *outer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := o.chain
	resp, ok := c.pool.Get().(*Response)
	if !ok {
		resp = new(Response)
	}
	resp.ResponseWriter, resp.chain, resp.started = w, c, c.cfg.Now()
	c.inFlight.Add(1)
	defer c.finish(resp, r)
	w.Header()["X-Content-Type-Options"] = nosniff
	select {
	case <-c.cfg.Draining:
		w.Header().Set("Connection", "close")
	default:
	}
	if err := o.check(r); err != nil {
		c.cfg.Fail(resp, r, err)
		return
	}
	o.next.ServeHTTP(resp, r)
}

// nosniff is shared by all answers; Header.Set replaces it, never changes it.
var nosniff = []string{"nosniff"}

// check judges Host and origin.
func (o *outer) check(r *http.Request) error {
	if !o.chain.hosts.allows(r.Host) && !o.open(r.URL.Path) {
		return fmt.Errorf("%w: %.80q", ErrHostNotAllowed, r.Host)
	}
	if err := o.chain.origin.Check(r); err != nil {
		return fmt.Errorf("%w: %w", ErrCrossOrigin, err)
	}
	return nil
}

// finish ends every request: it recovers, gives back what the request held,
// and tells the log, the metrics and the span.
func (c *Chain) finish(resp *Response, r *http.Request) {
	abort := c.recovered(resp, r, recover())
	if err := resp.endEncoding(); err != nil && resp.err == nil {
		resp.err = err
	}
	if resp.duplex {
		resp.settle(r)
	}
	if resp.body.src != nil {
		_ = resp.body.Close() // gives the decoder back, never fails
	}
	if resp.held > 0 {
		c.admission.release(resp.held)
	}
	c.inFlight.Add(-1)
	c.observe(resp, r)
	*resp = Response{}
	c.pool.Put(resp)
	if abort {
		panic(http.ErrAbortHandler)
	}
}

// recovered turns a panic into a 500, or, when an answer has begun, into a cut
// connection: the client must not take what it got for whole.
func (c *Chain) recovered(resp *Response, r *http.Request, p any) (abort bool) {
	if p == nil {
		return false
	}
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		return true
	}
	c.metrics.panics.Inc()
	err := fmt.Errorf("%w: %v", ErrPanic, p)
	c.cfg.Logger.ErrorContext(r.Context(), "handler panicked", "error", err, "method", r.Method,
		"path", r.URL.Path, "trace_id", TraceID(resp, r), "stack", string(debug.Stack()))
	if resp.status != 0 {
		resp.err = err
		return true
	}
	resp.accept = identity
	c.cfg.Fail(resp, r, err)
	return false
}

// statusLeft is what metrics and spans say of a request whose client left before
// the answer, as many servers count it: that nobody takes the answer is no error
// of the node.
const statusLeft = 499

func (c *Chain) observe(resp *Response, r *http.Request) {
	status := resp.status
	if status == 0 {
		status = http.StatusOK // the server writes it after the handler
	}
	if status >= http.StatusInternalServerError && errors.Is(resp.err, context.Canceled) && r.Context().Err() != nil {
		status = statusLeft
	}
	metrics := c.unrouted
	if resp.route != nil {
		metrics = resp.route.metrics
	}
	received := resp.body.in
	if resp.body.src == nil {
		received = max(r.ContentLength, 0)
	}
	metrics.observe(resp, status, c.cfg.Now().Sub(resp.started), received)
	if resp.span != nil {
		endSpan(resp, r, status)
	}
	if status >= http.StatusInternalServerError && resp.err != nil && !errors.Is(resp.err, ErrPanic) {
		c.logFailure(resp, r, status)
	}
}

// logFailure logs a request that failed for a reason that is not the client's.
func (c *Chain) logFailure(resp *Response, r *http.Request, status int) {
	ok, dropped := c.failures.allow(c.cfg.Now())
	if !ok {
		return
	}
	level := slog.LevelWarn
	if status == http.StatusInternalServerError {
		level = slog.LevelError
	}
	attrs := []any{
		"method", r.Method, "path", r.URL.Path, "status", status, "error", resp.err, "trace_id", TraceID(resp, r),
	}
	if dropped > 0 {
		attrs = append(attrs, "not_logged", dropped)
	}
	c.cfg.Logger.Log(r.Context(), level, "request failed", attrs...)
}
