package telemetry

import (
	"context"

	"go.opentelemetry.io/otel/trace"

	"github.com/chroniklog/chronik/storage/record"
)

// StartFetch begins the span of a Kafka client's Fetch; nil end: there is none.
// It is the root of its trace: a consumer's own context is not in the protocol,
// nor is its group.
func StartFetch(ctx context.Context, tracer trace.Tracer, client string) (out context.Context, end func()) {
	if tracer == nil {
		return ctx, nil
	}
	traced, span := tracer.Start(ctx, spanFetch, trace.WithSpanKind(trace.SpanKindServer))
	if !span.IsRecording() {
		return ctx, nil
	}
	span.SetAttributes(attrSystem.String(ServiceName), attrOperation.String(operationReceive),
		attrOperationType.String(operationReceive), attrClientID.String(client))
	ctx = traced
	return ctx, func() { span.End() }
}

// Produced is a batch that a Kafka client sends. Nothing in it has been judged.
type Produced struct {
	ClientID        string
	Topic           string // empty: the client named none that there is
	Partition       int32
	Batch           []byte
	MaxDecompressed int // bytes of the batch
}

// StartProduce begins the span of a batch: a child of the first context that its
// records carry, with links to the others; where they carry none, the root of a
// trace. Nil end: there is no span.
func StartProduce(ctx context.Context, tracer trace.Tracer, p Produced) (out context.Context, end func(error)) {
	if tracer == nil {
		return ctx, nil
	}
	var own links
	own.addBatches(p.Batch, p.MaxDecompressed)
	if len(own) > 0 {
		ctx = trace.ContextWithRemoteSpanContext(ctx, own[0].SpanContext)
		own = own[1:]
	}
	ctx, span := tracer.Start(ctx, spanProduce, trace.WithSpanKind(trace.SpanKindServer))
	if !span.IsRecording() {
		return ctx, nil
	}
	span.SetAttributes(attrSystem.String(ServiceName), attrOperation.String(operationSend),
		attrOperationType.String(operationSend), attrClientID.String(p.ClientID),
		attrPartition.Int(int(p.Partition)))
	if p.Topic != "" {
		span.SetAttributes(attrDestination.String(p.Topic))
	}
	if h, err := record.ParseHeader(p.Batch); err == nil {
		span.SetAttributes(attrBatchCount.Int(int(h.Count)))
	}
	for _, l := range own {
		span.AddLink(l)
	}
	return ctx, ending(span)
}
