package telemetry

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	grpcmd "google.golang.org/grpc/metadata"
)

// A variable that means nothing is one warning that names it, and the node
// starts with the default.
func TestWrongSettings(t *testing.T) {
	for _, c := range []struct {
		name, value string
		sampler     string // OTEL_TRACES_SAMPLER beside it
		warned      bool
	}{
		{"OTEL_TRACES_SAMPLER", "bogus", "", true},
		{"OTEL_TRACES_SAMPLER", "jaeger_remote", "", true},
		{"OTEL_TRACES_SAMPLER", " Always_On ", "", false},
		{"OTEL_TRACES_SAMPLER", "parentbased_always_on", "", false},
		{"OTEL_TRACES_SAMPLER_ARG", "1%", "traceidratio", true},
		{"OTEL_TRACES_SAMPLER_ARG", "-0.1", "parentbased_traceidratio", true},
		{"OTEL_TRACES_SAMPLER_ARG", "1.1", "parentbased_traceidratio", true},
		{"OTEL_TRACES_SAMPLER_ARG", "NaN", "parentbased_traceidratio", true},
		{"OTEL_TRACES_SAMPLER_ARG", "1", "parentbased_traceidratio", false},
		{"OTEL_TRACES_SAMPLER_ARG", "whatever", "always_on", false}, // not looked at
		{"OTEL_EXPORTER_OTLP_PROTOCOL", "thrift", "", true},
		{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf", "", false},
		{"OTEL_RESOURCE_ATTRIBUTES", "deployment.environment,x=1", "", true},
		{"OTEL_BSP_MAX_QUEUE_SIZE", "-1", "", true}, // the SDK would panic
		{"OTEL_BSP_MAX_QUEUE_SIZE", "1", "", false},
		{"OTEL_BSP_MAX_QUEUE_SIZE", "99999999999", "", true},
		{"OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "many", "", true},
		{"OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1000000", "", false},
		{"OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "", true},
		{"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "0", "", true},
		{"OTEL_EXPORTER_OTLP_HEADERS", "authorization", "", true},
		{"OTEL_EXPORTER_OTLP_TRACES_HEADERS", "a=%zz", "", true},
		{"OTEL_EXPORTER_OTLP_HEADERS", "a=b, c=d%20e", "", false},
	} {
		t.Run(c.name+"="+c.value, func(t *testing.T) {
			receiver, log := startReceiver(t), &bytes.Buffer{}
			t.Setenv("OTEL_TRACES_SAMPLER", c.sampler)
			t.Setenv(c.name, c.value)
			tracing, err := NewTracing(t.Context(), TracingOptions{Node: 1, Logger: slog.New(slog.NewTextHandler(log, nil))})
			if err != nil {
				t.Fatal(err)
			}
			_, span := tracing.Tracer().Start(t.Context(), "x")
			span.End()
			if err := tracing.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			if n := len(receiver.Spans()); n != 1 {
				t.Errorf("%d spans arrived, want 1", n)
			}
			warnings := strings.Count(log.String(), "level=WARN")
			if c.warned != (warnings == 1) || c.warned != strings.Contains(log.String(), c.name) {
				t.Errorf("log: %s", log)
			}
		})
	}
}

// grpcCollector takes spans by gRPC.
type grpcCollector struct {
	collector.UnimplementedTraceServiceServer
	spans atomic.Int32
	auth  atomic.Value
}

func (g *grpcCollector) Export(ctx context.Context, r *collector.ExportTraceServiceRequest) (
	*collector.ExportTraceServiceResponse, error,
) {
	md, _ := grpcmd.FromIncomingContext(ctx)
	g.auth.Store(strings.Join(md.Get("authorization"), ","))
	for _, rs := range r.GetResourceSpans() {
		for _, ss := range rs.GetScopeSpans() {
			g.spans.Add(int32(len(ss.GetSpans())))
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

// OTEL_EXPORTER_OTLP_PROTOCOL=grpc speaks gRPC, with the headers that the
// variables give.
func TestExportByGRPC(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g, server := &grpcCollector{}, grpc.NewServer()
	collector.RegisterTraceServiceServer(server, g)
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+ln.Addr().String())
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20x")
	tracing, err := NewTracing(t.Context(), TracingOptions{Node: 1})
	if err != nil {
		t.Fatal(err)
	}
	_, span := tracing.Tracer().Start(t.Context(), "x")
	span.End()
	if err := tracing.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if g.spans.Load() != 1 || g.auth.Load() != "Bearer x" {
		t.Errorf("%d spans, authorization %q", g.spans.Load(), g.auth.Load())
	}
}

// A collector that refuses is one line however often it does, and one more
// when it takes spans again.
func TestCollectorDownIsSaidOnce(t *testing.T) {
	var down atomic.Bool
	down.Store(true)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if down.Load() {
			http.Error(w, "no", http.StatusBadRequest)
		}
	}))
	t.Cleanup(server.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	log := &bytes.Buffer{}
	tracing, err := NewTracing(t.Context(), TracingOptions{Node: 1, Logger: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	export := func() {
		_, span := tracing.Tracer().Start(t.Context(), "x")
		span.End()
		if err := tracing.provider.ForceFlush(t.Context()); err != nil {
			t.Error(err)
		}
	}
	for range 5 {
		export()
	}
	down.Store(false)
	export()
	if err := tracing.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	got := log.String()
	if strings.Count(got, "\n") != 2 || !strings.Contains(got, "traces are not delivered") ||
		!strings.Contains(got, "lost_spans=5") {
		t.Errorf("log:\n%s", got)
	}
}

// stuck is an exporter whose collector never answers.
type stuck struct{ *tracetest.NoopExporter }

func (stuck) ExportSpans(ctx context.Context, _ []sdktrace.ReadOnlySpan) error {
	<-ctx.Done()
	return ctx.Err()
}

// A node does not wait for its collector when it ends, and ends well.
func TestShutdownDoesNotWaitForTheCollector(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &bytes.Buffer{}
		tracing := &Tracing{provider: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(newDelivery(
			stuck{tracetest.NewNoopExporter()}, &TracingOptions{Logger: slog.New(slog.NewTextHandler(log, nil))})))}
		_, span := tracing.Tracer().Start(t.Context(), "x")
		span.End()
		began := time.Now()
		if err := tracing.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("took %v", took)
		}
		time.Sleep(time.Minute) // in the bubble: until the SDK's own goroutine has given up
		synctest.Wait()
	})
}
