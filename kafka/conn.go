package kafka

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

// conn is one client's connection. Its reader fills the queue, its writer
// empties it; both end before run returns.
type conn struct {
	k       *Listener
	nc      net.Conn
	r       *bufio.Reader
	ctx     context.Context //nolint:containedctx // ends with the connection
	cancel  context.CancelCauseFunc
	queue   chan *call
	bytes   *semaphore.Weighted // of requests in flight
	in, out transfer

	deadline sync.Mutex // of reads: none is set once draining is
	draining atomic.Bool
}

// readBuffer is enough for the requests of an idle consumer.
const readBuffer = 4 << 10

// Reasons why a connection ends.
var (
	errGone     = errors.New("the client closed the connection")
	errDrained  = errors.New("the node shuts down")
	errAborted  = errors.New("the connection was cut")
	errProtocol = errors.New("the client broke the protocol")
)

func newConn(k *Listener, nc net.Conn) *conn {
	c := &conn{
		k: k, nc: nc, r: bufio.NewReaderSize(nc, readBuffer), queue: make(chan *call, k.limits.ConnRequests),
		bytes: semaphore.NewWeighted(k.limits.ConnBytes),
	}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	return c
}

// run serves the connection to its end.
func (c *conn) run() {
	written := make(chan struct{})
	go func() {
		defer close(written)
		c.write()
	}()
	err := c.read()
	close(c.queue)
	if !errors.Is(err, errDrained) {
		c.cancel(err) // nobody waits for what is queued
	}
	<-written
	if errors.Is(err, errDrained) {
		c.linger()
	}
	c.cancel(errGone)
	_ = c.nc.Close()
	if errors.Is(err, errProtocol) {
		c.k.metrics.refused.WithLabelValues("protocol").Inc()
		c.k.log.Debug("kafka connection closed", "client", c.nc.RemoteAddr().String(), "error", err)
	}
}

// drain has the reader stop and the queued requests answered.
func (c *conn) drain() {
	c.deadline.Lock()
	defer c.deadline.Unlock()
	c.draining.Store(true)
	_ = c.nc.SetReadDeadline(time.Unix(1, 0))
}

// lingering is how long a client may take to notice the end, and quiet how
// long it sends nothing once it has.
const (
	lingering = time.Second
	quiet     = 100 * time.Millisecond
)

// linger ends the answers and drops what still comes: a socket that is closed
// before its input was read forgets the answers that it still has to send.
func (c *conn) linger() {
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	for end := time.Now().Add(lingering); time.Now().Before(end); {
		if c.nc.SetReadDeadline(time.Now().Add(quiet)) != nil {
			return
		}
		if _, err := c.r.Discard(max(c.r.Buffered(), 1)); err != nil {
			return
		}
	}
}

// abort ends the connection at once.
func (c *conn) abort() {
	c.cancel(errAborted)
	_ = c.nc.Close()
}

// read takes requests until the connection ends; the error tells why.
func (c *conn) read() error {
	for {
		f, err := c.readFrame()
		if err != nil {
			return err
		}
		call, err := c.receive(f)
		if err != nil {
			f.release()
			return err
		}
		select {
		case c.queue <- call:
		case <-c.ctx.Done():
			f.release()
			return context.Cause(c.ctx)
		}
	}
}

// write answers the queued calls in order. After a failure the rest is
// dropped.
func (c *conn) write() {
	failed := false
	for call := range c.queue {
		if !failed {
			if err := c.answer(call); err != nil {
				failed = true
				c.abort() // wakes the reader
				if errors.Is(err, errProtocol) {
					c.k.metrics.refused.WithLabelValues("protocol").Inc()
				}
			}
		}
		call.frame.release()
	}
}

// answer executes one call and sends its answer, if it has one.
func (c *conn) answer(call *call) error {
	if err := context.Cause(c.ctx); err != nil {
		return err
	}
	out := c.k.buffers.Get().(*output)
	defer func() {
		out.reset()
		c.k.buffers.Put(out)
	}()
	out.begin(call)
	err := call.api.answer(c.ctx, call, out)
	defer out.release(c.k)
	if err != nil || out.silent {
		return err
	}
	c.k.metrics.observe(call)
	if err := c.account(out); err != nil {
		return err
	}
	return c.send(out)
}

// account counts an answer that was built beside the log. One that fits into
// a kept buffer is not worth it.
func (c *conn) account(out *output) error {
	size := min(int64(len(out.buf)), c.k.limits.InFlightBytes)
	if out.held > 0 || size <= maxKeptBuffer {
		return nil
	}
	if err := c.k.take(c.ctx, c.k.room.answers, size); err != nil {
		return err
	}
	out.held = size
	return nil
}

// send writes an answer. A client that does not take it in time is cut off.
func (c *conn) send(out *output) error {
	parts, size := out.finish()
	c.out.begin()
	defer c.out.end()
	end := time.Now().Add(c.transferTime(size))
	for {
		now := time.Now()
		step := now.Add(patience) // to see how it gets on
		if step.After(end) {
			step = end
		}
		if err := c.nc.SetWriteDeadline(step); err != nil {
			return err
		}
		n, err := writeParts(c.nc, parts)
		c.out.moved.Add(n)
		c.k.metrics.sent.Add(float64(n))
		switch {
		case !isTimeout(err):
			return err
		case step.Equal(end):
			c.k.metrics.refused.WithLabelValues("slow_reader").Inc()
			return err
		}
	}
}

// partsWriter is a connection that wraps another, and hands on writes of many
// parts in one.
type partsWriter interface {
	WriteParts(parts *net.Buffers) (int64, error)
}

// writeParts takes what it writes out of parts.
func writeParts(nc net.Conn, parts *net.Buffers) (int64, error) {
	if w, ok := nc.(partsWriter); ok {
		return w.WriteParts(parts)
	}
	return parts.WriteTo(nc)
}

// transferTime is how long n bytes may take.
func (c *conn) transferTime(n int) time.Duration {
	return c.k.limits.Transfer + time.Duration(n>>20)*time.Second
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// gone names the end of a read.
func (c *conn) gone(err error) error {
	switch {
	case c.draining.Load():
		return errDrained
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return errGone
	case isTimeout(err):
		c.k.metrics.refused.WithLabelValues("idle").Inc()
		return errGone
	}
	return err
}
