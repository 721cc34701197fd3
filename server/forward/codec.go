package forward

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"go.opentelemetry.io/otel/trace"

	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/storage/plog"
	"github.com/chroniklog/chronik/storage/record"
)

// ErrMalformed: a request or an answer can't be decoded.
var ErrMalformed = errors.New("malformed forwarded request")

// maxHeaders bounds a record's headers before they are allocated.
const maxHeaders = 4096

// encoder appends the fields of a message.
type encoder struct{ b []byte }

// call begins a request: the partition, and the trace that it belongs to.
func call(ctx context.Context, id plog.ID) *encoder {
	e := &encoder{b: make([]byte, 0, 256)}
	e.b = append(e.b, id.Topic[:]...)
	e.i64(int64(id.Partition))
	sc := trace.SpanContextFromContext(ctx)
	e.bool(sc.IsValid())
	if sc.IsValid() {
		t, s := sc.TraceID(), sc.SpanID()
		e.b = append(append(append(e.b, t[:]...), s[:]...), byte(sc.TraceFlags()))
	}
	return e
}

func (e *encoder) i64(v int64) { e.b = binary.AppendVarint(e.b, v) }

func (e *encoder) bool(v bool) {
	if v {
		e.b = append(e.b, 1)
	} else {
		e.b = append(e.b, 0)
	}
}

// bytes keeps nil and empty apart.
func (e *encoder) bytes(v []byte) {
	if v == nil {
		e.b = append(e.b, 0)
		return
	}
	e.b = binary.AppendUvarint(e.b, uint64(len(v))+1)
	e.b = append(e.b, v...)
}

func (e *encoder) str(s string) {
	e.b = binary.AppendUvarint(e.b, uint64(len(s))+1)
	e.b = append(e.b, s...)
}

func (e *encoder) opt(s *string) {
	e.bool(s != nil)
	if s != nil {
		e.str(*s)
	}
}

func (e *encoder) conditions(c *partition.Conditions) {
	plain := *c == partition.NoConditions
	e.bool(plain)
	if plain {
		return
	}
	e.i64(c.ExpectOffset)
	e.i64(c.IfKeyOffset)
	e.bool(c.IfKeyAbsent)
	e.opt(c.Fence)
}

func (e *encoder) offsets(o *partition.Offsets) {
	e.i64(o.LogStart)
	e.i64(o.HighWatermark)
	e.i64(o.LastStable)
	e.i64(o.LogEnd)
	e.i64(int64(o.LeaderEpoch))
}

func (e *encoder) appended(a *partition.Appended) {
	e.i64(a.Offset)
	e.i64(a.LastOffset)
	e.i64(a.Timestamp)
	e.bool(a.Duplicate)
	e.i64(int64(a.LeaderEpoch))
	e.i64(a.LogStart)
}

func (e *encoder) record(r *partition.RecordAppend) {
	e.bytes(r.Key)
	e.bytes(r.Value)
	e.i64(int64(len(r.Headers)))
	for i := range r.Headers {
		e.str(r.Headers[i].Key)
		e.bytes(r.Headers[i].Value)
	}
	e.i64(r.Timestamp)
	e.i64(int64(r.Acks))
	e.conditions(&r.Cond)
	e.bool(r.Producer != nil)
	if p := r.Producer; p != nil {
		e.i64(p.ID)
		e.i64(int64(p.Epoch))
		e.i64(int64(p.Seq))
	}
	e.str(r.IdempotencyKey)
	e.b = append(e.b, r.BodyHash[:]...)
	e.i64(int64(r.Pin))
}

// decoder reads fields; after the first error everything is zero.
type decoder struct {
	b   []byte
	err error
}

// fail notes an error and stops.
func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", ErrMalformed, what)
	}
	d.b = nil
}

// called reads what call wrote.
func (d *decoder) called(ctx context.Context) (context.Context, plog.ID) {
	var id plog.ID
	copy(id.Topic[:], d.take(16))
	id.Partition = int32(d.i64())
	if !d.bool() {
		return ctx, id
	}
	var c trace.SpanContextConfig
	copy(c.TraceID[:], d.take(16))
	copy(c.SpanID[:], d.take(8))
	if f := d.take(1); f != nil {
		c.TraceFlags = trace.TraceFlags(f[0])
	}
	c.Remote = true
	return trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(c)), id
}

func (d *decoder) take(n int) []byte {
	if n < 0 || len(d.b) < n {
		d.fail("it ends too early")
		return nil
	}
	out := d.b[:n:n]
	d.b = d.b[n:]
	return out
}

func (d *decoder) i64() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail("bad number")
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) bool() bool {
	b := d.take(1)
	if b == nil {
		return false
	}
	if b[0] > 1 {
		d.fail("bad flag")
	}
	return b[0] == 1
}

// bytes aliases the message.
func (d *decoder) bytes() []byte {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || v > uint64(len(d.b)-n)+1 {
		d.fail("bad length")
		return nil
	}
	d.b = d.b[n:]
	if v == 0 {
		return nil
	}
	return d.take(int(v - 1))
}

func (d *decoder) str() string { return string(d.bytes()) }

func (d *decoder) opt() *string {
	if !d.bool() {
		return nil
	}
	s := d.str()
	return &s
}

func (d *decoder) conditions() partition.Conditions {
	if d.bool() {
		return partition.NoConditions
	}
	return partition.Conditions{
		ExpectOffset: d.i64(), IfKeyOffset: d.i64(), IfKeyAbsent: d.bool(), Fence: d.opt(),
	}
}

func (d *decoder) offsets() partition.Offsets {
	return partition.Offsets{
		LogStart: d.i64(), HighWatermark: d.i64(), LastStable: d.i64(), LogEnd: d.i64(),
		LeaderEpoch: int32(d.i64()),
	}
}

func (d *decoder) appended() partition.Appended {
	return partition.Appended{
		Offset: d.i64(), LastOffset: d.i64(), Timestamp: d.i64(), Duplicate: d.bool(),
		LeaderEpoch: int32(d.i64()), LogStart: d.i64(),
	}
}

// record aliases the message.
func (d *decoder) record() (r partition.RecordAppend) {
	r.Key, r.Value = d.bytes(), d.bytes()
	n := d.i64()
	if n < 0 || n > maxHeaders || n > int64(len(d.b)) {
		d.fail("too many headers")
		return r
	}
	if n > 0 {
		r.Headers = make([]record.HeaderKV, n)
	}
	for i := range r.Headers {
		r.Headers[i] = record.HeaderKV{Key: d.str(), Value: d.bytes()}
	}
	r.Timestamp, r.Acks, r.Cond = d.i64(), partition.Acks(d.i64()), d.conditions()
	if d.bool() {
		r.Producer = &partition.ProducerSeq{ID: d.i64(), Epoch: int16(d.i64()), Seq: int32(d.i64())}
	}
	r.IdempotencyKey = d.str()
	copy(r.BodyHash[:], d.take(len(r.BodyHash)))
	r.Pin = partition.Pin(d.i64())
	return r
}

// end requires that nothing is left.
func (d *decoder) end() error {
	if d.err == nil && len(d.b) != 0 {
		d.fail("bytes left over")
	}
	return d.err
}
