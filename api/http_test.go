package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/chroniklog/chronik/server"
)

// talk sends raw bytes to a real server, half-closes if told so, and reads the
// answer.
func talk(t *testing.T, h http.Handler, text string, halfClose bool) (*http.Response, Problem) {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.Config.MaxHeaderBytes = 16 << 10
	srv.Start()
	t.Cleanup(srv.Close)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	if halfClose {
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var p Problem
	if resp.Header.Get("Content-Type") == "application/problem+json" {
		if err := json.Unmarshal(body, &p); err != nil {
			t.Fatalf("%v in %s", err, body)
		}
	}
	return resp, p
}

const postTopic = "POST /v1/topics HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"

// Requests that break off, dawdle or promise too much, over a real connection.
func TestRawRequests(t *testing.T) {
	limits := Limits{BodyTimeout: 50 * time.Millisecond}
	for _, tc := range []struct {
		name, text string
		halfClose  bool
		status     int
		code       string
		closed     bool
	}{
		{"cut body", postTopic + "Content-Length: 50\r\n\r\n{\"name\":", true, 400, CodeTruncatedBody, false},
		{"cut chunk", postTopic + "Transfer-Encoding: chunked\r\n\r\n20\r\n{\"name\":", true, 400, CodeTruncatedBody, false},
		{"slow body", postTopic + "Content-Length: 50\r\n\r\n{\"name\":", false, 408, CodeRequestTimeout, true},
		{"slow chunk", postTopic + "Transfer-Encoding: chunked\r\n\r\n5\r\n{", false, 408, CodeRequestTimeout, true},
		{"promises too much", postTopic + "Content-Length: 99999999999\r\n\r\n{", false, 413, CodeBodyTooLarge, true},
		{
			"expects too much", postTopic + "Expect: 100-continue\r\nContent-Length: 99999999999\r\n\r\n", false, 413,
			CodeBodyTooLarge, true,
		},
		{"chunks too much", postTopic + "Transfer-Encoding: chunked\r\n\r\n200000\r\n" + strings.Repeat(" ", 1<<21) +
			"\r\n0\r\n\r\n", false, 413, CodeBodyTooLarge, true},
		{"large headers", postTopic + "X: " + strings.Repeat("x", 40<<10) + "\r\n\r\n", false, 431, "", true},
		{"no host", "GET /v1/cluster HTTP/1.1\r\n\r\n", false, 400, "", true},
		{"evil host", "GET /v1/cluster HTTP/1.1\r\nHost: evil.example\r\n\r\n", false, 403, CodeHostNotAllowed, false},
		{
			"foreign page", postTopic + "Origin: http://evil.example\r\nContent-Length: 12\r\n\r\n{\"name\":\"t\"}", false, 403,
			CodeCrossOrigin, false,
		},
		{"strange method", "BREW /v1/topics HTTP/1.1\r\nHost: localhost\r\n\r\n", false, 405, CodeMethodNotAllowed, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := &fakeBroker{}
			d := testDeps(t, b)
			d.Limits = limits
			resp, p := talk(t, New(d), tc.text, tc.halfClose)
			if resp.StatusCode != tc.status || p.Code != tc.code {
				t.Errorf("%d %+v, want %d %s", resp.StatusCode, p, tc.status, tc.code)
			}
			if tc.closed && !resp.Close {
				t.Error("the connection is kept")
			}
			if len(b.topics) > 0 {
				t.Error("a topic was created")
			}
		})
	}
}

// A request makes one span, named by its route, that knows how it ended, and
// its id is in the answer.
func TestSpans(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	d := testDeps(t, &fakeBroker{err: server.ErrUnavailable})
	d.Tracer = provider.Tracer("test")
	h := New(d)
	w := exchange{method: "GET", path: "/v1/topics/secret", header: map[string]string{
		"Traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	}}.do(t, h)
	exchange{method: "GET", path: "/livez"}.do(t, h)
	got := spans.GetSpans()
	if len(got) != 1 {
		t.Fatalf("%d spans, want 1: health makes none", len(got))
	}
	span := got[0]
	attributes := make(map[string]string)
	for _, kv := range span.Attributes {
		attributes[string(kv.Key)] = kv.Value.String()
	}
	if span.Name != "GET /v1/topics/{topic}" || attributes["http.route"] != "/v1/topics/{topic}" ||
		attributes["http.response.status_code"] != "503" || span.Status.Code != codes.Error || len(span.Events) != 1 {
		t.Errorf("span %s %v %v %v", span.Name, attributes, span.Status, span.Events)
	}
	id := span.SpanContext.TraceID().String()
	want := fmt.Sprintf(`traceparent;desc="00-%s-%s-01"`, id, span.SpanContext.SpanID())
	if id != "0af7651916cd43dd8448eb211c80319c" || w.Header().Get("Server-Timing") != want ||
		!strings.Contains(w.Body.String(), `"trace_id":"`+id) {
		t.Errorf("trace %s, headers %v, body %s", id, w.Header(), w.Body)
	}
}

// Draining ends kept connections after their answer.
func TestDrainingOverHTTP(t *testing.T) {
	draining := make(chan struct{})
	srv := httptest.NewServer(New(testDeps(t, &fakeBroker{draining: draining})))
	defer srv.Close()
	for _, want := range []bool{false, true} {
		resp, err := srv.Client().Get(srv.URL + "/v1/cluster")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if resp.Close != want {
			t.Errorf("connection closed: %v, want %v", resp.Close, want)
		}
		if !want {
			close(draining)
		}
	}
}
