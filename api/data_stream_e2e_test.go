package api_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chroniklog/chronik/server/servertest"
)

// event is a server-sent event.
type event struct {
	name, id, data string
	retry          bool
}

func (e event) decode(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(e.data), v); err != nil {
		t.Fatalf("event %+v: %v", e, err)
	}
}

// add takes a line of the stream; done at the empty one.
func (e *event) add(line string) (done bool) {
	name, value, _ := strings.Cut(line, ": ")
	switch name {
	case "event":
		e.name = value
	case "id":
		e.id = value
	case "data":
		e.data += value
	case "retry":
		e.retry = true
	}
	return line == ""
}

func events(t testing.TB, body []byte) (list []event) {
	t.Helper()
	var e event
	for line := range strings.Lines(string(body)) {
		if e.add(strings.TrimSuffix(line, "\n")) {
			list = append(list, e)
			e = event{}
		}
	}
	if e != (event{}) {
		t.Errorf("the stream ends within an event: %+v", e)
	}
	return list
}

// live is an open stream.
type live struct {
	t      testing.TB
	resp   *http.Response
	lines  *bufio.Scanner
	cancel context.CancelFunc
}

func follow(t testing.TB, n *servertest.Node, what string, headers ...header) *live {
	t.Helper()
	r := request(t, n, what, nil, headers...)
	ctx, cancel := context.WithTimeout(r.Context(), 20*time.Second)
	resp, err := n.Client.Do(r.WithContext(ctx))
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(resp.Body)
		t.Fatalf("%s: %s %s", what, resp.Status, body)
	}
	l := &live{t: t, resp: resp, lines: bufio.NewScanner(resp.Body), cancel: cancel}
	l.lines.Buffer(nil, 4<<20)
	t.Cleanup(l.close)
	return l
}

func (l *live) close() {
	l.cancel()
	_ = l.resp.Body.Close()
}

// next is the next event; false at the end of the stream.
func (l *live) next() (e event, ok bool) {
	l.t.Helper()
	for l.lines.Scan() {
		if e.add(l.lines.Text()) {
			return e, true
		}
	}
	return e, false
}

// until reads on to an event of that name.
func (l *live) until(name string) event {
	l.t.Helper()
	for {
		e, ok := l.next()
		if !ok {
			l.t.Fatalf("the stream ended before an event %s: %v", name, l.lines.Err())
		}
		if e.name == name {
			return e
		}
	}
}

const sse = "text/event-stream"

func TestEventsResume(t *testing.T) {
	n := servertest.Start(t)
	create(t, n, `{"name":"t","partitions":2}`)
	for _, path := range []string{"/v1/topics/t/partitions/0/records", "/v1/topics/t/records"} {
		l := follow(t, n, "GET "+path+"?from=latest", header{"Accept", sse})
		if l.resp.Header.Get("X-Accel-Buffering") != "no" || !strings.Contains(l.resp.Header.Get("Cache-Control"), "no-transform") {
			t.Errorf("%v", l.resp.Header)
		}
		if e, _ := l.next(); !e.retry {
			t.Errorf("the stream begins with %+v", e)
		}
		if e, _ := l.next(); e.name != "heartbeat" || e.id == "" {
			t.Errorf("an empty stream begins with %+v", e)
		}
		produce(t, n, "t", "a")
		e := l.until("records")
		var pg page
		e.decode(t, &pg)
		if got := values(pg.Records); !slices.Equal(got, []string{"a"}) {
			t.Errorf("%s: %v", path, got)
		}
		l.close()
		produce(t, n, "t", "b")
		again := follow(t, n, "GET "+path+"?from=latest", header{"Accept", sse}, header{"Last-Event-ID", e.id})
		again.until("records").decode(t, &pg)
		if got := values(pg.Records); !slices.Equal(got, []string{"b"}) {
			t.Errorf("%s: resumed with %v", path, got)
		}
		again.close()
	}
	bad := request(t, n, "GET /v1/topics/t/records", nil, header{"Accept", sse}, header{"Last-Event-ID", "nonsense"})
	roundTrip(t, n, bad).problem(http.StatusBadRequest, "invalid_cursor")
}

