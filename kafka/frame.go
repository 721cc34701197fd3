package kafka

import (
	"encoding/binary"
	"fmt"
	"time"
)

// frame is one request as it was read: everything after its length.
type frame struct {
	c       *conn
	b       []byte
	key     int16
	own     int64 // of the connection's bytes in flight, until release
	weight  int64 // of room.requests, until release
	decoded int64 // of room.decoded, until release
}

// peekBytes are the key and the version, which decide how large a frame may
// be before anything is allocated.
const peekBytes = 4

// unpackFactor is how many times its size a request may take while it is
// decoded: an array is allocated when its count is not above the bytes that
// are left, and an element is a struct in memory. Of one that was decoded
// keepFactor is the bound: its elements were there. Produce requests are not
// decoded into structs.
const (
	unpackFactor = 100
	keepFactor   = 16
)

// largeFrame is the size from which frames wait for each other before they
// wait with the small ones.
const largeFrame = 1 << 20

// readFrame waits for the next request and reads it, within the limits.
func (c *conn) readFrame() (*frame, error) {
	if err := c.readWithin(c.k.limits.Idle); err != nil {
		return nil, err
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
	if err := f.read(int(size)); err != nil {
		f.release()
		return nil, c.gone(err)
	}
	return f, nil
}

// read reads the frame once there is room for it. Its memory is not reused: a
// log may keep the batches in it.
func (f *frame) read(size int) error {
	c := f.c
	if 4+size <= readBuffer {
		// It comes into the connection's own buffer: what does not come takes
		// no room from the others.
		if err := c.readWithin(c.transferTime(size)); err != nil {
			return err
		}
		if _, err := c.r.Peek(4 + size); err != nil {
			return err
		}
	}
	f.own = min(int64(size), c.k.limits.ConnBytes)
	if err := c.bytes.Acquire(c.ctx, f.own); err != nil {
		f.own = 0
		return err
	}
	if size >= largeFrame {
		large := min(int64(size), max(c.k.limits.InFlightBytes/2, 1))
		if err := c.k.take(c.ctx, c.k.room.large, large); err != nil {
			return err
		}
		defer c.k.room.large.Release(large)
	}
	weight := min(int64(size), c.k.limits.InFlightBytes)
	if err := c.k.take(c.ctx, c.k.room.requests, weight); err != nil {
		return err
	}
	f.weight = weight
	c.in.begin()
	defer c.in.end()
	if err := c.readWithin(c.transferTime(size)); err != nil {
		return err
	}
	if _, err := c.r.Discard(4); err != nil {
		return err
	}
	f.b = make([]byte, size)
	for rest := f.b; len(rest) > 0; {
		n, err := c.r.Read(rest)
		if err != nil {
			return err
		}
		c.in.moved.Add(int64(n))
		rest = rest[n:]
	}
	return nil
}

// decode runs fn, which decodes the frame, within the room that it may take.
func (f *frame) decode(fn func() error) error {
	l := f.c.k
	most := min(int64(len(f.b))*unpackFactor, l.limits.InFlightBytes)
	if err := l.take(f.c.ctx, l.room.decoded, most); err != nil {
		return err
	}
	err := fn()
	f.decoded = min(int64(len(f.b))*keepFactor, most)
	l.room.decoded.Release(most - f.decoded)
	return err
}

// release gives the request's share back; it may be called repeatedly.
func (f *frame) release() {
	f.c.bytes.Release(f.own)
	f.c.k.room.requests.Release(f.weight)
	f.c.k.room.decoded.Release(f.decoded)
	f.own, f.weight, f.decoded = 0, 0, 0
}

// readWithin bounds the reads that follow, unless the connection drains: then
// there are none.
func (c *conn) readWithin(d time.Duration) error {
	c.deadline.Lock()
	defer c.deadline.Unlock()
	if c.draining.Load() {
		return errDrained
	}
	return c.nc.SetReadDeadline(time.Now().Add(d))
}
