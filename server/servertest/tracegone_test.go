package servertest

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// lockedBuffer is a log that several nodes write.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// A client that leaves while it waits has done nothing wrong, nor has a node: no
// span of its trace is an error, here or where the partition is led, and no log
// tells of a failure.
func TestClientLeavesNoErrorBehind(t *testing.T) {
	log := &lockedBuffer{}
	c, receiver, leader, front := tracedCluster(t, WithLog(log))
	produce(t, front, "t?acks=all", "x")
	reads := []struct{ what, accept string }{
		{"GET /v1/topics/t/partitions/0/records?offset=1&wait=60", "application/json"},
		{"GET /v1/topics/t/records?from=latest&wait=60", "application/x-ndjson"},
		{"GET /v1/topics/t/partitions/0/records?offset=1&wait=50", "application/vnd.kafka.recordbatch.v2"},
		{"GET /v1/topics/t/partitions/0/records?offset=0", "text/event-stream"},
		{"POST /v1/groups/g/poll", "application/json"},
	}
	var wg sync.WaitGroup
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	ids := map[string]string{}
	for i, r := range reads {
		for j, n := range []*Node{leader, front} {
			id := traceOne[:30] + hex.EncodeToString([]byte{byte(2*i + j)})
			ids[id] = r.what
			wg.Go(func() {
				if err := hold(ctx, n, r.what, r.accept, traceparent(id)); !errors.Is(err, context.Canceled) {
					t.Errorf("%s: %v", r.what, err)
				}
			})
		}
	}
	for _, n := range []*Node{leader, front} {
		eventually(t, "requests in flight", func() bool { return inFlight(t, n) == len(reads) })
	}
	time.Sleep(300 * time.Millisecond) // so that they wait, most of them; none may fail whenever it is left
	leave()
	wg.Wait()
	c.Stop(c.Nodes...)
	seen := map[string]bool{}
	for _, s := range receiver.Spans() {
		what, ok := ids[hex.EncodeToString(s.GetTraceId())]
		if !ok {
			continue
		}
		seen[what] = true
		if name := s.GetName(); strings.Contains(what, "wait=") && (name == "forward" || name == "peer/read") {
			t.Errorf("%s: span %s of a look that found nothing", what, name)
		}
		if s.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR {
			t.Errorf("%s: span %s: %v %v", what, s.GetName(), s.GetStatus(), s.GetEvents())
		}
	}
	if len(seen) != len(reads) {
		t.Errorf("traces of %v", seen)
	}
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, "request failed") {
			t.Error(line)
		}
	}
}

// hold asks for an answer that takes long, until ctx ends.
func hold(ctx context.Context, n *Node, what, accept, parent string) error {
	method, path, _ := strings.Cut(what, " ")
	body := ""
	if method == http.MethodPost {
		body = `{"topics":["t"],"wait_ms":60000,"from":"latest"}`
	}
	req, err := http.NewRequestWithContext(ctx, method, n.URL+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Accept", accept)
	req.Header.Set("Traceparent", parent)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := n.Client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil {
		err = fmt.Errorf("%s: %s", resp.Status, text)
	}
	return err
}

// inFlight is the number of requests that a node serves, without the one that
// asks.
func inFlight(t *testing.T, n *Node) int {
	t.Helper()
	metrics := string(call(t, n, "GET /metrics", "").want(t, http.StatusOK).body)
	_, value, _ := strings.Cut(metrics, "\nchronik_http_requests_in_flight ")
	value, _, _ = strings.Cut(value, "\n")
	count, err := strconv.Atoi(value)
	if err != nil {
		t.Fatal(err)
	}
	return count - 1
}
