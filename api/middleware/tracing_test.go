package middleware

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/chroniklog/chronik/server/telemetry"
)

// A span says what the HTTP conventions want of it: addresses without ports, an
// error only where this side failed, and which.
func TestSpanAttributes(t *testing.T) {
	for status, want := range map[int]struct {
		code      codes.Code
		errorType string
	}{200: {}, 404: {}, 409: {}, 500: {codes.Error, "500"}, 503: {codes.Error, "503"}} {
		spans := tracetest.NewInMemoryExporter()
		tracing, err := telemetry.NewTracing(t.Context(), telemetry.TracingOptions{Node: 1, Exporter: spans})
		if err != nil {
			t.Fatal(err)
		}
		rt := &Route{chain: &Chain{cfg: Config{Tracer: tracing.Tracer()}}, name: "GET /v1/topics/{topic}"}
		rt.spec.Pattern = "/v1/topics/{topic}"
		r := httptest.NewRequest(http.MethodGet, "http://[::1]:8080/v1/topics/t", nil)
		r.RemoteAddr = "192.0.2.1:1234"
		resp := Response{ResponseWriter: httptest.NewRecorder()}
		rt.trace(&resp, r)
		resp.route = rt
		endSpan(&resp, r, status)
		span := spans.GetSpans()[0]
		got := map[string]string{}
		for _, a := range span.Attributes {
			got[string(a.Key)] = a.Value.String()
		}
		attributes := map[string]string{
			"http.request.method": "GET", "http.route": "/v1/topics/{topic}", "url.path": "/v1/topics/t", "url.scheme": "http",
			"server.address": "::1", "client.address": "192.0.2.1", "http.response.status_code": strconv.Itoa(status),
		}
		if want.errorType != "" {
			attributes["error.type"] = want.errorType
		}
		if d := cmp.Diff(attributes, got); d != "" {
			t.Errorf("%d: %s", status, d)
		}
		if span.Name != "GET /v1/topics/{topic}" || span.SpanKind != trace.SpanKindServer || span.Status.Code != want.code {
			t.Errorf("%d: %s, %v, %v", status, span.Name, span.SpanKind, span.Status)
		}
	}
}

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
					resp.route = rt
					endSpan(&resp, r, http.StatusOK)
				}
			}
		})
	}
}

// A name in a path is told as the client means it, whatever it is made of.
func TestParameter(t *testing.T) {
	for _, c := range []struct{ pattern, path, want string }{
		{"/v1/groups/{group}", "/v1/groups/g", "g"},
		{"/v1/groups/{group}/poll", "/v1/groups/a%2Fb/poll", "a/b"},
		{"/v1/groups/{group}/members/{member}", "/v1/groups/{group}/members/m", "{group}"},
		{"/v1/groups/{group}", "/v1/groups/", ""},
		{"/v1/groups/{group}", "/v1", "-"},
		{"/v1/topics/{topic}", "/v1/topics/t", "-"},
	} {
		u, err := url.Parse(c.path)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := parameter(c.pattern, u, "{group}"); ok == (c.want == "-") || ok && got != c.want {
			t.Errorf("%s as %s: %q, %v", c.path, c.pattern, got, ok)
		}
	}
}
