package telemetry

import (
	"bytes"
	"context"
	"slices"

	"go.opentelemetry.io/otel/trace"

	"github.com/chroniklog/chronik/storage/record"
)

// links are the contexts of records, each once, at most maxLinks.
type links []trace.Link

func (l *links) add(headers []record.HeaderKV) {
	if len(headers) == 0 || len(*l) >= maxLinks {
		return
	}
	sc := HeaderSpanContext(headers)
	if !sc.IsValid() || slices.ContainsFunc(*l, func(x trace.Link) bool { return x.SpanContext.Equal(sc) }) {
		return
	}
	*l = append(*l, trace.Link{SpanContext: sc})
}

// addBatches adds the contexts of whole batches. One that is not compressed and
// holds no context is not decoded.
func (l *links) addBatches(batches []byte, maxDecompressed int) {
	var reader record.Reader
	for rest := batches; len(rest) > 0 && len(*l) < maxLinks; {
		batch, more, err := record.Split(rest)
		if err != nil {
			return // Read returns whole batches; what is damaged is the reader's to tell
		}
		rest = more
		h, err := record.ParseHeader(batch)
		if err != nil || h.Control() || h.Codec() == record.CodecNone && !mentions(batch) {
			continue
		}
		if _, err := reader.Reset(batch, maxDecompressed); err != nil {
			continue
		}
		var rec record.Record
		for len(*l) < maxLinks && reader.Next(&rec) {
			l.add(rec.Headers)
		}
	}
}

// mentions tells whether a batch may hold a trace context.
func mentions(batch []byte) bool {
	return bytes.Contains(batch, []byte(TraceparentHeader)) || bytes.Contains(batch, []byte("Traceparent"))
}

// Receive is the span "receive" of records that one look into a partition gave
// a consumer, with links to the spans that produced them. Nil makes none.
type Receive struct {
	ctx    context.Context //nolint:containedctx // the parent of the span
	tracer trace.Tracer
	topic  string
	group  string // empty: the consumer reads for itself
	part   int32

	span  trace.Span // nil: no record yet
	first int64
	count int
	links links
}

// NewReceive returns nil when tracer is, or when the request that ctx belongs
// to is not sampled. The span begins with the first record: a look that finds
// none leaves no trace.
func NewReceive(ctx context.Context, tracer trace.Tracer, topic string, p int32) *Receive {
	if tracer == nil || !trace.SpanFromContext(ctx).IsRecording() {
		return nil
	}
	return &Receive{ctx: ctx, tracer: tracer, topic: topic, part: p}
}

// For tells which consumer group reads.
func (r *Receive) For(group string) { r.group = group }

// Record tells of a record that the consumer gets.
func (r *Receive) Record(rec *record.Record) {
	if r.span == nil {
		r.begin(rec.Offset)
	}
	r.count++
	r.links.add(rec.Headers)
}

func (r *Receive) begin(first int64) {
	r.first = first
	_, r.span = r.tracer.Start(r.ctx, spanReceive, trace.WithSpanKind(trace.SpanKindConsumer))
}

// End ends the span.
func (r *Receive) End() {
	if r == nil || r.span == nil {
		return
	}
	r.span.SetAttributes(attrSystem.String(ServiceName), attrOperation.String(operationReceive),
		attrOperationType.String(operationReceive), attrDestination.String(r.topic), attrPartition.Int(int(r.part)),
		attrOffset.Int64(r.first), attrBatchCount.Int(r.count))
	if r.group != "" {
		r.span.SetAttributes(AttrGroup.String(r.group))
	}
	for _, l := range r.links {
		r.span.AddLink(l)
	}
	r.span.End()
}

// Batches makes the span of batches that a consumer gets as they are stored,
// within the request that ctx belongs to.
func Batches(ctx context.Context, tracer trace.Tracer, at ReceivedAt, batches []byte) {
	r := NewReceive(ctx, tracer, at.Topic, at.Partition)
	if r == nil || len(batches) == 0 {
		return
	}
	r.begin(at.Offset)
	for rest := batches; len(rest) > 0; {
		batch, more, err := record.Split(rest)
		if err != nil {
			break
		}
		if h, err := record.ParseHeader(batch); err == nil && !h.Control() {
			r.count += int(h.Count)
		}
		rest = more
	}
	r.links.addBatches(batches, at.MaxDecompressed)
	r.End()
}

// ReceivedAt is where batches were read.
type ReceivedAt struct {
	Topic           string
	Partition       int32
	Offset          int64 // that was asked for
	MaxDecompressed int   // bytes of a batch
}
