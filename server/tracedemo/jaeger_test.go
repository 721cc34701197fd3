package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// jaegerBinary is what "make jaeger-test" has built.
const jaegerBinary = "CHRONIK_JAEGER"

// startJaeger runs a Jaeger on free ports until the test ends.
func startJaeger(t *testing.T, d *demo) {
	t.Helper()
	addrs, err := freeAddrs(3)
	if err != nil {
		t.Fatal(err)
	}
	d.jaeger, d.otlp = "http://"+addrs[0], "http://"+addrs[1]
	log, err := os.Create(filepath.Join(t.TempDir(), "jaeger.log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Getenv(jaegerBinary), "--config", "../../deploy/jaeger.yaml")
	cmd.Env = append(os.Environ(), "JAEGER_HTTP="+addrs[0], "JAEGER_OTLP="+addrs[1], "JAEGER_GRPC="+addrs[2],
		"JAEGER_PAGES=../../deploy/jaeger-pages")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections() // it would wait for them
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(stopWait):
			t.Error("Jaeger does not end")
			_ = cmd.Process.Kill()
			<-ended
		}
		_ = log.Close()
	})
	for end := time.Now().Add(readyWait); ; time.Sleep(jaegerPause) {
		resp, err := http.Get(d.jaeger + "/api/services")
		if err == nil {
			resp.Body.Close()
			return
		}
		if time.Now().After(end) {
			said, _ := os.ReadFile(log.Name())
			t.Fatalf("Jaeger does not answer: %v\n%s", err, said)
		}
	}
}

// The trace of one produce through three nodes, as a real Jaeger answers it.
func TestTraceInJaeger(t *testing.T) {
	if os.Getenv(jaegerBinary) == "" {
		t.Skip(`"make jaeger-test" builds a Jaeger and runs this`)
	}
	d := &demo{binary: "../../bin/chronik"} // make has built it
	startJaeger(t, d)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	r, err := d.run(ctx)
	if err != nil {
		t.Fatal(err)
	}
	third := 6 - r.front - r.leader
	want := fmt.Sprintf(`POST /v1/topics/{topic}/records %d
 forward %[1]d
  peer/append %[2]d
   append %[2]d
    commit %[2]d
    replicate %[3]d
    replicate %[4]d
`, r.front, r.leader, min(r.front, third), max(r.front, third))
	if got := outline(r.produced); got != want {
		t.Errorf("produced:\n%swant:\n%s", got, want)
	}
	want = fmt.Sprintf("GET /v1/topics/{topic}/partitions/{partition}/records %d\n receive %[1]d\n", r.leader)
	if got := outline(r.consumed); got != want {
		t.Errorf("consumed:\n%swant:\n%s", got, want)
	}
	var appended string
	r.produced.walk(func(_ int, s *jaegerSpan) {
		switch s.Operation {
		case "append":
			appended = s.SpanID
		case "POST /v1/topics/{topic}/records":
			if got := tag(s.Tags, "http.route"); got != "/v1/topics/{topic}/records" {
				t.Errorf("http.route is %q", got)
			}
		}
	})
	r.consumed.walk(func(_ int, s *jaegerSpan) {
		if s.Operation != "receive" {
			return
		}
		if l := r.consumed.links(s); len(l) != 1 || l[0].TraceID != r.produced.TraceID || l[0].SpanID != appended {
			t.Errorf("the reader's span links to %v, not to the append %s of %s", l, appended, r.produced.TraceID)
		}
	})
}

// outline is a trace's spans and the nodes that made them.
func outline(t *jaegerTrace) string {
	var b strings.Builder
	t.walk(func(depth int, s *jaegerSpan) {
		fmt.Fprintf(&b, "%s%s %s\n", strings.Repeat(" ", depth), s.Operation, t.node(s))
	})
	return b.String()
}
