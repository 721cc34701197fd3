package loadgen

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func post(dst []byte, i int64) []byte {
	body := fmt.Sprintf("record %d", i)
	return fmt.Appendf(dst, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func TestClosedLoopCountsWhatTheServerSaw(t *testing.T) {
	var seen atomic.Int64
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if body, _ := io.ReadAll(r.Body); strings.HasPrefix(string(body), "record ") {
			seen.Add(1)
		}
		io.WriteString(w, "ok")
	})
	plan := Plan{Address: address, Connections: 4, Duration: 200 * time.Millisecond, Request: post}
	report, err := Run(t.Context(), plan)
	if err != nil {
		t.Fatal(err)
	}
	// Each connection may have one request cut off by the end.
	if report.Errors != 0 || report.Requests == 0 || report.Requests > seen.Load() || seen.Load()-report.Requests > 4 {
		t.Errorf("counted %d (%d errors: %v), the server saw %d", report.Requests, report.Errors, report.First, seen.Load())
	}
	if report.Bytes != 2*report.Requests || report.Latency.TotalCount() != report.Requests {
		t.Errorf("%d bytes and %d latencies of %d answers", report.Bytes, report.Latency.TotalCount(), report.Requests)
	}
}

// A stall must show in every request that came due during it.
func TestOpenLoopDoesNotOmitLateRequests(t *testing.T) {
	const stall = 300 * time.Millisecond
	var first atomic.Bool
	address := serve(t, func(http.ResponseWriter, *http.Request) {
		if first.CompareAndSwap(false, true) {
			time.Sleep(stall)
		}
	})
	report, err := Run(t.Context(), Plan{
		Address: address, Connections: 1, Rate: 200, Duration: 600 * time.Millisecond, Request: post,
	})
	if err != nil {
		t.Fatal(err)
	}
	// 60 of the 120 requests come due while the only connection is stalled.
	if late := report.Percentile(60); late < stall/20 {
		t.Errorf("p60 is %v: the stall of %v was hidden (%v)", late, stall, report)
	}
}

func TestErrorsAreCountedAndSurvived(t *testing.T) {
	var n atomic.Int64
	address := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1)%2 == 0 {
			w.Header().Set("Connection", "close")
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	plan := Plan{Address: address, Connections: 1, Duration: 100 * time.Millisecond, Request: post}
	report, err := Run(t.Context(), plan)
	if err != nil || report.Requests == 0 || report.Errors == 0 || report.First.Error() != "status 503" {
		t.Errorf("%v, %v, first %v", err, report, report.First)
	}
}

func TestNobodyListens(t *testing.T) {
	address := serve(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, Plan{Address: address, Connections: 2, Duration: time.Second, Request: post}); err == nil {
		t.Error("a cancelled load succeeded")
	}
	if _, err := Run(t.Context(), Plan{Address: address}); err == nil {
		t.Error("a load without connections succeeded")
	}
}

func TestReadAnswer(t *testing.T) {
	for text, want := range map[string]answer{
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc":                                    {200, 3, false},
		"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n":    {201, 3, false},
		"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n":                               {204, 0, true},
		"HTTP/1.1 503 Service Unavailable\r\nCONTENT-LENGTH: 0\r\nConnection: close\r\n\r\n": {503, 0, true},
	} {
		in := bufio.NewReader(strings.NewReader(text))
		if got, err := readAnswer(in); err != nil || got != want || in.Buffered() != 0 {
			t.Errorf("%q: %+v, %v, %d bytes left", text, got, err, in.Buffered())
		}
	}
	for _, text := range []string{"", "HTTP/1.0 200 OK\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"} {
		if got, err := readAnswer(bufio.NewReader(strings.NewReader(text))); err == nil {
			t.Errorf("%q was taken for %+v", text, got)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := readAnswer(bufio.NewReader(strings.NewReader(string(data))))
		if err == nil && (a.status < 0 || a.bytes < 0 || a.bytes > int64(len(data))) {
			t.Errorf("%+v from %d bytes", a, len(data))
		}
		if err != nil && errors.Is(err, bufio.ErrBufferFull) && len(data) < 4096 {
			t.Errorf("buffer full after %d bytes", len(data))
		}
	})
}
