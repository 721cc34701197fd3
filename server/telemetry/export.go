package telemetry

import (
	"context"
	"log/slog"
	"os"
	"strconv"
	"strings"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// newExporter makes the exporter that OTEL_EXPORTER_OTLP_PROTOCOL names, or
// …_TRACES_PROTOCOL before it. One that does not exist is answered as the
// specification of these variables asks: with a warning and the default.
func newExporter(ctx context.Context, log *slog.Logger) (sdktrace.SpanExporter, error) {
	name, protocol := "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", env("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
	if protocol == "" {
		name, protocol = "OTEL_EXPORTER_OTLP_PROTOCOL", env("OTEL_EXPORTER_OTLP_PROTOCOL")
	}
	switch protocol {
	case "grpc":
		return otlptracegrpc.New(ctx)
	case "", "http/protobuf", "http/json": // the exporter by HTTP knows which
	default:
		log.Warn("unknown protocol for traces: http/protobuf is used; http/json and grpc are the others",
			"variable", name, "value", protocol)
	}
	return otlptracehttp.New(ctx)
}

// sampler is what OTEL_TRACES_SAMPLER and …_ARG ask for. A name or a ratio that
// means nothing is answered with a warning and the default, which keeps every
// trace that its parent keeps.
func sampler(log *slog.Logger) sdktrace.Sampler {
	const argument = "OTEL_TRACES_SAMPLER_ARG"
	ratio := 1.0
	if name := env("OTEL_TRACES_SAMPLER"); strings.HasSuffix(name, "traceidratio") && env(argument) != "" {
		r, err := strconv.ParseFloat(env(argument), 64)
		if err == nil && r >= 0 && r <= 1 { // false of NaN, too
			ratio = r
		} else {
			log.Warn("not a ratio from 0 to 1: every trace is sampled", "variable", argument, "value", os.Getenv(argument))
		}
	}
	switch name := env("OTEL_TRACES_SAMPLER"); name {
	case "always_on":
		return sdktrace.AlwaysSample()
	case "always_off":
		return sdktrace.NeverSample()
	case "traceidratio":
		return sdktrace.TraceIDRatioBased(ratio)
	case "parentbased_always_off":
		return sdktrace.ParentBased(sdktrace.NeverSample())
	case "parentbased_traceidratio":
		return sdktrace.ParentBased(sdktrace.TraceIDRatioBased(ratio))
	case "", "parentbased_always_on":
	default:
		log.Warn("unknown sampler: parentbased_always_on is used; always_on, always_off, traceidratio, "+
			"parentbased_always_off and parentbased_traceidratio are the others",
			"variable", "OTEL_TRACES_SAMPLER", "value", name)
	}
	return sdktrace.ParentBased(sdktrace.AlwaysSample())
}

// AdoptLog makes OpenTelemetry's SDK, whose log belongs to the process, speak in
// l: wrong variables as errors. What it says of samplers and exports is for
// debugging, since NewTracing has said it already. No secret of its variables is
// shown. For the program's start only.
func AdoptLog(l *slog.Logger) {
	l = slog.New(&discreet{Handler: l.Handler(), hidden: secretsOf(os.Getenv)})
	otel.SetLogger(logr.FromSlogHandler(l.Handler()))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { l.Debug("OpenTelemetry", "error", err) }))
}

// env is a variable's value as the SDK compares it.
func env(name string) string { return strings.ToLower(strings.TrimSpace(os.Getenv(name))) }
