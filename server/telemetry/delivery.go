package telemetry

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// SpanCounters count the spans of sampled requests that ended.
type SpanCounters struct {
	Delivered prometheus.Counter
	// Lost counts by reason: "queue_full", "not_delivered".
	Lost *prometheus.CounterVec
}

func newSpanCounters() SpanCounters {
	c := SpanCounters{
		Delivered: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "chronik_trace_spans_delivered_total", Help: "Spans that the collector of traces has taken.",
		}),
		Lost: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "chronik_trace_spans_lost_total", Help: "Spans that did not reach the collector of traces, by reason.",
		}, []string{"reason"}),
	}
	for _, reason := range [...]string{queueFull, notDelivered} {
		c.Lost.WithLabelValues(reason)
	}
	return c
}

// Reasons of lost spans.
const (
	queueFull    = "queue_full"
	notDelivered = "not_delivered"
)

// overflowEvery is the time between two lines about a queue that is too small.
const overflowEvery = time.Minute

// delivery takes ended spans to the collector, at most size of them waiting. It
// is the processor before the SDK's batching one, which would drop without a
// word, and the exporter behind it.
//
// A collector that is down for a day is one line in the node's log, and one more
// when it is back, both with the number lost. It answers no error, for the SDK
// would print each.
type delivery struct {
	sdktrace.SpanProcessor // the batching one

	out    sdktrace.SpanExporter
	size   int64
	limit  time.Duration // of one export, all its tries together
	counts SpanCounters
	log    *slog.Logger
	hide   secrets

	waiting atomic.Int64 // spans handed to the processor, not yet to the exporter
	refused atomic.Int64 // for want of room, not yet told of

	mu      sync.Mutex
	lost    int64 // since failing began
	failing bool
	told    time.Time // of an overflow
}

// newDelivery batches as OTEL_BSP_MAX_QUEUE_SIZE and …_EXPORT_BATCH_SIZE say; the
// SDK reads the times of OTEL_BSP_*.
func newDelivery(out sdktrace.SpanExporter, o *TracingOptions) *delivery {
	size := sizeOf(o.Logger, "OTEL_BSP_MAX_QUEUE_SIZE", sdktrace.DefaultMaxQueueSize)
	batch := sizeOf(o.Logger, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", sdktrace.DefaultMaxExportBatchSize)
	d := &delivery{out: out, size: int64(size), limit: exportLimit(o.Logger), log: o.Logger, hide: o.secrets}
	if o.Metrics != nil {
		d.counts = o.Metrics.Spans
	} else {
		d.counts = newSpanCounters()
	}
	// One place is for the SDK's own marker of a flush.
	d.SpanProcessor = sdktrace.NewBatchSpanProcessor(exporting{d}, sdktrace.WithMaxQueueSize(size+1),
		sdktrace.WithMaxExportBatchSize(min(batch, size)))
	return d
}

// maxBatched bounds both sizes: a queue is reserved when the node begins.
const maxBatched = 1 << 20

// sizeOf reads a number of spans; one that means nothing is a warning.
func sizeOf(log *slog.Logger, name string, usual int) int {
	text := env(name)
	if text == "" {
		return usual
	}
	if n, err := strconv.Atoi(text); err == nil && n > 0 && n <= maxBatched {
		return n
	}
	log.Warn("not a number of spans from 1 to "+strconv.Itoa(maxBatched)+": the default is used",
		"variable", name, "value", text, "default", usual)
	return usual
}

// usualLimit is the specification's.
const usualLimit = 10 * time.Second

// exportLimit is OTEL_EXPORTER_OTLP_TRACES_TIMEOUT or, where that says nothing,
// OTEL_EXPORTER_OTLP_TIMEOUT. By HTTP the SDK has it bound each try, not the export.
func exportLimit(log *slog.Logger) time.Duration {
	for _, name := range [...]string{"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"} {
		text := env(name)
		if text == "" {
			continue
		}
		if ms, err := strconv.ParseInt(text, 10, 32); err == nil && ms > 0 {
			return time.Duration(ms) * time.Millisecond
		}
		log.Warn("not a number of milliseconds: the default is used", "variable", name, "value", text, "default", usualLimit)
		return usualLimit
	}
	return usualLimit
}

// OnEnd implements sdktrace.SpanProcessor. It never waits.
func (d *delivery) OnEnd(s sdktrace.ReadOnlySpan) {
	if !s.SpanContext().IsSampled() {
		return
	}
	if d.waiting.Add(1) > d.size {
		d.waiting.Add(-1)
		d.refused.Add(1)
		d.counts.Lost.WithLabelValues(queueFull).Inc()
		return
	}
	d.SpanProcessor.OnEnd(s)
}

// exporting is the end of a delivery that the SDK's processor calls.
type exporting struct{ *delivery }

// ExportSpans implements sdktrace.SpanExporter.
func (e exporting) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	e.waiting.Add(-int64(len(spans)))
	ctx, cancel := context.WithTimeout(ctx, e.limit)
	defer cancel()
	err := e.out.ExportSpans(ctx, cleaned(spans))
	e.mu.Lock()
	defer e.mu.Unlock()
	if err == nil {
		e.counts.Delivered.Add(float64(len(spans)))
		e.delivered()
		return nil
	}
	e.counts.Lost.WithLabelValues(notDelivered).Add(float64(len(spans)))
	e.lost += int64(len(spans))
	if !e.failing {
		e.failing = true
		e.log.Warn("traces are not delivered: their spans are lost until the collector answers",
			"error", e.hide.cut(err.Error()))
	}
	return nil
}

// delivered tells what was lost before the collector took spans; mu is held.
func (d *delivery) delivered() {
	switch now := time.Now(); {
	case d.failing:
		d.log.Info("traces are delivered again", "lost_spans", d.lost+d.refused.Swap(0))
		d.failing, d.lost = false, 0
	case d.refused.Load() > 0 && now.Sub(d.told) >= overflowEvery:
		d.told = now
		d.log.Warn("more spans end than the collector takes: sample fewer requests (OTEL_TRACES_SAMPLER), or let more "+
			"wait (OTEL_BSP_MAX_QUEUE_SIZE)", "lost_spans", d.refused.Swap(0))
	}
}

// Shutdown implements sdktrace.SpanExporter.
func (e exporting) Shutdown(ctx context.Context) error {
	e.mu.Lock()
	if e.failing {
		e.log.Warn("traces were not delivered until the end", "lost_spans", e.lost+e.refused.Swap(0))
		e.failing = false
	}
	e.mu.Unlock()
	return e.out.Shutdown(ctx)
}
