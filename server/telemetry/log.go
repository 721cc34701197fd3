package telemetry

import (
	"context"
	"log/slog"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
)

// traceKey is how a line names the trace that it belongs to. A line that has
// one already keeps it.
const traceKey = "trace_id"

// WithCounts wraps a node's logger: lines within a request that is traced carry
// trace_id and span_id, repeats of a fault are left out beyond a rate, and r
// gets a counter of lines by level.
func WithCounts(l *slog.Logger, r prometheus.Registerer) *slog.Logger {
	lines := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "chronik_log_lines_total",
		Help: "Lines that the node logged, by level, with those that were left out as repeats.",
	}, []string{"level"})
	r.MustRegister(lines)
	h := &lineHandler{Handler: l.Handler(), repeats: &repeats{said: make(map[string]*repeat)}}
	for i, level := range [...]slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		h.lines[i] = lines.WithLabelValues(strings.ToLower(level.String()))
	}
	return slog.New(h)
}

// lineHandler adds to lines, counts them, and leaves repeats of a fault out.
type lineHandler struct {
	slog.Handler
	lines   [4]prometheus.Counter
	repeats *repeats // of all loggers made from this one
	traced  bool     // the logger has a trace id of its own
}

// Handle implements slog.Handler.
func (h *lineHandler) Handle(ctx context.Context, r slog.Record) error {
	h.lines[min(max((int(r.Level)+4)/4, 0), 3)].Inc()
	if !h.repeats.allow(&r) {
		return nil
	}
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() && !h.traced && !has(&r, traceKey) {
		r.AddAttrs(slog.String(traceKey, sc.TraceID().String()), slog.String("span_id", sc.SpanID().String()))
	}
	return h.Handler.Handle(ctx, r)
}

func has(r *slog.Record, key string) (found bool) {
	r.Attrs(func(a slog.Attr) bool {
		found = a.Key == key
		return !found
	})
	return found
}

// WithAttrs implements slog.Handler.
func (h *lineHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	c.Handler = h.Handler.WithAttrs(attrs)
	for _, a := range attrs {
		c.traced = c.traced || a.Key == traceKey
	}
	return &c
}

// WithGroup implements slog.Handler.
func (h *lineHandler) WithGroup(name string) slog.Handler {
	c := *h
	c.Handler = h.Handler.WithGroup(name)
	return &c
}
