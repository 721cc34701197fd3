package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chroniklog/chronik/server"
)

// clock is one that the test moves.
type clock struct{ ns atomic.Int64 }

func newClock() *clock {
	c := new(clock)
	c.ns.Store(time.UnixMilli(1767225600000).UnixNano())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.ns.Load()) }
func (c *clock) advance(d time.Duration) { c.ns.Add(int64(d)) }

func get(path string, headers ...string) *http.Request {
	r := getRequest(path)
	r.Host = "localhost"
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

const recordsPath = "/v1/topics/t/partitions/0/records"

// A stream that fails at its start: what a retry can heal is an event, since
// EventSource gives up on a status; the rest is a status.
func TestStreamFailsAtStart(t *testing.T) {
	broker := newLogBroker(t)
	broker.add("t", 1)
	h := testHandler(t, broker, nil)
	for _, tt := range []struct {
		err    error
		accept string
		status int
		body   string
	}{
		{server.ErrNoLeader, typeSSE, 200, "event: error\ndata: {\"type\""},
		{&server.OffsetTrimmedError{LogStart: 5}, typeSSE, 410, CodeOffsetTrimmed},
		{server.ErrNoLeader, typeNDJSON, 503, CodeNoLeader},
		{server.ErrNoLeader, typeBatch, 503, CodeNoLeader},
		{server.ErrNoLeader, octetStream, 503, CodeNoLeader},
		{server.ErrNoLeader, typeJSON, 503, CodeNoLeader},
		{errors.New("a secret"), typeJSON, 500, CodeInternal},
	} {
		broker.failReads(0, tt.err)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, get(recordsPath+"?offset=0", "Accept", tt.accept))
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.body) || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%v as %s: %d %s", tt.err, tt.accept, w.Code, w.Body)
		}
		if tt.status == 200 && !strings.HasPrefix(w.Body.String(), "retry: ") {
			t.Errorf("%s", w.Body)
		}
		if w.Header().Get("Trailer") != "" {
			t.Errorf("%v", w.Header())
		}
	}
}

