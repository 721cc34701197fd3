package peer

import (
	"context"
	"fmt"
	"sync"
)

// Reply answers a call, once; refused tells that payload describes an error.
type Reply func(payload []byte, refused bool)

// Handler carries out calls.
type Handler interface {
	// Begin starts a call; it is invoked in the order in which the peer
	// asked, from the connection's goroutine, so it must not wait. What has
	// to wait is returned and runs on a goroutine of its own; nil if reply
	// was called already. payload is valid until Begin returns. ctx ends when
	// the caller gives up or its time is over.
	Begin(ctx context.Context, m Method, payload []byte, reply Reply) (wait func())
}

// Serve carries out the calls of one connection until it fails or ctx ends.
// It returns when every call has ended.
func Serve(ctx context.Context, conn Conn, h Handler) error {
	ctx, cancel := context.WithCancel(ctx)
	s := &served{handler: h, out: newOutbox(), calls: map[uint64]context.CancelFunc{}}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	var writer sync.WaitGroup
	writer.Go(func() {
		_ = s.out.write(ctx, conn)
		_ = conn.Close()
	})
	err := s.receive(ctx, conn)
	cancel()
	_ = conn.Close()
	s.wg.Wait()
	writer.Wait()
	return err
}

// served is the called side of a connection.
type served struct {
	handler Handler
	out     *outbox
	wg      sync.WaitGroup

	mu    sync.Mutex
	calls map[uint64]context.CancelFunc
}

func (s *served) receive(ctx context.Context, conn Conn) error {
	var f frame
	for {
		msg, err := conn.Receive()
		if err != nil {
			return err
		}
		for len(msg) > 0 {
			if msg, err = f.decode(msg); err != nil {
				return err
			}
			switch f.kind {
			case kindCall:
				s.begin(ctx, &f)
			case kindCancel:
				s.finish(f.id)
			default:
				return fmt.Errorf("%w: an answer from the caller", ErrFrame)
			}
		}
	}
}

// begin starts a call. A peer that holds to maxCalls is never left without an
// answer.
func (s *served) begin(ctx context.Context, f *frame) {
	id, left := f.id, f.left
	if left == 0 {
		left = maxTime
	}
	s.mu.Lock()
	if len(s.calls) >= 2*maxCalls {
		s.mu.Unlock()
		return
	}
	ctx, cancel := context.WithTimeout(ctx, left)
	s.calls[id] = cancel
	s.mu.Unlock()
	reply := func(payload []byte, refused bool) {
		k := kindAnswer
		if refused {
			k = kindRefusal
		}
		s.finish(id)
		s.out.put(&frame{kind: k, id: id, payload: payload})
	}
	if wait := s.handler.Begin(ctx, f.method, f.payload, reply); wait != nil {
		s.wg.Go(wait)
	}
}

func (s *served) finish(id uint64) {
	s.mu.Lock()
	cancel := s.calls[id]
	delete(s.calls, id)
	s.mu.Unlock()
	if cancel != nil {
		cancel()
	}
}
