package kafka

import "encoding/binary"

// reader decodes the protocol's primitives from b. After a fault it is bad,
// empty, and everything reads as zero. It allocates nothing that a number on
// the wire asks for.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) fail() {
	r.b, r.bad = nil, true
}

// take cuts n bytes off; nil if there are fewer.
func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.fail()
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) int16() int16 {
	if b := r.take(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (r *reader) int32() int32 {
	if b := r.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (r *reader) uvarint() int {
	n, size := binary.Uvarint(r.b)
	if size <= 0 || size > 5 || n > 1<<31 {
		r.fail()
		return 0
	}
	r.b = r.b[size:]
	return int(n)
}

// length reads the length of a string, bytes or array; -1 is null. wide says
// that the old form has four bytes.
func (r *reader) length(compact, wide bool) int {
	switch {
	case compact:
		return r.uvarint() - 1
	case wide:
		return int(r.int32())
	}
	return int(r.int16())
}

// nullableString reads a string; null reads as empty.
func (r *reader) nullableString(compact bool) string {
	n := r.length(compact, false)
	if n < 0 {
		if n < -1 {
			r.fail()
		}
		return ""
	}
	return string(r.take(n))
}

// nullableBytes reads bytes, which alias the input; nil is null.
func (r *reader) nullableBytes(compact bool) []byte {
	n := r.length(compact, true)
	if n < 0 {
		if n < -1 {
			r.fail()
		}
		return nil
	}
	return r.take(n)
}

// count reads an array's length: null counts as none, and each element has
// least bytes at the least.
func (r *reader) count(compact bool, least int) int {
	n := r.length(compact, true)
	if n < -1 || n > len(r.b)/least {
		r.fail()
		return 0
	}
	return max(n, 0)
}

// tags skips tagged fields (KIP-482): none has a meaning here.
func (r *reader) tags() {
	for range r.count32() {
		r.uvarint()
		r.take(r.uvarint())
		if r.bad {
			return
		}
	}
}

// count32 is a number of tags, each of which has two bytes at the least.
func (r *reader) count32() int {
	n := r.uvarint()
	if n > len(r.b)/2 {
		r.fail()
		return 0
	}
	return n
}
