package record

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// Snappy comes raw, one block, from librdkafka and franz-go, and framed by the
// Java library (xerial): magic, two versions of 4 bytes, then blocks, each
// behind its length in 4 bytes.
var xerialMagic = []byte("\x82SNAPPY\x00")

const xerialHeader = 16

// A copy of 3 bytes yields at most 64, so no block grows by more.
const maxSnappyRatio = 22

var (
	errSnappyBlock = errors.New("malformed block")
	errSnappyFrame = errors.New("malformed xerial frame")
)

func unsnappy(dst, src []byte, limit int) ([]byte, error) {
	if !bytes.HasPrefix(src, xerialMagic) {
		return unsnappyBlock(dst, src, limit)
	}
	if len(src) < xerialHeader {
		return nil, damaged(CodecSnappy, errSnappyFrame)
	}
	src = src[xerialHeader:]
	for len(src) > 0 {
		if len(src) < 4 {
			return nil, damaged(CodecSnappy, errSnappyFrame)
		}
		n := binary.BigEndian.Uint32(src)
		src = src[4:]
		if uint64(n) > uint64(len(src)) {
			return nil, damaged(CodecSnappy, errSnappyFrame)
		}
		var err error
		if dst, err = unsnappyBlock(dst, src[:n], limit); err != nil {
			return nil, err
		}
		src = src[n:]
	}
	return dst, nil
}

// unsnappyBlock appends one decompressed block to dst. It is our own because
// the libraries at hand also take extensions that other clients can't read.
func unsnappyBlock(dst, src []byte, limit int) ([]byte, error) {
	size, n := binary.Uvarint(src)
	if n <= 0 || size > uint64(maxSnappyRatio*len(src)) {
		return nil, damaged(CodecSnappy, errSnappyBlock)
	}
	if size > uint64(limit-len(dst)) {
		return nil, tooLarge(limit)
	}
	start := len(dst)
	dst = grow(dst, int(size), limit)[:start+int(size)]
	if !snappyDecode(dst[start:], src[n:]) {
		return nil, damaged(CodecSnappy, errSnappyBlock)
	}
	return dst, nil
}

// snappyDecode fills dst exactly from src.
func snappyDecode(dst, src []byte) bool {
	d := 0
	for len(src) > 0 {
		tag := src[0]
		if tag&3 == 0 {
			length, n := snappyLiteral(src)
			if n == 0 || length > len(src)-n || length > len(dst)-d {
				return false
			}
			d += copy(dst[d:], src[n:n+length])
			src = src[n+length:]
			continue
		}
		var length, offset, n int
		switch tag & 3 {
		case 1:
			if n = 2; len(src) < n {
				return false
			}
			length, offset = 4+int(tag>>2&7), int(tag>>5)<<8|int(src[1])
		case 2:
			if n = 3; len(src) < n {
				return false
			}
			length, offset = 1+int(tag>>2), int(binary.LittleEndian.Uint16(src[1:]))
		case 3:
			if n = 5; len(src) < n {
				return false
			}
			length, offset = 1+int(tag>>2), int(binary.LittleEndian.Uint32(src[1:]))
		}
		if offset < 1 || offset > d || length > len(dst)-d {
			return false
		}
		src = src[n:]
		// Each round copies what is there already, so a short offset repeats.
		for end := d + length; d < end; {
			d += copy(dst[d:end], dst[d-offset:d])
		}
	}
	return d == len(dst)
}

// snappyLiteral decodes the length of a literal and the size of its tag; n is
// 0 if src ends early.
func snappyLiteral(src []byte) (length, n int) {
	x := int(src[0] >> 2)
	if x < 60 {
		return x + 1, 1
	}
	extra := x - 59
	if len(src) < 1+extra {
		return 0, 0
	}
	x = 0
	for i := range extra {
		x |= int(src[1+i]) << (8 * i)
	}
	return x + 1, 1 + extra
}
