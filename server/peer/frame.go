package peer

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

// kind is what a frame is. A message is a concatenation of frames:
//
//	call    1, id uvarint, method u8, milliseconds left uvarint (0: no limit), payload
//	answer  2, id uvarint, payload
//	refusal 3, id uvarint, payload
//	cancel  4, id uvarint
//
// with each payload behind its length, a uvarint.
type kind uint8

const (
	kindCall kind = iota + 1
	kindAnswer
	kindRefusal
	kindCancel
)

type frame struct {
	kind    kind
	id      uint64
	method  Method
	left    time.Duration // 0: no limit
	payload []byte        // aliases the message
}

func (f *frame) append(dst []byte) []byte {
	dst = append(dst, byte(f.kind))
	dst = binary.AppendUvarint(dst, f.id)
	if f.kind == kindCall {
		dst = append(dst, byte(f.method))
		dst = binary.AppendUvarint(dst, uint64(f.left.Milliseconds()))
	}
	if f.kind != kindCancel {
		dst = binary.AppendUvarint(dst, uint64(len(f.payload)))
		dst = append(dst, f.payload...)
	}
	return dst
}

// decode reads the first frame of b and returns the rest.
func (f *frame) decode(b []byte) (rest []byte, err error) {
	bad := func(what string) ([]byte, error) { return nil, fmt.Errorf("%w: %s", ErrFrame, what) }
	*f = frame{kind: kind(b[0])}
	if f.kind < kindCall || f.kind > kindCancel {
		return bad("unknown kind")
	}
	var n int
	if f.id, n = binary.Uvarint(b[1:]); n <= 0 {
		return bad("id")
	}
	b = b[1+n:]
	if f.kind == kindCancel {
		return b, nil
	}
	if f.kind == kindCall {
		if len(b) == 0 {
			return bad("method")
		}
		f.method = Method(b[0])
		left, n := binary.Uvarint(b[1:])
		if n <= 0 || left > math.MaxInt32 {
			return bad("time left")
		}
		f.left = time.Duration(left) * time.Millisecond
		b = b[1+n:]
	}
	size, n := binary.Uvarint(b)
	if n <= 0 || size > maxPayload || size > uint64(len(b)-n) {
		return bad("payload")
	}
	f.payload = b[n : n+int(size) : n+int(size)]
	return b[n+int(size):], nil
}
