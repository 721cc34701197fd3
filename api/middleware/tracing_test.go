package middleware

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/chroniklog/chronik/server/telemetry"
)

// BenchmarkTrace is what tracing adds to a request, by how much is sampled.
func BenchmarkTrace(b *testing.B) {
	for _, c := range []struct{ name, ratio string }{{"off", ""}, {"none", "0"}, {"one in 100", "0.01"}, {"all", "1"}} {
		b.Run(c.name, func(b *testing.B) {
			var tracer trace.Tracer
			if c.ratio != "" {
				b.Setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
				b.Setenv("OTEL_TRACES_SAMPLER_ARG", c.ratio)
				tracing, err := telemetry.NewTracing(b.Context(), telemetry.TracingOptions{
					Node: 1, Exporter: tracetest.NewNoopExporter(),
				})
				if err != nil {
					b.Fatal(err)
				}
				tracer = tracing.Tracer()
			}
			rt := &Route{chain: &Chain{cfg: Config{Tracer: tracer}}, name: "GET /"}
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			w := httptest.NewRecorder()
			b.ReportAllocs()
			for b.Loop() {
				resp := Response{ResponseWriter: w}
				rt.trace(&resp, r)
				if resp.span != nil {
					endSpan(&resp, http.StatusOK)
				}
			}
		})
	}
}