func TestEventsEnd(t *testing.T) {
	n := servertest.Start(t)
	create(t, n, `{"name":"t"}`)
	produce(t, n, "t", "a", "b", "c")
	for query, want := range map[string]string{"offset=0&end=2": "end", "limit=2": "limit", "offset=1&limit=1": "limit"} {
		l := follow(t, n, "GET /v1/topics/t/partitions/0/records?"+query, header{"Accept", sse})
		var at position
		l.until("end").decode(t, &at)
		if at.Reason != want || at.NextOffset != 2 {
			t.Errorf("%s: %+v", query, at)
		}
		if e, ok := l.next(); ok {
			t.Errorf("%s: after the end: %+v", query, e)
		}
	}
	whole := follow(t, n, "GET /v1/topics/t/records?from=latest", header{"Accept", sse})
	whole.until("heartbeat")
	lines := follow(t, n, "GET /v1/topics/t/partitions/0/records?from=latest&follow=true", header{"Accept", ndjson})
	if !lines.lines.Scan() || !strings.Contains(lines.lines.Text(), `{"heartbeat":{"next_offset":3,`) {
		t.Errorf("%s", lines.lines.Text())
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		n.Restart()
	}()
	e := whole.until("end")
	if !strings.Contains(e.data, `"reason":"shutdown"`) || e.id == "" {
		t.Errorf("%+v", e)
	}
	if !lines.lines.Scan() || !strings.Contains(lines.lines.Text(), `{"end":{"reason":"shutdown"`) {
		t.Errorf("%s", lines.lines.Text())
	}
	<-stopped
}

// A stream whose records were trimmed while it was away tells so.
func TestStreamErrors(t *testing.T) {
	n := servertest.Start(t)
	create(t, n, `{"name":"t"}`)
	produce(t, n, "t", "a", "b")
	l := follow(t, n, "GET /v1/topics/t/partitions/0/records?follow=true", header{"Accept", ndjson})
	for range 2 {
		l.lines.Scan()
	}
	call(t, n, "DELETE /v1/topics/t", nil).want(http.StatusNoContent)
	var last wire
	for l.lines.Scan() {
		if err := json.Unmarshal(l.lines.Bytes(), &last); err != nil {
			t.Fatal(err)
		}
	}
	if last.Error == nil || last.Error.Code != "unknown_topic" {
		t.Errorf("the stream of a deleted topic ended with %+v", last)
	}
}

// Partitions that are added show up in a stream that was open before.
func TestStreamGrows(t *testing.T) {
	n := servertest.Start(t)
	create(t, n, `{"name":"t","partitions":2}`)
	l := follow(t, n, "GET /v1/topics/t/records", header{"Accept", sse})
	l.until("heartbeat")
	call(t, n, "POST /v1/topics/t/partitions", []byte(`{"count":3}`), asJSON)
	call(t, n, "POST /v1/topics/t/records?partition=2", []byte("new")).want(http.StatusCreated)
	// A record elsewhere is a reason to look again at once.
	produce(t, n, "t", "old")
	seen := map[string]bool{}
	for len(seen) < 2 {
		var pg page
		l.until("records").decode(t, &pg)
		for _, v := range values(pg.Records) {
			seen[v] = true
		}
	}
}

