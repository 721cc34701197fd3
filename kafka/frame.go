package kafka

import (
	"encoding/binary"
	"fmt"
	"io"
	"time"
)

// frame is one request as it was read: everything after its length.
type frame struct {
	c      *conn
	b      []byte
	key    int16
	weight int64 // of the listener's memory, until release; 0: released
	own    int64 // of the connection's
}

// peekBytes are the key and the version, which decide how large a frame may
// be before anything is allocated.
const peekBytes = 4

// unpackFactor is how many times its size a decoded request may take: an
// array is allocated when its count is not above the bytes that are left, and
// an element is a struct in memory. Produce requests are not decoded into
// structs.
const unpackFactor = 100

// readFrame waits for the next request and reads it, within the limits.
func (c *conn) readFrame() (*frame, error) {
	if err := c.nc.SetReadDeadline(time.Now().Add(c.k.limits.Idle)); err != nil {
		return nil, err
	}
	if c.draining.Load() { // drain's deadline was overwritten
		return nil, errDrained
	}
	head, err := c.r.Peek(4)
	if err != nil {
		return nil, c.gone(err)
	}
	size := int32(binary.BigEndian.Uint32(head))
	if size < 8 { // a header is longer, and what is not there is not waited for
		return nil, fmt.Errorf("%w: a request of %d bytes", errProtocol, size)
	}
	if head, err = c.r.Peek(4 + peekBytes); err != nil {
		return nil, c.gone(err)
	}
	key := int16(binary.BigEndian.Uint16(head[4:]))
	most := c.k.limits.RequestBytes
	if key == keyProduce {
		most = c.k.limits.FrameBytes
	}
	if int(size) > most {
		return nil, fmt.Errorf("%w: a request of %d bytes with key %d, at most %d are allowed", errProtocol, size, key, most)
	}
	f := &frame{c: c, key: key}
	if err := f.reserve(int64(size)); err != nil {
		return nil, err
	}
	if err := f.read(int(size)); err != nil {
		f.release()
		return nil, c.gone(err)
	}
	return f, nil
}

// reserve waits until the request fits beside the others.
func (f *frame) reserve(size int64) error {
	l := &f.c.k.limits
	own, weight := min(size, l.ConnBytes), size
	if f.key != keyProduce {
		weight *= unpackFactor
	}
	weight = min(weight, l.InFlightBytes)
	if err := f.c.bytes.Acquire(f.c.ctx, own); err != nil {
		return err
	}
	if err := f.c.k.requests.Acquire(f.c.ctx, weight); err != nil {
		f.c.bytes.Release(own)
		return err
	}
	f.own, f.weight = own, weight
	return nil
}

// read reads the frame. Its memory is not reused: a log may keep the batches
// in it.
func (f *frame) read(size int) error {
	if err := f.c.nc.SetReadDeadline(time.Now().Add(f.c.transferTime(size))); err != nil {
		return err
	}
	if f.c.draining.Load() {
		return errDrained
	}
	if _, err := f.c.r.Discard(4); err != nil {
		return err
	}
	f.b = make([]byte, size)
	_, err := io.ReadFull(f.c.r, f.b)
	return err
}

// release gives the request's share back; it may be called repeatedly.
func (f *frame) release() {
	if f.weight > 0 {
		f.c.bytes.Release(f.own)
		f.c.k.requests.Release(f.weight)
		f.own, f.weight = 0, 0
	}
}
