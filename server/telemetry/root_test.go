package telemetry

import (
	"context"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

// The shortcut samples what the SDK's own sampler does, no more and no less.
func TestRootSampling(t *testing.T) {
	const n = 20_000
	for _, c := range []struct {
		sampler, arg string
		least, most  int
	}{
		{"always_on", "", n, n},
		{"", "", n, n},
		{"parentbased_always_off", "", 0, 0},
		{"parentbased_traceidratio", "0.25", n * 23 / 100, n * 27 / 100},
		{"traceidratio", "0.01", n / 200, n / 50},
		{"parentbased_traceidratio", "", n, n}, // the SDK's meaning of no ratio
		{"parentbased_traceidratio", "1", n, n},
	} {
		t.Run(c.sampler+" "+c.arg, func(t *testing.T) {
			t.Setenv("OTEL_TRACES_SAMPLER", c.sampler)
			t.Setenv("OTEL_TRACES_SAMPLER_ARG", c.arg)
			tracing, err := NewTracing(t.Context(), TracingOptions{Node: 1, Exporter: tracetest.NewNoopExporter()})
			if err != nil {
				t.Fatal(err)
			}
			tracer, got := tracing.Tracer(), 0
			ids := map[trace.TraceID]bool{}
			for range n {
				if _, span := tracer.Start(context.Background(), "x"); span.IsRecording() {
					got++
					ids[span.SpanContext().TraceID()] = true
					span.End()
				}
			}
			if got < c.least || got > c.most || len(ids) != got {
				t.Errorf("%d of %d sampled under %d ids, want %d to %d", got, n, len(ids), c.least, c.most)
			}
			// What a client decided holds, where the sampler asks its parent.
			if c.sampler == "parentbased_traceidratio" || c.sampler == "parentbased_always_off" {
				parent := trace.NewSpanContext(trace.SpanContextConfig{
					TraceID: trace.TraceID{15: 1, 8: 255}, SpanID: trace.SpanID{1}, TraceFlags: trace.FlagsSampled, Remote: true,
				})
				_, span := tracer.Start(trace.ContextWithSpanContext(context.Background(), parent), "x")
				if !span.IsRecording() || span.SpanContext().TraceID() != parent.TraceID() {
					t.Error("the parent's decision does not hold")
				}
			}
		})
	}
}

// rootTracer lets pass exactly the ids that the SDK's sampler keeps.
func TestRootBoundIsTheSDKs(t *testing.T) {
	t.Setenv("OTEL_TRACES_SAMPLER", "traceidratio")
	t.Setenv("OTEL_TRACES_SAMPLER_ARG", "0.3")
	bound, ok := rootBound()
	if !ok {
		t.Fatal("no bound")
	}
	sampler := sdktrace.TraceIDRatioBased(0.3)
	for _, low := range []uint64{0, 1, bound, bound<<1 - 2, bound<<1 - 1, bound << 1, bound<<1 + 1, 1 << 63, 1<<64 - 1} {
		id, _ := rootIDs{}.NewIDs(context.WithValue(context.Background(), lowKey{}, low))
		keeps := sampler.ShouldSample(sdktrace.SamplingParameters{TraceID: id}).Decision == sdktrace.RecordAndSample
		if mine := low>>1 < bound; mine != keeps {
			t.Errorf("%x: the SDK says %v", low, keeps)
		}
	}
}
