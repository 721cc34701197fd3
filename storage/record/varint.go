package record

import "math"

// Longest encodings in bytes.
const (
	maxVarint32 = 5
	maxVarint64 = 10
)

// getVarint decodes a zigzag varint; n is 0 if p ends early or the number has
// more than 64 bits. The one byte case is small enough to be inlined.
func getVarint(p []byte) (v int64, n int) {
	if len(p) > 0 && p[0] < 0x80 {
		return int64(p[0]>>1) ^ -int64(p[0]&1), 1
	}
	return getLongVarint(p)
}

func getLongVarint(p []byte) (v int64, n int) {
	var u uint64
	for i, c := range p {
		if i == maxVarint64-1 && c > 1 {
			return 0, 0
		}
		u |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			return int64(u>>1) ^ -int64(u&1), i + 1
		}
	}
	return 0, 0
}

// getVarint32 is getVarint for numbers of 32 bits in at most 5 bytes.
func getVarint32(p []byte) (v int32, n int) {
	if len(p) > 0 && p[0] < 0x80 {
		return int32(p[0]>>1) ^ -int32(p[0]&1), 1
	}
	v64, n := getLongVarint(p)
	if n > maxVarint32 || v64 < math.MinInt32 || v64 > math.MaxInt32 {
		return 0, 0
	}
	return int32(v64), n
}

// appendVarint appends v, zigzag, in as few bytes as possible.
func appendVarint(b []byte, v int64) []byte {
	u := uint64(v)<<1 ^ uint64(v>>63)
	for u >= 0x80 {
		b = append(b, byte(u)|0x80)
		u >>= 7
	}
	return append(b, byte(u))
}

// varintLen is the number of bytes that appendVarint appends.
func varintLen(v int64) int {
	u := uint64(v)<<1 ^ uint64(v>>63)
	n := 1
	for u >= 0x80 {
		u >>= 7
		n++
	}
	return n
}
