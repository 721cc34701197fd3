package meta

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
)

// encoder appends fields; the order is the format. Integers are varints.
type encoder struct{ b []byte }

func (e *encoder) u64(v uint64)   { e.b = binary.AppendUvarint(e.b, v) }
func (e *encoder) i64(v int64)    { e.b = binary.AppendVarint(e.b, v) }
func (e *encoder) i32(v int32)    { e.i64(int64(v)) }
func (e *encoder) byte(v byte)    { e.b = append(e.b, v) }
func (e *encoder) id(v ID)        { e.b = append(e.b, v[:]...) }
func (e *encoder) bytes(v []byte) { e.u64(uint64(len(v))); e.b = append(e.b, v...) }
func (e *encoder) str(v string)   { e.u64(uint64(len(v))); e.b = append(e.b, v...) }

func (e *encoder) bool(v bool) {
	if v {
		e.byte(1)
		return
	}
	e.byte(0)
}

func (e *encoder) nodes(v []NodeID) {
	e.u64(uint64(len(v)))
	for _, n := range v {
		e.i32(n)
	}
}

func (e *encoder) assignment(v [][]NodeID) {
	e.u64(uint64(len(v)))
	for _, n := range v {
		e.nodes(n)
	}
}

func (e *encoder) strs(v []string) {
	e.u64(uint64(len(v)))
	for _, s := range v {
		e.str(s)
	}
}

// strMap writes a map in key order, so that equal maps have equal bytes.
func (e *encoder) strMap(m map[string]string) {
	e.u64(uint64(len(m)))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		e.str(k)
		e.str(m[k])
	}
}

// decoder reads fields; the first error sticks and later reads return zeros.
// Counts are bounded by the bytes that are left, so a short input can't make
// it allocate much.
type decoder struct {
	b       []byte
	err     error
	version byte // of a command
}

func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", ErrCorrupt, what)
	}
	d.b = nil
}

func (d *decoder) u64() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail("bad varint")
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) i64() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail("bad varint")
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) i32() int32 {
	v := d.i64()
	if int64(int32(v)) != v {
		d.fail("number out of range")
		return 0
	}
	return int32(v)
}

func (d *decoder) u32() uint32 {
	v := d.u64()
	if uint64(uint32(v)) != v {
		d.fail("number out of range")
		return 0
	}
	return uint32(v)
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail("short")
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *decoder) bool() bool {
	v := d.byte()
	if v > 1 {
		d.fail("bad bool")
	}
	return v == 1
}

func (d *decoder) id() (v ID) {
	if len(d.b) < len(v) {
		d.fail("short id")
		return v
	}
	d.b = d.b[copy(v[:], d.b):]
	return v
}

// take returns the next length-prefixed bytes, shared with the input.
func (d *decoder) take() []byte {
	n := d.u64()
	if n > uint64(len(d.b)) {
		d.fail("length beyond the end")
		return nil
	}
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) bytes() []byte { return slices.Clone(d.take()) }
func (d *decoder) str() string   { return string(d.take()) }

// count reads the number of items that follow, each of at least one byte.
func (d *decoder) count() int {
	n := d.u64()
	if n > uint64(len(d.b)) {
		d.fail("count beyond the end")
		return 0
	}
	return int(n)
}

func (d *decoder) nodes() []NodeID {
	n := d.count()
	if n > MaxReplicas {
		d.fail("too many replicas")
		return nil
	}
	if n == 0 {
		return nil
	}
	v := make([]NodeID, n)
	for i := range v {
		v[i] = d.i32()
	}
	return v
}

func (d *decoder) assignment() [][]NodeID {
	n := d.count()
	if n > MaxPartitions {
		d.fail("too many partitions")
		return nil
	}
	if n == 0 {
		return nil
	}
	v := make([][]NodeID, n)
	for i := range v {
		v[i] = d.nodes()
	}
	return v
}

func (d *decoder) strs() []string {
	n := d.count()
	if n == 0 {
		return nil
	}
	v := make([]string, 0, min(n, 1024))
	for range n {
		v = append(v, d.str())
	}
	return v
}

func (d *decoder) strMap() map[string]string {
	n := d.count()
	if n == 0 {
		return nil
	}
	m := make(map[string]string, min(n, 1024))
	last := ""
	for i := range n {
		k := d.str()
		if i > 0 && k <= last {
			d.fail("keys out of order")
			return nil
		}
		last = k
		m[k] = d.str()
	}
	return m
}

// end is the verdict: everything was read, and well.
func (d *decoder) end() error {
	if d.err == nil && len(d.b) > 0 {
		return fmt.Errorf("%w: %d bytes that this release doesn't know", ErrVersion, len(d.b))
	}
	return d.err
}
