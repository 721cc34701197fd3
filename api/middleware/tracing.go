package middleware

import (
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// trace begins the request's span, or, while tracing is off, keeps the context
// that the client sent so that records and problems can carry it. A request
// without either costs one look into the header.
func (rt *Route) trace(resp *Response, r *http.Request) *http.Request {
	ctx := r.Context()
	parent := len(r.Header["Traceparent"]) > 0
	if parent {
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(r.Header))
	}
	if rt.chain.cfg.Tracer != nil {
		ctx, resp.span = rt.chain.cfg.Tracer.Start(ctx, rt.name,
			trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(resp.started),
			trace.WithAttributes(
				attribute.String("http.request.method", r.Method),
				attribute.String("http.route", rt.spec.Pattern),
				attribute.String("url.path", r.URL.Path),
				attribute.String("url.scheme", scheme(r)),
				attribute.String("server.address", r.Host),
				attribute.String("client.address", r.RemoteAddr),
			))
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
			resp.span.SetAttributes(attribute.String("error.type", http.StatusText(status)))
			resp.span.SetStatus(codes.Error, "")
		}
	}
	resp.span.End()
}
