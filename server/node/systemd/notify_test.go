package systemd

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// listener is the service manager's end of the socket.
type listener struct{ conn *net.UnixConn }

func listen(t *testing.T) (*listener, string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "notify") // t.TempDir's are too long for a socket's name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	name := filepath.Join(dir, "s")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Skipf("no datagram sockets here: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &listener{conn}, name
}

func (m *listener) next(t *testing.T) string {
	t.Helper()
	_ = m.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	b := make([]byte, 1024)
	n, err := m.conn.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

func env(pairs map[string]string) func(string) string {
	return func(name string) string { return pairs[name] }
}

func TestNotify(t *testing.T) {
	m, name := listen(t)
	n := FromEnv(env(map[string]string{"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "20000"}))
	if err := n.Ready("at\nhome"); err != nil {
		t.Fatal(err)
	}
	if got := m.next(t); got != "READY=1\nSTATUS=at home" {
		t.Errorf("%q", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var alive atomic.Bool
	alive.Store(true)
	wg.Go(func() { n.Watchdog(ctx, alive.Load) })
	for range 3 {
		if got := m.next(t); got != "WATCHDOG=1" {
			t.Errorf("%q", got)
		}
	}
	cancel()
	wg.Wait()
	for { // what was sent before
		_ = m.conn.SetReadDeadline(time.Now().Add(time.Millisecond))
		if _, err := m.conn.Read(make([]byte, 64)); err != nil {
			break
		}
	}
	if err := n.Stopping(); err != nil {
		t.Fatal(err)
	}
	if got := m.next(t); got != "STOPPING=1\nSTATUS=shutting down" {
		t.Errorf("%q", got)
	}
}

// Nobody is told where there is no service manager; one that has gone is an
// error.
func TestNobodyToNotify(t *testing.T) {
	n := FromEnv(env(nil))
	if err := n.Ready("x"); err != nil {
		t.Error(err)
	}
	n.Watchdog(t.Context(), func() bool { return true }) // returns
	n = FromEnv(env(map[string]string{"NOTIFY_SOCKET": t.TempDir() + "/s"}))
	if err := n.Stopping(); err == nil {
		t.Error("a socket that is not there was told")
	}
}
