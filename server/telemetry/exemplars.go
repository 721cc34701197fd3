package telemetry

import (
	"sort"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
)

// exemplarLabel is the label that Grafana looks for in an exemplar.
const exemplarLabel = "trace_id"

// Observe counts a value in a histogram, with the trace as its exemplar if it
// is sampled: without tracing it costs one comparison more.
func Observe(to prometheus.Observer, value float64, sc trace.SpanContext) {
	if sc.IsSampled() {
		if e, ok := to.(prometheus.ExemplarObserver); ok {
			e.ObserveWithExemplar(value, prometheus.Labels{exemplarLabel: sc.TraceID().String()})
			return
		}
	}
	to.Observe(value)
}

// TracedHistogram is a histogram whose exemplars come after their values: a
// commit cycle is counted once, by the store, and which traces were in it is
// known when their appends are answered. It keeps the latest of each bucket.
type TracedHistogram struct {
	prometheus.Histogram
	bounds []float64

	mu     sync.Mutex
	latest []prometheus.Exemplar // by bucket; zero time: none
}

// NewTracedHistogram makes one that is not registered.
func NewTracedHistogram(o prometheus.HistogramOpts) *TracedHistogram {
	return &TracedHistogram{
		Histogram: prometheus.NewHistogram(o), bounds: o.Buckets,
		latest: make([]prometheus.Exemplar, len(o.Buckets)+1),
	}
}

// Exemplify makes a trace the exemplar of the bucket of a value that was, or
// will be, observed.
func (h *TracedHistogram) Exemplify(value float64, at time.Time, sc trace.SpanContext) {
	if !sc.IsSampled() {
		return
	}
	i := sort.SearchFloat64s(h.bounds, value)
	h.mu.Lock()
	h.latest[i] = prometheus.Exemplar{
		Value: value, Timestamp: at, Labels: prometheus.Labels{exemplarLabel: sc.TraceID().String()},
	}
	h.mu.Unlock()
}

// Collect implements prometheus.Collector.
func (h *TracedHistogram) Collect(ch chan<- prometheus.Metric) {
	var known []prometheus.Exemplar
	h.mu.Lock()
	for _, e := range h.latest {
		if !e.Timestamp.IsZero() {
			known = append(known, e)
		}
	}
	h.mu.Unlock()
	if len(known) > 0 {
		if m, err := prometheus.NewMetricWithExemplars(h.Histogram, known...); err == nil {
			ch <- m
			return
		}
	}
	ch <- h.Histogram
}
