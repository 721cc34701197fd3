package middleware

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// Response wraps the server's ResponseWriter, once per request and from a
// pool. It counts, remembers why a request failed, and holds the encoder of a
// compressed answer. http.ResponseController reaches the server's writer
// through Unwrap. It is invalid once the handler has returned.
type Response struct {
	http.ResponseWriter
	chain   *Chain
	started time.Time
	status  int   // 0: nothing written yet
	written int64 // body bytes before compression
	err     error
	traceID string // made on first demand
	route   *Route // nil: no route matched
	span    trace.Span
	held    int64 // bytes of admission, given back at the end
	accept  coding
	enc     encoder
	body    body
	duplex  bool // the handler answers while the body still comes
}

// Unwrap is for http.ResponseController.
func (w *Response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader sends the status, and begins a compressed answer if the headers
// ask for one.
func (w *Response) WriteHeader(status int) {
	if status >= 100 && status < 200 {
		w.ResponseWriter.WriteHeader(status)
		return
	}
	if w.status == 0 {
		w.status = status
		w.beginEncoding(status)
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write sends a part of the body.
func (w *Response) Write(p []byte) (int, error) {
	if w.status == 0 {
		if w.accept != identity && len(p) < leastEncoded && w.Header()["Content-Length"] == nil {
			w.accept = identity // a short answer, or a live stream
		}
		w.WriteHeader(http.StatusOK)
	}
	w.written += int64(len(p))
	if w.enc != nil {
		return w.enc.Write(p)
	}
	return w.ResponseWriter.Write(p)
}

// FlushError sends what is buffered, through the encoder too.
func (w *Response) FlushError() error {
	if w.status == 0 {
		w.accept = identity
		w.WriteHeader(http.StatusOK)
	}
	if w.enc != nil {
		if err := w.enc.Flush(); err != nil {
			return err
		}
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Flush is FlushError for users of http.Flusher.
func (w *Response) Flush() { _ = w.FlushError() }

// EnableFullDuplex is for http.ResponseController.
func (w *Response) EnableFullDuplex() error {
	w.duplex = true
	return http.NewResponseController(w.ResponseWriter).EnableFullDuplex()
}

// settle reads the rest of a body that a full-duplex handler has left. The
// server itself would do so after it has stopped watching the connection, and
// panic when that ends the body. What does not end soon is cut.
func (w *Response) settle(r *http.Request) {
	const rest = 256 << 10 // as much as the server would read
	rc := http.NewResponseController(w.ResponseWriter)
	_ = rc.SetReadDeadline(time.Now().Add(time.Second)) // fails where there is no connection to settle
	if _, err := io.CopyN(io.Discard, r.Body, rest); !errors.Is(err, io.EOF) {
		_ = rc.SetReadDeadline(time.Unix(1, 0))
	}
}

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
	if resp := of(w); resp != nil && resp.status == 0 {
		resp.accept = identity
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

// beginEncoding compresses the answer when the client accepts it and its
// headers don't speak against it.
func (w *Response) beginEncoding(status int) {
	if w.accept == identity {
		return
	}
	h := w.Header()
	if h["Vary"] == nil { // a handler that sets it knows of the coding
		h.Set("Vary", "Accept-Encoding")
	}
	if status < 200 || status == http.StatusNoContent || status == http.StatusNotModified ||
		h["Content-Encoding"] != nil || !compressible(h.Get("Content-Type")) || short(h.Get("Content-Length")) {
		return
	}
	h.Del("Content-Length")
	h.Set("Content-Encoding", w.accept.String())
	if tag := h.Get("ETag"); tag != "" {
		// Another representation, so another strong validator (RFC 9110, 8.8.3).
		h.Set("ETag", encodedTag(tag, w.accept))
	}
	w.enc = w.chain.codecs.encoder(w.accept, w.ResponseWriter)
}

// short tells whether a declared length is not worth compressing.
func short(length string) bool {
	n, err := strconv.ParseInt(length, 10, 64)
	return err == nil && n < leastEncoded
}

// endEncoding writes the encoder's trailer and gives it back to its pool.
func (w *Response) endEncoding() error {
	if w.enc == nil {
		return nil
	}
	err := w.enc.Close()
	w.chain.codecs.recycle(w.accept, w.enc)
	w.enc = nil
	return err
}
