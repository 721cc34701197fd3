package middleware

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/chroniklog/chronik/server/telemetry"
)

// trace begins the request's span, or, while tracing is off, keeps the context
// that the client sent so that records and problems can carry it. A request
// without either costs one look into the header; one that is not sampled and
// brought no context costs the sampler's decision beside, and goes on as if
// tracing were off: nobody could look up its trace.
func (rt *Route) trace(resp *Response, r *http.Request) *http.Request {
	ctx := r.Context()
	parent := len(r.Header["Traceparent"]) == 1 // of several, none is to be believed
	if parent {
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(r.Header))
	}
	if tracer := rt.chain.cfg.Tracer; tracer != nil {
		traced, span := tracer.Start(ctx, rt.name, serverSpan...)
		if span.IsRecording() {
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

// describe gives a span what is known of its request, at once when it ends: the
// SDK makes room for attributes each time that some are added.
func describe(span trace.Span, rt *Route, r *http.Request, status int) {
	span.SetAttributes(
		telemetry.AttrStatus.Int(status),
		telemetry.AttrMethod.String(r.Method),
		telemetry.AttrRoute.String(rt.spec.Pattern),
		telemetry.AttrPath.String(r.URL.Path),
		telemetry.AttrScheme.String(scheme(r)),
		telemetry.AttrServerAddress.String(host(r.Host)),
		telemetry.AttrClientAddress.String(host(r.RemoteAddr)),
	)
	if group, ok := parameter(rt.spec.Pattern, r.URL, "{group}"); ok {
		span.SetAttributes(telemetry.AttrGroup.String(group))
	}
}

// parameter is the segment of a path that stands for a name of its pattern.
func parameter(pattern string, u *url.URL, name string) (value string, ok bool) {
	before, _, ok := strings.Cut(pattern, name)
	if !ok {
		return "", false
	}
	at := strings.Count(before, "/")
	segments := strings.SplitN(u.EscapedPath(), "/", at+2)
	if at >= len(segments) {
		return "", false
	}
	value, err := url.PathUnescape(segments[at])
	return value, err == nil
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
func endSpan(resp *Response, r *http.Request, status int) {
	if resp.span.IsRecording() {
		describe(resp.span, resp.route, r, status)
		switch {
		case resp.err == nil:
		case status == statusLeft:
			telemetry.Failed(resp.span, context.Canceled)
		default:
			resp.span.RecordError(resp.err)
		}
		if status >= http.StatusInternalServerError {
			resp.span.SetAttributes(telemetry.AttrErrorType.String(strconv.Itoa(status)))
			resp.span.SetStatus(codes.Error, "")
		}
	}
	resp.span.End()
}
