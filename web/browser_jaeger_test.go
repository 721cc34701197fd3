package web_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// jaegerEnv is the path of a Jaeger: see make browser-jaeger.
const jaegerEnv = "CHRONIK_JAEGER"

// A new user runs one command, opens what it prints, sees the record, clicks it,
// and lands on its trace in Jaeger.
func TestBrowserJaeger(t *testing.T) {
	if os.Getenv(jaegerEnv) == "" {
		t.Skip(jaegerEnv + " is not set: see make browser-jaeger")
	}
	browser(t)
	jaeger, otlp, grpc := freeAddr(t), freeAddr(t), freeAddr(t)
	run(t, []string{"JAEGER_HTTP=" + jaeger, "JAEGER_OTLP=" + otlp, "JAEGER_GRPC=" + grpc,
		"JAEGER_PAGES=../deploy/jaeger-pages"}, os.Getenv(jaegerEnv), "--config", "../deploy/jaeger.yaml")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for !answers(ctx, "http://"+jaeger+"/api/services") {
		select {
		case <-time.After(100 * time.Millisecond): // it tells nobody when it begins
		case <-ctx.Done():
			t.Fatal("Jaeger does not answer")
		}
	}
	said := run(t, []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + otlp, "CHRONIK_HTTP=" + freeAddr(t), "CHRONIK_KAFKA=127.0.0.1:0",
		"CHRONIK_PEER=127.0.0.1:0", "CHRONIK_TRACE_URL=http://" + jaeger + "/trace/{trace_id}",
	}, "../deploy/demo")
	var page string
	for lines := bufio.NewScanner(said); page == "" && lines.Scan(); {
		_, page, _ = strings.Cut(lines.Text(), "in the console: ")
	}
	base, fragment, found := strings.Cut(page, "/#/")
	if !found {
		t.Fatalf("the demo did not name a page: %q", page)
	}

	p := openTab(t, base)
	p.show(fragment)
	p.awaitText("hello")
	p.press("0")
	p.await(`document.querySelector("[data-trace]")`)
	trace := value[string](p, `document.querySelector("[data-trace]").innerText`)
	p.do(chromedp.Evaluate[chromedp.Void](`document.querySelector("[data-trace]").target = ""`)) // the same tab
	landing, landed := p.within()
	defer landed()
	resp, err := chromedp.RunResponse(landing, chromedp.Click("[data-trace]"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "http://" + jaeger + "/trace/" + trace; resp.URL != want || resp.Status != http.StatusOK {
		t.Fatalf("landed on %s (%d), want %s", resp.URL, resp.Status, want)
	}
	// What a person sees there: the spans, once they have come, as a tree, and
	// what each one tells.
	p.expect("/api/traces/") // until then
	for _, span := range []string{"POST /v1/topics/{topic}/records", "append", "commit"} {
		p.await(fmt.Sprintf(`document.querySelector('[data-span="%s"] .bar')?.checkVisibility()`, span))
	}
	p.do(chromedp.Click(`[data-span="append"] summary`, chromedp.NodeVisible))
	p.await(`document.querySelector('[data-span="append"] dl').innerText.includes("messaging.destination.name")`)
	p.judge("Jaeger's page of a trace")
	p.shot("jaeger trace")
	p.do(chromedp.Navigate("http://" + jaeger + "/"))
	p.await(fmt.Sprintf(`document.querySelector('main a[href="trace/%s"]')`, trace))
	p.judge("Jaeger's list of traces")
	p.do(chromedp.Navigate("http://" + jaeger + "/trace/no%20id"))
	p.awaitText("no id is no trace id")
}

// run starts a process with more environment and ends it with the test. It
// returns what the process writes.
func run(t *testing.T, env []string, name string, args ...string) *os.File {
	t.Helper()
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(t.ArtifactDir(), filepath.Base(name)+".log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = in, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = in.Close() // the child has its own
	_ = log.Close()
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		select {
		case <-ended:
		case <-time.After(patience):
			t.Errorf("%s does not end", name)
			_ = cmd.Process.Kill()
			<-ended
		}
		_ = out.Close()
	})
	return out
}

func answers(ctx context.Context, target string) bool {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return false
	}
	return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
}

// freeAddr is an address of this machine that is free now.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
