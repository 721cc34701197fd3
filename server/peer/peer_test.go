package peer_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/chroniklog/chronik/server/peer"
	"github.com/chroniklog/chronik/server/peer/peertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	echo peer.Method = iota + 1
	refuse
	hang
)

// callee answers calls; it notes the order in which they began.
type callee struct {
	mu     sync.Mutex
	began  []string
	hanged chan struct{} // a hanging call was cancelled
}

func (c *callee) Begin(ctx context.Context, m peer.Method, payload []byte, reply peer.Reply) func() {
	text := string(payload)
	c.mu.Lock()
	c.began = append(c.began, text)
	c.mu.Unlock()
	switch m {
	case echo:
		reply([]byte("re: "+text), false)
		return nil
	case refuse:
		return func() { reply([]byte("no"), true) }
	default:
		return func() {
			<-ctx.Done()
			reply(nil, true)
			c.hanged <- struct{}{}
		}
	}
}

// fixture is a caller and what it calls.
type fixture struct {
	*peer.Caller
	callee *callee
	mu     sync.Mutex
	conn   *peertest.End
	down   bool
}

func newFixture(t *testing.T) *fixture {
	f := &fixture{callee: &callee{hanged: make(chan struct{}, 16)}}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	f.Caller = peer.NewCaller(func(context.Context) (peer.Conn, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.down {
			return nil, errors.New("connection refused")
		}
		mine, theirs := peertest.Pipe()
		f.conn = mine
		wg.Go(func() { _ = peer.Serve(ctx, theirs, f.callee) })
		return mine, nil
	})
	t.Cleanup(func() { f.Close(); cancel(); wg.Wait() })
	return f
}

func TestCallsAndRefusals(t *testing.T) {
	f := newFixture(t)
	var wg sync.WaitGroup
	for i := range 500 {
		wg.Go(func() {
			text := fmt.Sprint("call ", i)
			got, err := f.Call(t.Context(), echo, []byte(text))
			if err != nil || string(got) != "re: "+text {
				t.Errorf("%s: %q, %v", text, got, err)
			}
			var no *peer.Refusal
			if _, err := f.Call(t.Context(), refuse, nil); !errors.As(err, &no) || string(no.Payload) != "no" {
				t.Errorf("refusal: %v", err)
			}
		})
	}
	wg.Wait()
}

// One caller's calls begin in the order in which they were made.
func TestOrder(t *testing.T) {
	f := newFixture(t)
	var wg sync.WaitGroup
	for i := range 1000 {
		wg.Add(1)
		f.Go(t.Context(), echo, []byte(fmt.Sprintf("%04d", i)), func([]byte, error) { wg.Done() })
	}
	wg.Wait()
	for i, text := range f.callee.began {
		if text != fmt.Sprintf("%04d", i) {
			t.Fatalf("call %d was %s", i, text)
		}
	}
}

func TestCancelReachesThePeer(t *testing.T) {
	f := newFixture(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for { // once the call is there
			f.callee.mu.Lock()
			n := len(f.callee.began)
			f.callee.mu.Unlock()
			if n > 0 {
				cancel()
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	if _, err := f.Call(ctx, hang, nil); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	<-f.callee.hanged
}

func TestDeadlineTravels(t *testing.T) {
	f := newFixture(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	answered := make(chan error, 1)
	f.Go(ctx, hang, nil, func(_ []byte, err error) { answered <- err })
	<-f.callee.hanged // ended by the peer's own clock: nobody cancelled
	var no *peer.Refusal
	if err := <-answered; !errors.As(err, &no) {
		t.Fatal(err)
	}
}

func TestLostAndUnreachable(t *testing.T) {
	f := newFixture(t)
	answered := make(chan error, 1)
	f.Go(t.Context(), hang, []byte("x"), func(_ []byte, err error) { answered <- err })
	if _, err := f.Call(t.Context(), echo, nil); err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	f.down = true
	_ = f.conn.Close()
	f.mu.Unlock()
	if err := <-answered; !errors.Is(err, peer.ErrLost) || peer.Unsent(err) {
		t.Fatal(err)
	}
	if _, err := f.Call(t.Context(), echo, nil); !errors.Is(err, peer.ErrUnreachable) || !peer.Unsent(err) {
		t.Fatal(err)
	}
	f.mu.Lock()
	f.down = false
	f.mu.Unlock()
	if _, err := f.Call(t.Context(), echo, []byte("again")); err != nil {
		t.Fatal(err)
	}
}