// Answers come while the request is still being sent, in order.
func TestLinesAreAnsweredAtOnce(t *testing.T) {
	n := servertest.Start(t)
	create(t, n, `{"name":"t","partitions":2}`)
	body, in := io.Pipe()
	r := request(t, n, "POST /v1/topics/t/batches", nil, header{"Content-Type", ndjson})
	r.Body = body
	go func() { // Do returns at the first answer
		_, _ = io.WriteString(in, "{\"value\":\"0\",\"partition\":1}\n")
	}()
	resp, err := n.Client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	out := bufio.NewScanner(resp.Body)
	for i, line := range []string{"", "{\"value\":\"1\"}", "nonsense", "\r", "{\"value\":\"2\",\"key\":\"k\"}", "{\"value\":1}"} {
		if i > 0 {
			if _, err := io.WriteString(in, line+"\n"); err != nil {
				t.Fatal(err)
			}
		}
		if line == "\r" {
			continue // blank lines have no answer
		}
		if !out.Scan() {
			t.Fatalf("no answer to line %d: %v", i+1, out.Err())
		}
		var p produced
		if err := json.Unmarshal(out.Bytes(), &p); err != nil {
			t.Fatal(err)
		}
		switch i {
		case 2, 5:
			if p.Error == nil || p.Line != int64(i+1) || !strings.HasPrefix(p.Error.Detail, fmt.Sprintf("line %d: ", i+1)) {
				t.Errorf("line %d: %s", i+1, out.Bytes())
			}
		default:
			if p.Error != nil {
				t.Errorf("line %d: %s", i+1, out.Bytes())
			}
		}
	}
	if _, err := io.WriteString(in, `{"value":"last, without a line break"}`); err != nil {
		t.Fatal(err)
	}
	_ = in.Close()
	if !out.Scan() || !strings.HasPrefix(out.Text(), `{"partition":`) || out.Scan() {
		t.Errorf("%q", out.Text())
	}
}

func TestManyLines(t *testing.T) {
	n := servertest.Start(t, servertest.Unchecked())
	create(t, n, `{"name":"t","partitions":3}`)
	const count = 100_000
	var body bytes.Buffer
	for i := range count {
		fmt.Fprintf(&body, "{\"value\":\"%d\",\"partition\":%d}\n", i, i%3)
	}
	r := request(t, n, "POST /v1/topics/t/batches", body.Bytes(), header{"Content-Type", ndjson}, header{"Idempotency-Key", ""})
	r.Header.Del("Idempotency-Key")
	a := roundTrip(t, n, r).want(http.StatusOK)
	next := map[int32]int64{}
	i := 0
	for line := range bytes.Lines(a.body) {
		var p produced
		if err := json.Unmarshal(line, &p); err != nil || p.Error != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if p.Partition != int32(i%3) || p.Offset != next[p.Partition] {
			t.Fatalf("line %d: %s, want offset %d", i, line, next[p.Partition])
		}
		next[p.Partition]++
		i++
	}
	if i != count {
		t.Fatalf("%d answers, want %d", i, count)
	}
	all := call(t, n, "GET /v1/topics/t/records", nil, header{"Accept", ndjson}).want(http.StatusOK).lines()
	if len(all) != count+1 || all[count].End == nil {
		t.Errorf("%d lines were read", len(all))
	}
}

func TestLineStreamEnds(t *testing.T) {
	n := servertest.Start(t)
	create(t, n, `{"name":"t"}`)
	const batches = "POST /v1/topics/t/batches"
	as := header{"Content-Type", ndjson}
	long := `{"value":"` + strings.Repeat("x", 3<<20)
	call(t, n, batches, []byte(long), as).problem(http.StatusRequestEntityTooLarge, "body_too_large")
	a := call(t, n, batches, []byte("{\"value\":\"a\"}\n"+long), as).want(http.StatusOK)
	lines := strings.Split(strings.TrimSpace(string(a.body)), "\n")
	if len(lines) != 2 || !strings.Contains(lines[1], `{"error":{`) || !strings.Contains(lines[1], "body_too_large") {
		t.Errorf("%s", a.body)
	}
	if a = bad(t, n, batches, []byte{}, as).want(http.StatusOK); len(a.body) != 0 {
		t.Errorf("%s", a.body)
	}
	call(t, n, batches+"?partition=9", []byte("x"), as).problem(http.StatusNotFound, "unknown_partition")
	for i := range 2 {
		a = call(t, n, batches, []byte("{\"value\":\"1\"}\n{\"value\":\"2\"}"), as, header{"Idempotency-Key", "s"}).want(http.StatusOK)
		if got := strings.Count(string(a.body), `"duplicate":true`); got != 2*i {
			t.Errorf("try %d: %s", i, a.body)
		}
	}
	a = call(t, n, batches+"?partition=0&expect_offset=3", []byte("{\"value\":\"1\"}\n{\"value\":\"2\"}"), as).want(http.StatusOK)
	if strings.Contains(string(a.body), "error") {
		t.Errorf("%s", a.body)
	}
}

