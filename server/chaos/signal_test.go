package chaos

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// SIGTERM waits for the requests in progress; a second one does not.
func TestSignals(t *testing.T) {
	bin, dir := built(t), t.TempDir()
	node := serve(t.Context(), t, bin, dir)
	createTopic(t, node.URL, `{"name":"t"}`)

	// A client that never sends the rest of its body holds the end up.
	conn, err := net.Dial("tcp", strings.TrimPrefix(node.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const request = "POST /v1/topics/t/records HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc"
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	awaitMetric(t, node.URL, "chronik_http_requests_in_flight 2") // that one, and the scrape
	if err := node.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-node.Done():
		t.Fatalf("the node did not wait for a request in progress:\n%s", node.Log())
	case <-time.After(300 * time.Millisecond):
	}
	if err := node.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-node.Done():
	case <-time.After(5 * time.Second):
		t.Fatal("a second signal did not end the node")
	}

	node = serve(t.Context(), t, bin, dir)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := node.Stop(ctx); err != nil {
		t.Errorf("an idle node's end: %v", err)
	}
}

// awaitMetric waits until /metrics has the line.
func awaitMetric(t *testing.T, url, line string) {
	t.Helper()
	defer http.DefaultClient.CloseIdleConnections()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		resp, err := http.Get(url + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(body), "\n"+line+"\n") {
			return
		}
	}
	t.Fatalf("/metrics never had %q", line)
}

// A failing sync ends the process with exit code 1, and nothing is
// acknowledged after it. The kernel's answer is forged by strace, where there
// is one.
func TestSyncErrorEndsProcess(t *testing.T) {
	if err := CanTrace(); err != nil {
		t.Skip(err)
	}
	bin, dir := built(t), t.TempDir()
	node := serve(t.Context(), t, bin, dir)
	createTopic(t, node.URL, `{"name":"t"}`)
	load := NewLoad("t", 1, 1)
	t.Cleanup(load.client.CloseIdleConnections)
	load.Target(node.URL)
	if status := post(t, load, "before"); status != http.StatusCreated {
		t.Fatalf("a record on a healthy disk: %d", status)
	}

	stop, err := failSyncs(&Member{proc: node})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	for i := 0; ; i++ {
		select {
		case <-node.Done():
			if code := node.ExitCode(); code != 1 {
				t.Errorf("exit code %d:\n%s", code, node.Log())
			}
			if !strings.Contains(node.Log(), "can't go on") {
				t.Errorf("the log does not say why:\n%s", node.Log())
			}
			return
		case <-time.After(10 * time.Millisecond):
		}
		if i > 500 {
			t.Fatal("syncs fail, and the node lives")
		}
		resp, err := load.client.Post(node.URL+"/v1/topics/t/records", "text/plain", strings.NewReader("after"))
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusCreated && i > 100 { // the tracer has long been attached
				t.Fatal("a record was acknowledged without a sync")
			}
		}
	}
}
