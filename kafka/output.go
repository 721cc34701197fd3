package kafka

import (
	"encoding/binary"
	"net"
)

// maxKeptBuffer bounds what a pooled output keeps.
const maxKeptBuffer = 64 << 10

// output is an answer in the making: bytes that were built, with records that
// the log owns set in between. Outputs are pooled; an idle connection has none.
type output struct {
	buf    []byte
	cuts   []cut
	parts  net.Buffers
	size   int // of the records
	held   int64
	silent bool // there is no answer (acks=0)
}

// cut says that records stand after the first at bytes of the output's own.
type cut struct {
	at      int
	records []byte
}

// begin writes what stands before every answer: the length, which finish
// fills in, the correlation id and, for flexible versions, no tags. The answer
// to ApiVersions never has tags: a client reads it before it knows whether the
// node has them (KIP-511).
func (o *output) begin(c *call) {
	o.buf = binary.BigEndian.AppendUint32(o.buf[:0], 0)
	o.buf = binary.BigEndian.AppendUint32(o.buf, uint32(c.correlation))
	if c.api.key != keyApiVersions && c.version >= c.api.flexible {
		o.buf = append(o.buf, 0)
	}
}

// records sets read-only bytes of the log behind what was written so far.
func (o *output) records(b []byte) {
	if len(b) > 0 {
		o.cuts = append(o.cuts, cut{at: len(o.buf), records: b})
		o.size += len(b)
	}
}

// finish fills in the length and returns the answer in pieces.
func (o *output) finish() (parts *net.Buffers, size int) {
	size = len(o.buf) + o.size
	binary.BigEndian.PutUint32(o.buf, uint32(size-4))
	o.parts = o.parts[:0]
	from := 0
	for _, c := range o.cuts {
		o.parts = append(o.parts, o.buf[from:c.at], c.records)
		from = c.at
	}
	o.parts = append(o.parts, o.buf[from:])
	parts = &net.Buffers{}
	*parts = o.parts // WriteTo moves its own copy of the slice
	return parts, size
}

// release gives the answer's share of memory back.
func (o *output) release(k *Listener) {
	if o.held > 0 {
		k.room.answers.Release(o.held)
		o.held = 0
	}
}

// reset forgets everything that belongs to the log.
func (o *output) reset() {
	clear(o.cuts)
	clear(o.parts[:cap(o.parts)])
	o.cuts, o.parts, o.size, o.silent = o.cuts[:0], o.parts[:0], 0, false
	if cap(o.buf) > maxKeptBuffer {
		o.buf = nil
	}
}