// A stream that fails later tells so in its form, or is cut.
func TestStreamFailsLater(t *testing.T) {
	broker := newLogBroker(t)
	broker.add("t", 1)
	broker.fill("t", 20_000, 200, 16<<10) // some chunks of each form
	srv := httptest.NewServer(testHandler(t, broker, nil))
	defer srv.Close()
	for accept, last := range map[string]string{
		typeNDJSON: `{"error":{"type":`, typeSSE: "event: error\ndata: {", octetStream: "", typeBatch: "",
	} {
		broker.failReads(2, server.ErrNoLeader)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+recordsPath, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept", accept)
		resp, err := srv.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK || len(body) == 0 {
			t.Errorf("%s: %s, %d bytes", accept, resp.Status, len(body))
		}
		if last == "" {
			if err == nil {
				t.Errorf("%s: a part was passed off for the whole", accept)
			}
			continue
		}
		if i := bytes.LastIndex(body, []byte(last)); err != nil || i < 0 || !bytes.Contains(body[i:], []byte(CodeNoLeader)) {
			t.Errorf("%s: %v, ends with %.100q", accept, err, body[max(0, len(body)-500):])
		}
	}
	// A page ends before the error; its next offset leads to it.
	broker.failReads(2, server.ErrNoLeader)
	w := httptest.NewRecorder()
	testHandler(t, broker, func(d *Deps) { d.Limits.MaxReadRecords = 100_000 }).
		ServeHTTP(w, get(recordsPath+"?limit=100000"))
	var pg struct {
		Records    []json.RawMessage
		NextOffset int `json:"next_offset"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &pg); err != nil {
		t.Fatal(err)
	}
	if len(pg.Records) == 0 || len(pg.Records) == 20_000 || pg.NextOffset != len(pg.Records) {
		t.Errorf("%d records, next offset %d", len(pg.Records), pg.NextOffset)
	}
}

// slowWriter is a client that takes its time for each write.
type slowWriter struct {
	httptest.ResponseRecorder
	clock *clock
	takes time.Duration
}

func (w *slowWriter) Write(p []byte) (int, error) {
	w.clock.advance(w.takes)
	return w.ResponseRecorder.Write(p)
}

func TestSlowReader(t *testing.T) {
	broker := newLogBroker(t)
	broker.add("t", 1)
	broker.fill("t", 10_000, 200, 16<<10)
	c := newClock()
	h := testHandler(t, broker, func(d *Deps) { d.Now = c.now })
	w := &slowWriter{ResponseRecorder: *httptest.NewRecorder(), clock: c, takes: 16 * time.Second}
	h.ServeHTTP(w, get(recordsPath, "Accept", typeSSE))
	body := w.Body.String()
	i := strings.LastIndex(body, "event: ")
	if !strings.HasPrefix(body[i:], "event: end\ndata: {\"reason\":\"slow_reader\"") || !strings.Contains(body[i:], "\nid: ") {
		t.Errorf("ends with %q", body[i:])
	}
	if got := strings.Count(body, `"offset":`); got == 0 || got == 10_000 {
		t.Errorf("%d records", got)
	}
	// One that is slow, but not that slow, gets all.
	w = &slowWriter{ResponseRecorder: *httptest.NewRecorder(), clock: c, takes: 14 * time.Second}
	h.ServeHTTP(w, get(recordsPath+"?end=10000", "Accept", typeSSE))
	if got := strings.Count(w.Body.String(), `"offset":`); got != 10_000 || !strings.Contains(w.Body.String(), `"reason":"end"`) {
		t.Errorf("%d records", got)
	}
}

// lockedRecorder can be looked at while the handler writes.
type lockedRecorder struct {
	mu   sync.Mutex
	rec  *httptest.ResponseRecorder
	sign chan struct{} // a write has come
}

func newLockedRecorder() *lockedRecorder {
	return &lockedRecorder{rec: httptest.NewRecorder(), sign: make(chan struct{}, 1)}
}

func (w *lockedRecorder) Header() http.Header { return w.rec.Header() }
func (w *lockedRecorder) WriteHeader(int)     {}
func (w *lockedRecorder) Flush()              {}

func (w *lockedRecorder) Write(p []byte) (int, error) {
	w.mu.Lock()
	n, err := w.rec.Body.Write(p)
	w.mu.Unlock()
	select {
	case w.sign <- struct{}{}:
	default:
	}
	return n, err
}

func (w *lockedRecorder) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rec.Body.String()
}

func TestHeartbeats(t *testing.T) {
	broker := newLogBroker(t)
	broker.add("t", 3)
	h := testHandler(t, broker, func(d *Deps) { d.Limits.Heartbeat = 40 * time.Millisecond })
	for path, accept := range map[string]string{
		recordsPath: typeSSE, recordsPath + "?follow": typeNDJSON, "/v1/topics/t/records?from=latest": typeSSE,
	} {
		ctx, cancel := context.WithCancel(t.Context())
		w, done := newLockedRecorder(), make(chan struct{})
		go func() {
			defer close(done)
			h.ServeHTTP(w, get(path, "Accept", accept).WithContext(ctx))
		}()
		for strings.Count(w.text(), "heartbeat") < 4 {
			<-w.sign
		}
		cancel()
		<-done
		if strings.Contains(w.text(), `"error"`) || strings.Contains(w.text(), "event: end") {
			t.Errorf("%s: %s", path, w.text())
		}
	}
}

func post(path, mediaType string, body []byte, headers ...string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body))
	r.Host = "localhost"
	r.Header.Set("Content-Type", mediaType)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

// An append that is not answered in time is 504, outcome unknown.
func TestAppendTimeout(t *testing.T) {
	broker := newLogBroker(t)
	broker.add("t", 1)
	h := testHandler(t, broker, func(d *Deps) { d.Limits.AppendTimeout = 20 * time.Millisecond })
	resume := broker.stall("t")
	defer resume()
	for _, r := range []*http.Request{
		post("/v1/topics/t/records", "text/plain", []byte("a")),
		post("/v1/topics/t/batches", typeJSON, []byte(`{"records":[{"value":"a"},{"value":"b"}]}`)),
		post("/v1/topics/t/batches", typeNDJSON, []byte(`{"value":"a"}`)),
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		body := w.Body.String()
		if !strings.Contains(body, `"code":"outcome_unknown"`) || !strings.Contains(body, `"outcome":"unknown"`) {
			t.Errorf("%s: %d %s", r.Header.Get("Content-Type"), w.Code, body)
		}
		if r.Header.Get("Content-Type") != typeNDJSON && w.Code != http.StatusGatewayTimeout {
			t.Errorf("%s: %d", r.Header.Get("Content-Type"), w.Code)
		}
	}
}

// A stream of lines waits while the partition has no room; a batch is told.
func TestThrottledLines(t *testing.T) {
	broker := newLogBroker(t)
	broker.staged = 64 << 10
	broker.add("t", 1)
	h := testHandler(t, broker, nil)
	line := `{"value":"` + strings.Repeat("x", 1000) + "\"}\n"
	resume := broker.stall("t")
	answered := make(chan *httptest.ResponseRecorder)
	go func() {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, post("/v1/topics/t/batches", typeNDJSON, []byte(strings.Repeat(line, 300))))
		answered <- w
	}()
	for { // until there is no room
		w := httptest.NewRecorder()
		h.ServeHTTP(w, post("/v1/topics/t/records?acks=none", "text/plain", bytes.Repeat([]byte("y"), 1000)))
		if w.Code == http.StatusTooManyRequests {
			break
		}
	}
	resume()
	w := <-answered
	if got := strings.Count(w.Body.String(), `"duplicate":false`); got != 300 {
		t.Errorf("%d of 300 lines were written: %.300s", got, w.Body)
	}
}

// A JSON batch that is larger than max.message.bytes becomes several record
// batches; conditions and sequence numbers go on from one to the next.
func TestBatchSplits(t *testing.T) {
	broker := newLogBroker(t)
	broker.add("t", 1)
	h := testHandler(t, broker, nil)
	rec := `{"value":"` + strings.Repeat("x", 100<<10) + `"}`
	body := []byte(`{"records":[` + strings.TrimSuffix(strings.Repeat(rec+",", 40), ",") + "]}")
	var answer struct {
		Results []struct {
			Offset    int64
			Duplicate bool
		}
	}
	for i, duplicate := range []bool{false, true} {
		w := httptest.NewRecorder()
		path := "/v1/topics/t/batches?partition=0"
		if i == 0 {
			path += "&expect_offset=0"
		}
		h.ServeHTTP(w, post(path, typeJSON, body, "Producer-Id", "p", "Producer-Epoch", "0", "Producer-Seq", "0"))
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != http.StatusOK {
			t.Fatalf("%d %.300s", w.Code, w.Body)
		}
		for i, r := range answer.Results {
			if r.Offset != int64(i) || r.Duplicate != duplicate {
				t.Fatalf("result %d: %+v", i, r)
			}
		}
	}
}

// A client that leaves ends its streams and its long polls.
func TestClientLeaves(t *testing.T) {
	broker := newLogBroker(t)
	broker.add("t", 2)
	h := testHandler(t, broker, nil)
	for _, path := range []string{
		recordsPath + "?wait=60", "/v1/topics/t/records?wait=60", recordsPath + "?format=sse", "/v1/topics/t/records?format=sse",
		recordsPath + "?format=recordbatch&wait=60",
	} {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			h.ServeHTTP(newLockedRecorder(), get(path).WithContext(ctx))
		}()
		cancel()
		<-done
	}
	for _, rep := range broker.replicas["t"] {
		if n := fmt.Sprintf("%+v", rep.Offsets()); n == "" {
			t.Error("the replica is gone")
		}
	}
}
