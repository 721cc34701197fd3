package middleware

import (
	"net/http"
	"net/http/httptest"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// BenchmarkTrace is what tracing adds to a request that is not sampled.
func BenchmarkTrace(b *testing.B) {
	for _, c := range []struct {
		name    string
		sampler sdktrace.Sampler
	}{{"off", nil}, {"unsampled", sdktrace.ParentBased(sdktrace.TraceIDRatioBased(0))}} {
		b.Run(c.name, func(b *testing.B) {
			var tracer trace.Tracer
			if c.sampler != nil {
				tracer = sdktrace.NewTracerProvider(sdktrace.WithSampler(c.sampler)).Tracer("")
			}
			rt := &Route{chain: &Chain{cfg: Config{Tracer: tracer}}, name: "GET /"}
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			resp := &Response{ResponseWriter: httptest.NewRecorder()}
			b.ReportAllocs()
			for b.Loop() {
				if rt.trace(resp, r) != r || resp.span != nil {
					b.Fatal("a span")
				}
			}
		})
	}
}
