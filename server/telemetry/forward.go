package telemetry

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// StartForward begins the span of a request that is handed on to the node that
// leads the partition; the leader's spans are its children. end ends it; where
// it is not called there is no span. With no tracer, or where the request is not
// sampled, no span is made.
func StartForward(ctx context.Context, tracer trace.Tracer, topic string, p int32) (
	out context.Context, end func(error),
) {
	if tracer == nil || !trace.SpanFromContext(ctx).IsRecording() {
		return ctx, func(error) {}
	}
	ctx, span := tracer.Start(ctx, spanForward, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attrSystem.String(ServiceName), attrDestination.String(topic), attrPartition.Int(int(p))))
	return ctx, ending(span)
}

// StartServed begins the server span of a request that another node has handed
// on to this one, which leads the partition: method is one of the Served… names.
// end ends it; where it is not called, because nothing was found, there is no
// span. With no tracer, or where the request is not sampled, none is made.
func StartServed(ctx context.Context, tracer trace.Tracer, method, topic string, p int32) (end func(error)) {
	if sc := trace.SpanContextFromContext(ctx); tracer == nil || !sc.IsRemote() || !sc.IsSampled() {
		return func(error) {}
	}
	_, span := tracer.Start(ctx, method, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
		attrRPCSystem.String(ServiceName), attrRPCMethod.String(method), attrSystem.String(ServiceName),
		attrDestination.String(topic), attrPartition.Int(int(p))))
	return ending(span)
}

// ending is how a span ends, with an error or without.
func ending(span trace.Span) func(error) {
	return func(err error) {
		Failed(span, err)
		span.End()
	}
}

// Failed tells a span how its work went. That nobody waits for it any more, for
// a client may leave whenever it likes, is an event and no error.
func Failed(span trace.Span, err error) {
	switch {
	case err == nil:
	case errors.Is(err, context.Canceled):
		span.AddEvent(eventCanceled)
	default:
		span.RecordError(err)
		span.SetStatus(codes.Error, err.Error())
	}
}
