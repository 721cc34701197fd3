package telemetry

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"strconv"

	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// rootBound is the sampler of OTEL_TRACES_SAMPLER for requests that bring no
// context, where that decides by the trace id alone: an id is sampled when
// the number in its last 8 bytes, halved, is below it, which is the rule of the
// SDK's TraceIDRatioBased. ok is false for every other sampler.
func rootBound() (bound uint64, ok bool) {
	switch env("OTEL_TRACES_SAMPLER") {
	case "always_off", "parentbased_always_off":
		return 0, true
	case "traceidratio", "parentbased_traceidratio":
	default:
		return 0, false
	}
	ratio, err := strconv.ParseFloat(env("OTEL_TRACES_SAMPLER_ARG"), 64)
	if err != nil || !(ratio >= 0 && ratio < 1) { // NaN is no ratio
		return 0, false
	}
	return uint64(ratio * (1 << 63)), true
}

// rootTracer decides on roots before the SDK makes anything for them: of a
// hundred requests at 1 %, ninety-nine cost a random number. The ids that it
// lets pass are the SDK's to judge again, by the same rule.
type rootTracer struct {
	trace.Tracer
	bound uint64
}

// Start implements trace.Tracer.
func (t *rootTracer) Start(ctx context.Context, name string, opts ...trace.SpanStartOption) (
	context.Context, trace.Span,
) {
	if trace.SpanContextFromContext(ctx).IsValid() {
		return t.Tracer.Start(ctx, name, opts...)
	}
	low := rand.Uint64()
	if low>>1 >= t.bound {
		return ctx, noop.Span{}
	}
	return t.Tracer.Start(context.WithValue(ctx, lowKey{}, low), name, opts...)
}

// lowKey is the context key of the trace id's last 64 bits.
type lowKey struct{}

// rootIDs makes the ids of spans; a root's trace id ends as rootTracer chose.
type rootIDs struct{}

// NewIDs implements sdktrace.IDGenerator.
func (g rootIDs) NewIDs(ctx context.Context) (id trace.TraceID, span trace.SpanID) {
	low, chosen := ctx.Value(lowKey{}).(uint64)
	for !chosen && low == 0 {
		low = rand.Uint64()
	}
	binary.BigEndian.PutUint64(id[:8], rand.Uint64())
	binary.BigEndian.PutUint64(id[8:], low)
	return id, g.NewSpanID(ctx, id)
}

// NewSpanID implements sdktrace.IDGenerator.
func (rootIDs) NewSpanID(context.Context, trace.TraceID) (span trace.SpanID) {
	for !span.IsValid() {
		binary.BigEndian.PutUint64(span[:], rand.Uint64())
	}
	return span
}
