package telemetry

import (
	"context"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/trace"

	"github.com/chroniklog/chronik/server/partition"
)

// packContext encodes a span context for the followers: trace id, span id,
// flags. Nil when it is not sampled.
func packContext(sc trace.SpanContext) *partition.TraceContext {
	if !sc.IsSampled() {
		return nil
	}
	var c partition.TraceContext
	t, s := sc.TraceID(), sc.SpanID()
	copy(c[:16], t[:])
	copy(c[16:24], s[:])
	c[24] = byte(sc.TraceFlags())
	return &c
}

// unpackContext is the opposite of packContext.
func unpackContext(c *partition.TraceContext) trace.SpanContext {
	cfg := trace.SpanContextConfig{TraceFlags: trace.TraceFlags(c[24]), Remote: true}
	copy(cfg.TraceID[:], c[:16])
	copy(cfg.SpanID[:], c[16:24])
	return trace.NewSpanContext(cfg)
}

// Replicates makes the spans of a follower's share in sampled appends:
// "replicate", from the arrival of the batches until they are on its disk. Nil
// makes none.
type Replicates struct {
	tracer  trace.Tracer
	wg      sync.WaitGroup
	waiting atomic.Int64
}

// NewReplicates returns nil when tracer is nil.
func NewReplicates(tracer trace.Tracer) *Replicates {
	if tracer == nil {
		return nil
	}
	return &Replicates{tracer: tracer}
}

// Replicated are the spans of one arrival.
type Replicated struct {
	owner *Replicates
	spans []trace.Span
	last  int64
}

// Start begins the spans of batches that arrived; nil if none of their appends
// is sampled.
func (r *Replicates) Start(topic string, p int32, list []partition.Traced) *Replicated {
	if r == nil || len(list) == 0 {
		return nil
	}
	out := &Replicated{owner: r, spans: make([]trace.Span, len(list)), last: list[len(list)-1].Offset}
	for i := range list {
		ctx := trace.ContextWithRemoteSpanContext(context.Background(), unpackContext(&list[i].Context))
		_, out.spans[i] = r.tracer.Start(ctx, spanReplicate, trace.WithSpanKind(trace.SpanKindInternal),
			trace.WithAttributes(attrSystem.String(ServiceName), attrDestination.String(topic),
				attrPartition.Int(int(p)), attrOffset.Int64(list[i].Offset)))
	}
	return out
}

// End ends the spans: with err, or once synced, which waits for the last of the
// appends, is done.
func (r *Replicated) End(err error, synced func(offset int64) Pending) {
	if err != nil {
		r.end(nil, err)
		return
	}
	o := r.owner
	if o.waiting.Add(1) > maxFollowed {
		o.waiting.Add(-1)
		r.end(nil, nil)
		return
	}
	p := synced(r.last)
	select {
	case <-p.Done(): // a closed replica's always are: no goroutine outlives Wait
		o.waiting.Add(-1)
		_, err := p.Wait(context.Background())
		r.end(p.Cycle(), err)
		return
	default:
	}
	o.wg.Go(func() {
		defer o.waiting.Add(-1)
		<-p.Done()
		_, err := p.Wait(context.Background()) // is done: does not block
		r.end(p.Cycle(), err)
	})
}

func (r *Replicated) end(c *partition.Cycle, err error) {
	for _, span := range r.spans {
		if c != nil {
			span.AddEvent("sync", trace.WithTimestamp(c.SyncStart))
			span.SetAttributes(attrCycle.Int64(int64(c.ID)), attrSyncMicros.Int64(c.End.Sub(c.SyncStart).Microseconds()))
		}
		Failed(span, err)
		span.End()
	}
}

// Wait returns when every span has ended; call it after the replicas were
// closed, which ends all of them.
func (r *Replicates) Wait() {
	if r != nil {
		r.wg.Wait()
	}
}
