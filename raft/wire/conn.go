package wire

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"sync"
	"time"
)

const frameHead = 16

// Conn is a connection after the handshake. Read is for one goroutine; Write
// and Flush may be called concurrently.
type Conn struct {
	c       net.Conn
	r       *bufio.Reader
	remote  Identity
	version uint16

	mu sync.Mutex
	w  *bufio.Writer
}

func newConn(c net.Conn, r *bufio.Reader, remote Identity, version uint16) *Conn {
	return &Conn{c: c, r: r, w: bufio.NewWriterSize(c, 32<<10), remote: remote, version: version}
}

// Remote is what the other side said of itself.
func (c *Conn) Remote() Identity { return c.remote }

// Version is what both sides speak.
func (c *Conn) Version() uint16 { return c.version }

// Write writes a frame and flushes it.
func (c *Conn) Write(f Frame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.buffer(f); err != nil {
		return err
	}
	return c.w.Flush()
}

// Buffer writes a frame that Flush, or a later Write, sends.
func (c *Conn) Buffer(f Frame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.buffer(f)
}

// Flush sends what is buffered.
func (c *Conn) Flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.w.Flush()
}

func (c *Conn) buffer(f Frame) error {
	if len(f.Payload) > MaxFrame {
		return fmt.Errorf("%w: payload of %d bytes", ErrFrame, len(f.Payload))
	}
	var head [frameHead]byte
	binary.LittleEndian.PutUint32(head[:], uint32(len(f.Payload)))
	head[8] = f.Type
	binary.LittleEndian.PutUint32(head[12:], f.Stream)
	crc := crc32.Update(crc32.Checksum(head[8:], castagnoli), castagnoli, f.Payload)
	binary.LittleEndian.PutUint32(head[4:], crc)
	if _, err := c.w.Write(head[:]); err != nil {
		return err
	}
	_, err := c.w.Write(f.Payload)
	return err
}

// Read reads the next frame with a payload of up to maxPayload bytes.
// ErrFrame if there is none; io.EOF at a clean end.
func (c *Conn) Read(maxPayload int) (Frame, error) { return readFrame(c.r, maxPayload) }

func readFrame(r io.Reader, maxPayload int) (Frame, error) {
	var head [frameHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return Frame{}, err
	}
	n := binary.LittleEndian.Uint32(head[:])
	if int64(n) > int64(min(maxPayload, MaxFrame)) {
		return Frame{}, fmt.Errorf("%w: payload of %d bytes, at most %d here", ErrFrame, n, min(maxPayload, MaxFrame))
	}
	payload, err := readPayload(r, int(n))
	if err != nil {
		return Frame{}, err
	}
	crc := crc32.Update(crc32.Checksum(head[8:], castagnoli), castagnoli, payload)
	if crc != binary.LittleEndian.Uint32(head[4:]) {
		return Frame{}, fmt.Errorf("%w: checksum", ErrFrame)
	}
	return Frame{Type: head[8], Stream: binary.LittleEndian.Uint32(head[12:]), Payload: payload}, nil
}

// readPayload allocates as the bytes arrive, so that a length alone costs
// nothing.
func readPayload(r io.Reader, n int) ([]byte, error) {
	const step = 1 << 20
	out := make([]byte, 0, min(n, step))
	for len(out) < n {
		from := len(out)
		out = append(out, make([]byte, min(step, n-from))...)
		if _, err := io.ReadFull(r, out[from:]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// SetDeadline bounds reads and writes; the zero time means none.
func (c *Conn) SetDeadline(t time.Time) error { return c.c.SetDeadline(t) }

// SetReadDeadline bounds reads.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.c.SetReadDeadline(t) }

// SetWriteDeadline bounds writes.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.c.SetWriteDeadline(t) }

// Close ends the connection; reads and writes fail.
func (c *Conn) Close() error { return c.c.Close() }

// Send writes one message as a frame of type 0; with Receive, for protocols
// that do their own framing inside. msg may be reused afterwards.
func (c *Conn) Send(msg []byte) error { return c.Write(Frame{Payload: msg}) }

// Receive returns the payload of the next frame; it is the caller's.
func (c *Conn) Receive() ([]byte, error) {
	f, err := c.Read(MaxFrame)
	return f.Payload, err
}
