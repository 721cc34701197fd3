package peer

import (
	"context"
	"sync"
)

// outbox gathers frames while a message is being written.
type outbox struct {
	mu   sync.Mutex
	buf  []byte
	wake chan struct{}
}

func newOutbox() *outbox { return &outbox{wake: make(chan struct{}, 1)} }

// put queues a frame; false if too much is queued. Answers and cancels are
// always queued: their number is bounded by the calls'.
func (o *outbox) put(f *frame) bool {
	o.mu.Lock()
	if f.kind == kindCall && len(o.buf)+len(f.payload) > maxQueued {
		o.mu.Unlock()
		return false
	}
	o.buf = f.append(o.buf)
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default:
	}
	return true
}

// write sends what is queued until ctx or the connection ends.
func (o *outbox) write(ctx context.Context, conn Conn) error {
	var spare []byte
	for {
		o.mu.Lock()
		msg := o.buf
		o.buf = spare[:0]
		o.mu.Unlock()
		if len(msg) > 0 {
			if err := conn.Send(msg); err != nil {
				return err
			}
		}
		spare = msg
		if cap(spare) > 1<<20 {
			spare = nil
		}
		if len(msg) > 0 {
			continue
		}
		select {
		case <-o.wake:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
