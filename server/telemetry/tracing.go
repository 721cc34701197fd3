package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// TracingOptions configure NewTracing.
type TracingOptions struct {
	Node    int32
	Version string
	Logger  *slog.Logger
	// Exporter, when not nil, takes the spans instead of what OTEL_* names,
	// without batching: for tests.
	Exporter sdktrace.SpanExporter
}

// Tracing owns the tracer provider of one node.
type Tracing struct {
	provider *sdktrace.TracerProvider // nil: off
}

// NewTracing makes the tracer provider that the environment asks for:
// OTEL_EXPORTER_OTLP_ENDPOINT (or …_TRACES_ENDPOINT) turns tracing on,
// OTEL_TRACES_SAMPLER and …_ARG choose what is kept (default: every trace that
// its parent keeps), OTEL_TRACES_EXPORTER=none and OTEL_SDK_DISABLED=true turn
// it off again. Headers, TLS, timeouts and resource attributes are read by the
// OpenTelemetry SDK from its own variables.
//
// The exporter connects lazily: a collector that is down costs spans, never a
// request.
func NewTracing(ctx context.Context, o TracingOptions) (*Tracing, error) {
	if o.Exporter == nil && !exporterConfigured() {
		return &Tracing{}, nil
	}
	res, err := resource.New(ctx,
		resource.WithAttributes(
			attribute.String("service.name", ServiceName),
			attribute.String("service.version", o.Version),
			attribute.String("service.instance.id", strconv.Itoa(int(o.Node))),
		),
		resource.WithTelemetrySDK(),
		resource.WithFromEnv(), // last, so that OTEL_SERVICE_NAME wins
	)
	if err != nil {
		return nil, fmt.Errorf("tracing: resource: %w", err)
	}
	processor, err := newProcessor(ctx, o.Exporter)
	if err != nil {
		return nil, fmt.Errorf("tracing: exporter: %w", err)
	}
	// The sampler is the SDK's to read: OTEL_TRACES_SAMPLER, else
	// parentbased_always_on.
	return &Tracing{provider: sdktrace.NewTracerProvider(
		sdktrace.WithResource(res), sdktrace.WithSpanProcessor(processor), sdktrace.WithIDGenerator(rootIDs{}))}, nil
}

func newProcessor(ctx context.Context, exporter sdktrace.SpanExporter) (sdktrace.SpanProcessor, error) {
	if exporter != nil {
		return sdktrace.NewSimpleSpanProcessor(exporter), nil
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, err
	}
	return sdktrace.NewBatchSpanProcessor(exporter), nil
}

func exporterConfigured() bool {
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") || os.Getenv("OTEL_TRACES_EXPORTER") == "none" {
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

// Shutdown exports what is left, until ctx ends, and stops the exporter.
func (t *Tracing) Shutdown(ctx context.Context) error {
	if t.provider == nil {
		return nil
	}
	return errors.Join(t.provider.ForceFlush(ctx), t.provider.Shutdown(ctx))
}
