package middleware

import (
	"net"
	"net/http"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// trace begins the request's span, or, while tracing is off, keeps the context
// that the client sent so that records and problems can carry it. A request
// without either costs one look into the header; one that is not sampled and
// brought no context costs the sampler's decision beside, and goes on as if
// tracing were off: nobody could look up its trace.
func (rt *Route) trace(resp *Response, r *http.Request) *http.Request {
	ctx := r.Context()
	parent := len(r.Header["Traceparent"]) > 0
	if parent {
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(r.Header))
	}
	if tracer := rt.chain.cfg.Tracer; tracer != nil {
		traced, span := tracer.Start(ctx, rt.name, serverSpan...)
		if span.IsRecording() {
			describe(span, rt, r)
			ctx, resp.span = traced, span
		} else if !parent {
			return r
		} // else the record and the leader get the context as the client sent it
	} else if !parent {
		return r
	}
	sc := trace.SpanContextFromContext(ctx)
	if !sc.IsValid() {
		return r
	}
	resp.traceID = sc.TraceID().String()
	resp.Header().Set("Server-Timing", `traceparent;desc="00-`+resp.traceID+"-"+
		sc.SpanID().String()+"-"+sc.TraceFlags().String()+`"`)
	return r.WithContext(ctx)
}

// serverSpan is made once; it is never written.
//
//nolint:gochecknoglobals // a constant
var serverSpan = []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindServer)}

// describe gives a span what is known of its request: after the sampler, so
// that a request that is not sampled does not pay for it.
func describe(span trace.Span, rt *Route, r *http.Request) {
	span.SetAttributes(
		attribute.String("http.request.method", r.Method),
		attribute.String("http.route", rt.spec.Pattern),
		attribute.String("url.path", r.URL.Path),
		attribute.String("url.scheme", scheme(r)),
		attribute.String("server.address", host(r.Host)),
		attribute.String("client.address", host(r.RemoteAddr)),
	)
}

// host is an address without its port, as the conventions want both addresses.
func host(address string) string {
	if h, _, err := net.SplitHostPort(address); err == nil {
		return h
	}
	return address
}

func scheme(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	return "http"
}

// endSpan tells the span how the request went.
func endSpan(resp *Response, status int) {
	if resp.span.IsRecording() {
		resp.span.SetAttributes(attribute.Int("http.response.status_code", status))
		if resp.err != nil {
			resp.span.RecordError(resp.err)
		}
		if status >= http.StatusInternalServerError {
			resp.span.SetAttributes(attribute.String("error.type", strconv.Itoa(status)))
			resp.span.SetStatus(codes.Error, "")
		}
	}
	resp.span.End()
}
