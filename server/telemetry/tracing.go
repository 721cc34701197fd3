package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// TracingOptions configure NewTracing.
type TracingOptions struct {
	Node    int32
	Version string
	Logger  *slog.Logger // nil: slog.DiscardHandler
	Metrics *Metrics     // counts spans; nil: nobody does
	// Exporter, when not nil, takes the spans instead of what OTEL_* names,
	// without batching: for tests.
	Exporter sdktrace.SpanExporter

	secrets secrets
}

// Tracing owns the tracer provider of one node.
type Tracing struct {
	provider *sdktrace.TracerProvider // nil: off
}

// lastExport bounds what a collector that does not answer adds to a node's end.
const lastExport = 3 * time.Second

// NewTracing makes the tracer provider that the environment asks for:
// OTEL_EXPORTER_OTLP_ENDPOINT (or …_TRACES_ENDPOINT) turns tracing on,
// OTEL_EXPORTER_OTLP_PROTOCOL chooses HTTP or gRPC, OTEL_TRACES_SAMPLER and
// …_ARG choose what is kept (default: every trace that its parent keeps),
// OTEL_TRACES_EXPORTER=none and OTEL_SDK_DISABLED=true turn it off again.
// Headers, TLS and timeouts are read by the OpenTelemetry SDK from its own
// variables. A value that means nothing is a warning, and the default is used.
//
// The exporter connects lazily: a collector that is down costs spans, never a
// request; the log says so once.
func NewTracing(ctx context.Context, o TracingOptions) (*Tracing, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Exporter == nil && !exporterConfigured() {
		return &Tracing{}, nil
	}
	o.secrets = secretsOf(os.Getenv)
	warnHeaders(o.Logger, os.Getenv)
	res, err := resource.New(ctx,
		resource.WithAttributes(
			attribute.String("service.name", ServiceName),
			attribute.String("service.version", o.Version),
			attribute.String("service.instance.id", strconv.Itoa(int(o.Node))),
		),
		resource.WithTelemetrySDK(),
		resource.WithFromEnv(), // last, so that OTEL_SERVICE_NAME wins
	)
	switch {
	case errors.Is(err, resource.ErrPartialResource):
		o.Logger.Warn("part of OTEL_RESOURCE_ATTRIBUTES is not used: it wants key=value,key=value", "error", err)
	case err != nil:
		return nil, fmt.Errorf("tracing: resource: %w", err)
	}
	processor, err := newProcessor(ctx, &o)
	if err != nil {
		return nil, fmt.Errorf("tracing: exporter: %w", err)
	}
	return &Tracing{provider: sdktrace.NewTracerProvider(
		sdktrace.WithResource(res), sdktrace.WithSpanProcessor(processor),
		sdktrace.WithSampler(sampler(o.Logger)), sdktrace.WithIDGenerator(rootIDs{}))}, nil
}

func newProcessor(ctx context.Context, o *TracingOptions) (sdktrace.SpanProcessor, error) {
	if o.Exporter != nil {
		return sdktrace.NewSimpleSpanProcessor(o.Exporter), nil
	}
	exporter, err := newExporter(ctx, o.Logger)
	if err != nil {
		return nil, err
	}
	return newDelivery(exporter, o), nil
}

func exporterConfigured() bool {
	if env("OTEL_SDK_DISABLED") == "true" || env("OTEL_TRACES_EXPORTER") == "none" {
		return false
	}
	return os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
}

// Tracer makes spans; nil while tracing is off.
func (t *Tracing) Tracer() trace.Tracer {
	if t.provider == nil {
		return nil
	}
	tracer := t.provider.Tracer("github.com/chroniklog/chronik")
	if bound, ok := rootBound(); ok {
		return &rootTracer{Tracer: tracer, bound: bound}
	}
	return tracer
}

// Shutdown exports what is left, until ctx ends but for no longer than
// lastExport, and stops the exporter. What could not be delivered is logged, not
// an error: a node ends well without its collector.
func (t *Tracing) Shutdown(ctx context.Context) error {
	if t.provider == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lastExport)
	defer cancel()
	// Shutdown flushes. It is told of the end of ctx by the exporter, which
	// gives up then.
	if err := t.provider.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}