// A node that shuts down ends a stream of lines with the reason, and answers
// what it took.
func TestLineStreamShutdown(t *testing.T) {
	n := servertest.Start(t)
	create(t, n, `{"name":"t"}`)
	body, in := io.Pipe()
	r := request(t, n, "POST /v1/topics/t/batches", nil, header{"Content-Type", ndjson})
	r.Body = body
	go func() { _, _ = io.WriteString(in, "{\"value\":\"a\"}\n") }()
	resp, err := n.Client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	out := bufio.NewScanner(resp.Body)
	if !out.Scan() || !strings.HasPrefix(out.Text(), `{"partition":0,"offset":0`) {
		t.Fatalf("%q", out.Text())
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		n.Restart()
	}()
	if !out.Scan() || !strings.Contains(out.Text(), "shutting_down") {
		t.Errorf("%q, %v", out.Text(), out.Err())
	}
	_ = in.Close()
	<-stopped
}

// A client that sends and never reads its answers, or asks for a stream and
// never reads it, does not hold the node up, nor others.
func TestClientThatDoesNotRead(t *testing.T) {
	n := servertest.Start(t)
	create(t, n, `{"name":"t"}`)
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(n.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	head := "POST /v1/topics/t/batches HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n" +
		"Transfer-Encoding: chunked\r\n\r\n"
	if _, err := io.WriteString(conn, head); err != nil {
		t.Fatal(err)
	}
	line := "{\"value\":\"" + strings.Repeat("x", 80) + "\"}\n"
	chunk := fmt.Sprintf("%x\r\n%s\r\n", 300*len(line), strings.Repeat(line, 300))
	var wg sync.WaitGroup
	wg.Go(func() {
		for { // until the node's bounds stop it
			_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
			if _, err := io.WriteString(conn, chunk); err != nil {
				return
			}
		}
	})
	for range 20 {
		produce(t, n, "t", "others")
	}
	wg.Wait()
}

func TestParallelWriters(t *testing.T) {
	n := servertest.Start(t, servertest.Unchecked())
	create(t, n, `{"name":"t","partitions":2}`)
	const writers, each = 8, 50
	var wg sync.WaitGroup
	var mu sync.Mutex
	offsets := map[int32][]int64{}
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				r := request(t, n, fmt.Sprintf("POST /v1/topics/t/records?partition=%d", i%2), fmt.Appendf(nil, "%d/%d", w, i))
				resp, err := n.Client.Do(r)
				if err != nil {
					t.Error(err)
					return
				}
				var p produced
				err = json.NewDecoder(resp.Body).Decode(&p)
				_ = resp.Body.Close()
				if err != nil || resp.StatusCode != http.StatusCreated {
					t.Errorf("%s %v", resp.Status, err)
					return
				}
				mu.Lock()
				offsets[p.Partition] = append(offsets[p.Partition], p.Offset)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for p, list := range offsets {
		slices.Sort(list)
		for i, o := range list {
			if o != int64(i) {
				t.Fatalf("partition %d: offset %d at place %d", p, o, i)
			}
		}
	}
}
