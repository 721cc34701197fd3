package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func endpoint(t *testing.T, id Identity, version, oldest uint16) *Endpoint {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := New(Options{Listener: l, version: version, oldest: oldest})
	e.SetIdentity(id)
	e.Serve()
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// echo sends frames back.
func echo(_ context.Context, c *Conn) {
	for {
		f, err := c.Read(MaxFrame)
		if err != nil || c.Write(f) != nil {
			return
		}
	}
}

func TestHandshake(t *testing.T) {
	server := Identity{Cluster: "c", Node: 2, Raft: 22}
	for _, tc := range []struct {
		name            string
		self, to        Identity
		version, oldest uint16 // of the dialer; the server speaks 3 and 2
		class           Class
		want            error
		negotiated      uint16
		text            string
	}{
		{
			name: "same", self: Identity{Cluster: "c", Node: 1, Raft: 11}, to: Identity{Node: 2, Raft: 22},
			version: 3, oldest: 2, negotiated: 3,
		},
		{name: "one older", version: 2, oldest: 1, negotiated: 2},
		{name: "one newer", version: 4, oldest: 3, negotiated: 3},
		{name: "two older", version: 1, oldest: 1, want: ErrVersion, text: "upgrade"},
		{name: "two newer", version: 5, oldest: 4, want: ErrVersion},
		{name: "without cluster", self: Identity{Node: 1}, version: 3, oldest: 2, negotiated: 3},
		{
			name: "other cluster", self: Identity{Cluster: "d"}, version: 3, oldest: 2,
			want: ErrRefused, text: "cluster c, not d",
		},
		{name: "other node", to: Identity{Node: 3}, version: 3, oldest: 2, want: ErrRefused, text: "node 2"},
		{name: "other incarnation", to: Identity{Node: 2, Raft: 21}, version: 3, oldest: 2, want: ErrRefused},
		{name: "unknown class", version: 3, oldest: 2, class: 99, want: ErrRefused, text: "class 99"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := endpoint(t, server, 3, 2)
			remote := make(chan Identity, 1)
			s.Handle(ClassBulk, func(ctx context.Context, c *Conn) {
				remote <- c.Remote()
				echo(ctx, c)
			})
			d := endpoint(t, tc.self, tc.version, tc.oldest)
			if tc.class == 0 {
				tc.class = ClassBulk
			}
			c, err := d.Dial(t.Context(), s.Addr().String(), tc.class, tc.to)
			if tc.want != nil {
				if !errors.Is(err, tc.want) || !errors.Is(err, ErrUnreachable) ||
					!strings.Contains(err.Error(), tc.text) {
					t.Fatalf("dial: %v, want %v with %q", err, tc.want, tc.text)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if got := <-remote; got != tc.self {
				t.Errorf("the server met %+v", got)
			}
			if c.Remote() != server || c.Version() != tc.negotiated {
				t.Errorf("the dialer met %+v, version %d", c.Remote(), c.Version())
			}
			for _, size := range []int{0, 1, 100_000} {
				want := Frame{Type: 7, Stream: uint32(size), Payload: bytes.Repeat([]byte{5}, size)}
				if err := c.Write(want); err != nil {
					t.Fatal(err)
				}
				got, err := c.Read(MaxFrame)
				if err != nil || got.Type != 7 || got.Stream != uint32(size) || !bytes.Equal(got.Payload, want.Payload) {
					t.Errorf("echo of %d bytes: %d bytes, %v", size, len(got.Payload), err)
				}
			}
			if err := c.Send([]byte("msg")); err != nil {
				t.Fatal(err)
			}
			if m, err := c.Receive(); err != nil || string(m) != "msg" {
				t.Errorf("%q, %v", m, err)
			}
		})
	}
}

func TestStrangersAreCutOff(t *testing.T) {
	s := endpoint(t, Identity{Node: 1}, 0, 0)
	s.Handle(ClassBulk, echo)
	for _, hello := range []string{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "CHKP\x01\x00\x01\x00\xff\xff\x00\x00\x00\x00"} {
		c, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, hello); err != nil {
			t.Fatal(err)
		}
		if err := c.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(c); len(b) > 0 || isTimeout(err) {
			t.Errorf("answered %q, %v", b, err)
		}
		_ = c.Close()
	}
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

func TestDamagedFrames(t *testing.T) {
	var b bytes.Buffer
	w := newConn(nil, nil, Identity{}, 1)
	w.w.Reset(&b)
	if err := w.Write(Frame{Type: 1, Stream: 2, Payload: []byte("payload")}); err != nil {
		t.Fatal(err)
	}
	whole := b.Bytes()
	if f, err := readFrame(bytes.NewReader(whole), 100); err != nil || string(f.Payload) != "payload" {
		t.Fatalf("%+v, %v", f, err)
	}
	if _, err := readFrame(bytes.NewReader(whole), 3); !errors.Is(err, ErrFrame) {
		t.Errorf("above the limit: %v", err)
	}
	for i := range whole {
		bad := bytes.Clone(whole)
		bad[i] ^= 1
		if _, err := readFrame(bytes.NewReader(bad), 100); err == nil {
			t.Errorf("bit in byte %d is accepted", i)
		}
		if _, err := readFrame(bytes.NewReader(whole[:i]), 100); err == nil {
			t.Errorf("cut at %d is accepted", i)
		}
	}
}

func TestCalls(t *testing.T) {
	s := endpoint(t, Identity{Node: 2}, 0, 0)
	release := make(chan struct{})
	s.Handle(ClassCall, ServeCalls(func(ctx context.Context, from Identity, req []byte) ([]byte, error) {
		switch string(req) {
		case "fail":
			return nil, errors.New("no luck")
		case "wait":
			select {
			case <-release:
			case <-ctx.Done():
			}
		}
		return fmt.Appendf(nil, "%d:%s", from.Node, req), nil
	}))
	d := endpoint(t, Identity{Node: 1}, 0, 0)
	caller := d.NewCaller(ClassCall)
	defer caller.Close()
	addr := s.Addr().String()

	// A slow call doesn't hold up others on the connection.
	slow := make(chan error, 1)
	go func() {
		_, err := caller.Call(t.Context(), addr, []byte("wait"))
		slow <- err
	}()
	var group sync.WaitGroup
	for i := range 100 {
		group.Go(func() {
			b, err := caller.Call(t.Context(), addr, fmt.Append(nil, i))
			if err != nil || string(b) != fmt.Sprintf("1:%d", i) {
				t.Errorf("call %d: %q, %v", i, b, err)
			}
		})
	}
	group.Wait()
	close(release)
	if err := <-slow; err != nil {
		t.Error(err)
	}
	_, err := caller.Call(t.Context(), addr, []byte("fail"))
	if !errors.Is(err, ErrCall) || !strings.Contains(err.Error(), "no luck") {
		t.Errorf("failing call: %v", err)
	}

	// Nobody there: certainly not sent.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := l.Addr().String()
	_ = l.Close()
	if _, err := caller.Call(t.Context(), gone, nil); !errors.Is(err, ErrUnreachable) {
		t.Errorf("call to nobody: %v", err)
	}
}

// TestCallLosesItsConnection: whether the request was handled is not known;
// the next call connects anew.
func TestCallLosesItsConnection(t *testing.T) {
	s := endpoint(t, Identity{Node: 2}, 0, 0)
	got := make(chan *Conn, 2)
	s.Handle(ClassCall, func(_ context.Context, c *Conn) {
		f, err := c.Read(100)
		if err != nil {
			return
		}
		if string(f.Payload) == "answer" {
			_ = c.Write(Frame{Type: frameAnswer, Stream: f.Stream, Payload: []byte("ok")})
			_, _ = c.Read(100)
		}
		got <- c
	})
	d := endpoint(t, Identity{Node: 1}, 0, 0)
	caller := d.NewCaller(ClassCall)
	defer caller.Close()
	if _, err := caller.Call(t.Context(), s.Addr().String(), []byte("drop")); !errors.Is(err, ErrNoAnswer) {
		t.Errorf("dropped call: %v", err)
	}
	<-got
	if b, err := caller.Call(t.Context(), s.Addr().String(), []byte("answer")); err != nil || string(b) != "ok" {
		t.Errorf("next call: %q, %v", b, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := caller.Call(ctx, s.Addr().String(), []byte("x")); err == nil {
		t.Error("call with an ended context")
	}
}

func FuzzHello(f *testing.F) {
	f.Add(hello{version: 1, oldest: 1, class: 2, self: Identity{Cluster: "c", Node: 1, Raft: 2}, text: "t"}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := readHello(bytes.NewReader(b))
		if err != nil {
			return
		}
		again, err := readHello(bytes.NewReader(h.encode()))
		if err != nil || again != h {
			t.Errorf("%+v became %+v, %v", h, again, err)
		}
	})
}

func FuzzFrame(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 1, 2, 3, 4, 5, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		fr, err := readFrame(bytes.NewReader(b), 1<<20)
		if err == nil && len(fr.Payload) > len(b) {
			t.Error("payload from nowhere")
		}
	})
}
