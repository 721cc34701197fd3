// Package otlptest is an OTLP/HTTP trace receiver for tests: a collector that
// keeps what it is sent, in memory, and can be asked for it.
package otlptest

import (
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// maxBody bounds one export request.
const maxBody = 16 << 20

// Span is one received span with the attributes of the resource it came from.
type Span struct {
	*tracepb.Span
	Resource map[string]string
}

// Attributes returns the span's attributes as text.
func (s Span) Attributes() map[string]string { return flatten(s.Span.GetAttributes()) }

// Receiver listens on loopback until the test ends.
type Receiver struct {
	server *httptest.Server

	mu      sync.Mutex
	spans   []Span
	changed chan struct{} // closed and replaced with each export
}

// Start begins to listen.
func Start(t testing.TB) *Receiver {
	r := &Receiver{changed: make(chan struct{})}
	r.server = httptest.NewServer(http.HandlerFunc(r.export))
	t.Cleanup(r.server.Close)
	return r
}

// Endpoint is the value for OTEL_EXPORTER_OTLP_ENDPOINT.
func (r *Receiver) Endpoint() string { return r.server.URL }

// Spans returns everything received so far.
func (r *Receiver) Spans() []Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.spans)
}

// Wait returns the spans once done accepts them; it fails the test when ctx
// ends before.
func (r *Receiver) Wait(ctx context.Context, t testing.TB, done func([]Span) bool) []Span {
	t.Helper()
	for {
		r.mu.Lock()
		spans, changed := slices.Clone(r.spans), r.changed
		r.mu.Unlock()
		if done(spans) {
			return spans
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("spans did not arrive: have %d: %v", len(spans), names(spans))
		}
	}
}

func (r *Receiver) export(w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodPost || req.URL.Path != "/v1/traces" {
		http.NotFound(w, req)
		return
	}
	spans, err := decode(req)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	r.spans = append(r.spans, spans...)
	close(r.changed)
	r.changed = make(chan struct{})
	r.mu.Unlock()
	w.Header().Set("Content-Type", "application/x-protobuf")
	w.WriteHeader(http.StatusOK) // an empty ExportTraceServiceResponse
}

func decode(req *http.Request) ([]Span, error) {
	body := io.Reader(io.LimitReader(req.Body, maxBody))
	if req.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(body)
		if err != nil {
			return nil, err
		}
		body = io.LimitReader(z, maxBody)
	}
	raw, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	var export collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(raw, &export); err != nil {
		return nil, err
	}
	var spans []Span
	for _, rs := range export.GetResourceSpans() {
		resource := flatten(rs.GetResource().GetAttributes())
		for _, scope := range rs.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				spans = append(spans, Span{Span: s, Resource: resource})
			}
		}
	}
	return spans, nil
}

func flatten(kvs []*common.KeyValue) map[string]string {
	m := make(map[string]string, len(kvs))
	for _, kv := range kvs {
		m[kv.GetKey()] = text(kv.GetValue())
	}
	return m
}

func text(v *common.AnyValue) string {
	switch x := v.GetValue().(type) {
	case *common.AnyValue_StringValue:
		return x.StringValue
	case *common.AnyValue_IntValue:
		return strconv.FormatInt(x.IntValue, 10)
	case *common.AnyValue_BoolValue:
		return strconv.FormatBool(x.BoolValue)
	}
	return v.String()
}

func names(spans []Span) []string {
	out := make([]string, len(spans))
	for i := range spans {
		out[i] = spans[i].GetName()
	}
	return out
}
