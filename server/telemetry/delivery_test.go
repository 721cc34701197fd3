package telemetry

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

// gate is a collector that answers nothing until it is opened, and errors until
// it works.
type gate struct {
	*tracetest.NoopExporter
	open  chan struct{}
	works atomic.Bool
	took  atomic.Int64
}

func newGate() *gate {
	return &gate{NoopExporter: tracetest.NewNoopExporter(), open: make(chan struct{})}
}

func (g *gate) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	<-g.open
	if !g.works.Load() {
		return errors.New("no collector")
	}
	g.took.Add(int64(len(spans)))
	return nil
}

func lostSpans(m *Metrics, reason string) int {
	return int(testutil.ToFloat64(m.Spans.Lost.WithLabelValues(reason)))
}

// While a collector hangs, no more spans wait than the queue holds; every other
// is counted, no request waits, and the log says what was lost once the
// collector takes spans again.
func TestQueueFull(t *testing.T) {
	const size, ended = 100, 10_000
	t.Setenv("OTEL_BSP_MAX_QUEUE_SIZE", "100")
	for _, works := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			m, log, out := NewMetrics(prometheus.NewRegistry()), &bytes.Buffer{}, newGate()
			d := newDelivery(out, &TracingOptions{Logger: slog.New(slog.NewTextHandler(log, nil)), Metrics: m})
			provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(d))
			tracer := provider.Tracer("")
			end := func() {
				_, span := tracer.Start(t.Context(), "x")
				span.End()
			}
			for range ended {
				end()
			}
			synctest.Wait()
			// What hangs in the exporter waits no more: at most one batch.
			full := lostSpans(m, queueFull)
			if d.waiting.Load() > size || full < ended-2*size || full > ended-size {
				t.Errorf("%d wait, %d are lost", d.waiting.Load(), full)
			}
			out.works.Store(works)
			close(out.open)
			if err := provider.ForceFlush(t.Context()); err != nil {
				t.Error(err)
			}
			out.works.Store(true)
			end()
			if err := provider.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			delivered := int(testutil.ToFloat64(m.Spans.Delivered))
			if n := delivered + full + lostSpans(m, notDelivered); n != ended+1 || int64(delivered) != out.took.Load() {
				t.Errorf("%d spans are accounted for, %d delivered", n, delivered)
			}
			if works != strings.Contains(log.String(), "more spans end than") || strings.Count(log.String(), "lost_spans=") != 1 {
				t.Errorf("log:\n%s", log)
			}
		})
	}
}

// A full queue costs an append's request no memory and no time worth a word.
func BenchmarkQueueFull(b *testing.B) {
	out := newGate()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(
		newDelivery(out, &TracingOptions{Logger: slog.New(slog.DiscardHandler)})))
	tracer := provider.Tracer("")
	for b.Loop() {
		_, span := tracer.Start(b.Context(), "x")
		span.End()
	}
	close(out.open)
	_ = provider.Shutdown(context.Background())
}

// Whatever a client puts into a path or a name, the spans of the others arrive
// with its own.
func TestSpansAreCleaned(t *testing.T) {
	tracing, receiver := startTracing(t)
	long := strings.Repeat("\xff", 2*maxText)
	for _, text := range []string{"fine", "a\xffb", long, strings.Repeat("ä", maxText)} {
		_, span := tracing.Tracer().Start(t.Context(), text, trace.WithAttributes(attribute.String("k", text)))
		span.AddEvent(text, trace.WithAttributes(attribute.String("k", text)))
		span.RecordError(errors.New(text))
		span.SetStatus(codes.Error, text)
		span.End()
	}
	if err := tracing.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	spans := receiver.Spans()
	if len(spans) != 4 {
		t.Fatalf("%d spans arrived, want 4", len(spans))
	}
	for i, want := range []string{"fine", "a\uFFFDb"} {
		s := spans[i]
		if s.GetName() != want || s.Attributes()["k"] != want || s.GetStatus().GetMessage() != want ||
			s.GetEvents()[0].GetName() != want || s.GetEvents()[0].GetAttributes()[0].GetValue().GetStringValue() != want {
			t.Errorf("span %v, want %q", s, want)
		}
	}
	for _, s := range spans[2:] {
		if n := len(s.Attributes()["k"]); n > maxText || n == 0 {
			t.Errorf("a text of %d bytes", n)
		}
	}
}

// export makes a span within the settings of the environment and tells the log.
func export(t *testing.T) string {
	t.Helper()
	log := &bytes.Buffer{}
	tracing, err := NewTracing(t.Context(), TracingOptions{Node: 1, Logger: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	_, span := tracing.Tracer().Start(t.Context(), "x")
	span.End()
	if err := tracing.provider.ForceFlush(t.Context()); err != nil {
		t.Error(err)
	}
	if err := tracing.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	return log.String()
}

// The headers of the variables reach a collector that speaks HTTP; those for
// traces go before those for all.
func TestHeadersReachTheCollector(t *testing.T) {
	var mu sync.Mutex
	var got http.Header
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		got = r.Header.Clone()
	}))
	t.Cleanup(server.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	for _, c := range []struct{ all, traces, want string }{
		{"authorization=Bearer%20x,x-tenant=1", "", "Bearer x"},
		{"authorization=Bearer%20x,x-tenant=1", "authorization=Bearer%20y,x-tenant=1", "Bearer y"},
	} {
		t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", c.all)
		t.Setenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS", c.traces)
		if log := export(t); log != "" {
			t.Errorf("log: %s", log)
		}
		mu.Lock()
		if got.Get("Authorization") != c.want || got.Get("X-Tenant") != "1" {
			t.Errorf("headers %v, want %q", got, c.want)
		}
		mu.Unlock()
	}
}

// OTEL_EXPORTER_OTLP_TIMEOUT, in milliseconds, bounds an export to a collector
// that does not answer, by either protocol.
func TestExportTimeout(t *testing.T) {
	stop := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-stop:
		}
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(stop) })
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "50")
	for _, protocol := range []string{"http/protobuf", "grpc"} {
		t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
		began := time.Now()
		if log := export(t); !strings.Contains(log, "traces are not delivered") {
			t.Errorf("%s: log: %s", protocol, log)
		}
		if took := time.Since(began); took > 5*time.Second { // 10 s are the SDK's own
			t.Errorf("%s: took %v", protocol, took)
		}
	}
}
