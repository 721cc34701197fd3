// Package api is the HTTP adapter: it turns requests under /v1 into calls of
// the broker, and answers into the media types that openapi.yaml describes.
//
// The control plane (topics, partitions, cluster) is served by the strict
// server that api/gen generates from openapi.yaml; topics.go and cluster.go
// implement it. The data plane (records, batches, keys, fence, offsets) is
// written by hand for speed, on the same router and in the same description;
// dataRoutes registers it. Whatever goes wrong leaves through writeProblem:
// one table (problem_codes.go, problem_errors.go) gives each error its status,
// code, retryability and outcome.
//
// A request passes, in this order: the response wrapper that counts and
// recovers, the Host and origin checks, routing, admission by bytes, the span,
// decompression, the handler. See package middleware.
package api

import (
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
)

// Deps is what the API is built from. Broker, Groups, Logger, Registry and Gatherer
// are required; the zero value of each other field means its default.
type Deps struct {
	Broker   Broker
	Groups   Groups
	Logger   *slog.Logger
	Registry prometheus.Registerer
	Gatherer prometheus.Gatherer // what /metrics shows
	// Tracer makes the spans. Nil: tracing is off, no span is ever made.
	Tracer trace.Tracer
	Now    func() time.Time
	Limits Limits
	// AllowedHosts are the host names (no port) that the Host header may
	// hold beside IP addresses and localhost; "*" allows every name.
	AllowedHosts []string
	// AllowedOrigins are the origins (scheme://host[:port]) of web pages that
	// may change things here, beside pages that this node serves itself.
	AllowedOrigins []string
	// Ready reports each readiness check; the node is ready when none fails.
	// Nil: always ready.
	Ready func() []Check
	// Version is shown by GET /v1/cluster.
	Version string
	// TraceURL is told to clients as the cluster's trace_url; empty: none.
	TraceURL string
	// Console serves the paths that it has, beside the API. Nil: none.
	Console Console
	// SplitOps leaves health and metrics to the handler that NewOps makes.
	SplitOps bool
}

// Console serves pages.
type Console interface {
	http.Handler // of GET and HEAD
	Has(path string) bool
}

// Check is one condition of readiness. Err is nil while it holds.
type Check struct {
	Name string
	Err  error
}

// Server holds what the handlers share. It has no state of its own, but for
// what it remembers of header values.
type Server struct {
	broker   Broker
	groups   Groups
	logger   *slog.Logger
	now      func() time.Time
	limits   Limits
	tracer   trace.Tracer // nil: tracing is off
	ready    func() []Check
	version  string
	traceURL *string // nil: none
	gather   prometheus.Gatherer
	specTag  string
	hints    hints
}

// errDraining is why a node that shuts down is not ready.
var errDraining = errors.New("the node is shutting down")

// New makes the handler of the HTTP address. It registers metrics, so each
// registry takes one. Deps that contradict themselves are a mistake of the
// caller and panic.
func New(d Deps) http.Handler {
	h, _ := newServer(d).router(d)
	return h
}

func newServer(d Deps) *Server {
	now := d.Now
	if now == nil {
		now = time.Now
	}
	return &Server{
		broker: d.Broker, groups: d.Groups, logger: d.Logger, now: now, limits: d.Limits.withDefaults(), tracer: d.Tracer,
		ready: d.Ready, version: d.Version, traceURL: optional(d.TraceURL), gather: d.Gatherer, specTag: specTag(),
	}
}
