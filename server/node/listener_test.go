package node

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func listenTest(t *testing.T, limit int, h http.HandlerFunc) (*webServer, *connCounter) {
	t.Helper()
	conns := newConnCounter(limit, prometheus.NewRegistry())
	w, err := bindWeb("test", "127.0.0.1:0", conns, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	w.serve(h)
	return w, conns
}

// The error names the flag that gives another address.
func TestAddressInUse(t *testing.T) {
	first, err := listen("http", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	address := first.Addr().String()
	_, err = listen("kafka", address)
	if err == nil || !strings.HasPrefix(err.Error(), "--kafka: another process, perhaps another node, listens on "+address) {
		t.Errorf("%v", err)
	}
	if _, err := listen("peer", "127.0.0.1:none"); err == nil || !strings.HasPrefix(err.Error(), "--peer: ") {
		t.Errorf("%v", err)
	}
}

func TestBothProtocols(t *testing.T) {
	w, conns := listenTest(t, 10, func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(rw, r.Proto)
	})
	for _, want := range []string{"HTTP/1.1", "HTTP/2.0"} {
		protocols := new(http.Protocols)
		protocols.SetHTTP1(want == "HTTP/1.1")
		protocols.SetUnencryptedHTTP2(want == "HTTP/2.0")
		transport := &http.Transport{Protocols: protocols}
		resp, err := (&http.Client{Transport: transport}).Get("http://" + w.addr())
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || string(body) != want {
			t.Errorf("got %q, %v; want %s", body, err, want)
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
		transport.CloseIdleConnections()
	}
	if err := w.shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if n := conns.open.Load(); n != 0 || len(conns.slots) != 0 {
		t.Errorf("%d connections are counted after the end, %d slots taken", n, len(conns.slots))
	}
}

// A connection above the limit waits until another one ends; it is not
// refused.
func TestConnectionLimit(t *testing.T) {
	w, conns := listenTest(t, 1, func(rw http.ResponseWriter, _ *http.Request) {})
	ask := func(c net.Conn) {
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Error(err)
		}
	}
	answered := func(c net.Conn) bool {
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		_, err := bufio.NewReader(c).ReadString('\n')
		return err == nil
	}
	dial := func() net.Conn {
		c, err := net.Dial("tcp", w.addr())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first, second := dial(), dial()
	ask(first)
	if !answered(first) {
		t.Fatal("the first connection is not served")
	}
	ask(second)
	_ = second.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := second.Read(make([]byte, 1)); err == nil {
		t.Fatal("the second connection is served above the limit")
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if !answered(second) {
		t.Error("the second connection is not served after the first one ended")
	}
	if n := len(conns.slots); n != 1 {
		t.Errorf("%d slots", n)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	if err := w.shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

// A client that never finishes its headers does not hold up the end.
func TestShutdownCutsAfterDeadline(t *testing.T) {
	entered := make(chan struct{})
	w, _ := listenTest(t, 10, func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	})
	go func() {
		resp, err := http.Get("http://" + w.addr())
		if err == nil {
			_ = resp.Body.Close()
		}
	}()
	<-entered
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := w.shutdown(ctx); err == nil {
		t.Error("a request in progress was not reported")
	}
	http.DefaultClient.CloseIdleConnections()
}
