// Package telemetry is what a node says about itself: its log (slog), its
// metrics (Prometheus) and its traces (OpenTelemetry). All of it is injected;
// the package has no global logger, registry or tracer provider.
//
// # Traces
//
// NewTracing reads the standard OTEL_* variables. With no endpoint configured
// Tracing.Tracer is nil, and code that makes spans asks for that first: the
// produce path then makes no span, no attribute and no goroutine. With one, a
// request's tree is
//
//	POST /v1/topics/{topic}/records      the HTTP adapter's server span, on the node that was asked
//	└─ forward                           where another node leads (StartForward)
//	   └─ peer/append                    that node's server span
//	      └─ append                      Appends: topic, partition, offset, leader epoch
//	         ├─ commit                   the sync that made it durable, linked with the
//	         │                           other appends that shared it
//	         └─ replicate                Replicates: on each follower, from the arrival of
//	                                     the batch until its own sync
//
// A reader's request has a span "receive" for each look into a partition that
// gave records, with links to the spans that produced them (Receive).
//
// The context travels in a record's headers too (traceparent, tracestate), so
// that a consumer's span can link to the producer's, whichever protocol each
// of them speaks: see InjectHeaders and HeaderSpanContext.
//
// Attribute names are the messaging conventions of OpenTelemetry; these are
// still "Development" upstream, so all of them are in semconv.go.
//
// # Metrics
//
// Every metric is named chronik_*; histograms of time resolve 100 µs
// (Buckets). State that others own (raft, topics, partitions, disk) is read
// when Prometheus scrapes, through StateCollector, and costs nothing between
// scrapes.
package telemetry

import (
	"fmt"
	"io"
	"log/slog"
)

// ServiceName is the service.name of every span and the prefix of metrics.
const ServiceName = "chronik"

// NewLogger makes the node's logger. level is debug, info, warn or error;
// format is text or json.
func NewLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("log level: %w", err)
	}
	opts := &slog.HandlerOptions{Level: l}
	switch format {
	case "json":
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	case "text":
		return slog.New(slog.NewTextHandler(w, opts)), nil
	}
	return nil, fmt.Errorf("log format %q: want text or json", format)
}
