package telemetry

import (
	"context"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// StartForward begins the span of a request that is handed on to the node that
// leads the partition; the leader's spans are its children. end ends it. With
// no tracer, or where the request is not sampled, no span is made.
func StartForward(ctx context.Context, tracer trace.Tracer, topic string, p int32) (
	out context.Context, end func(error),
) {
	if tracer == nil || !trace.SpanFromContext(ctx).IsRecording() {
		return ctx, func(error) {}
	}
	ctx, span := tracer.Start(ctx, spanForward, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attrSystem.String(ServiceName), attrDestination.String(topic), attrPartition.Int(int(p))))
	return ctx, func(err error) {
		if err != nil {
			span.RecordError(err)
			span.SetStatus(codes.Error, err.Error())
		}
		span.End()
	}
}
