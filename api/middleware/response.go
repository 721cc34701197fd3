package middleware

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"

	"go.opentelemetry.io/otel/trace"
)

// Response wraps the server's ResponseWriter, once per request and from a
// pool. It counts, remembers why a request failed, and holds the encoder of a
// compressed answer. http.ResponseController reaches the server's writer
// through Unwrap. It is invalid once the handler has returned.
type Response struct {
	http.ResponseWriter
	status  int   // 0: nothing written yet
	written int64 // body bytes before compression
	err     error
	traceID string // made on first demand
	route   *Route // nil: no route matched
	enc     encoder
	plain   bool // StopEncoding was called
}

// Unwrap is for http.ResponseController.
func (w *Response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Status is the status that was sent; 0 before anything was.
func (w *Response) Status() int { return w.status }

// of finds the Response below any further wrappers; nil if there is none.
func of(w http.ResponseWriter) *Response {
	for {
		switch v := w.(type) {
		case *Response:
			return v
		case interface{ Unwrap() http.ResponseWriter }:
			w = v.Unwrap()
		default:
			return nil
		}
	}
}

// NoteError keeps why the request failed for the access log and the span.
func NoteError(w http.ResponseWriter, err error) {
	if resp := of(w); resp != nil {
		resp.err = err
	}
}

// StopEncoding makes the answer plain: its body is written as it is. It must
// be called before the first write.
func StopEncoding(w http.ResponseWriter) {
	if resp := of(w); resp != nil {
		resp.plain = true
	}
}

// TraceID names the request in problems and in the log: the id of its span, or
// of the traceparent that it brought, or a fresh one. It is the same for the
// whole of a request.
func TraceID(w http.ResponseWriter, r *http.Request) string {
	resp := of(w)
	if resp != nil && resp.traceID != "" {
		return resp.traceID
	}
	id := ""
	if sc := trace.SpanContextFromContext(r.Context()); sc.HasTraceID() {
		id = sc.TraceID().String()
	} else {
		var b [16]byte
		_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the process instead
		id = hex.EncodeToString(b[:])
	}
	if resp != nil {
		resp.traceID = id
	}
	return id
}
