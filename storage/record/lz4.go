package record

import (
	"encoding/binary"
	"errors"
	"math/bits"
	"slices"
	"sync"

	"github.com/pierrec/lz4/v4"
)

// LZ4 frames (format version 1). The frame is parsed here, block by block
// straight into the output, so that memory follows the data; the library
// decodes the blocks.
const (
	lz4Magic = 0x184d2204

	lz4Version         = 0x40
	lz4VersionMask     = 0xc0
	lz4Independent     = 0x20
	lz4BlockChecksum   = 0x10
	lz4ContentSize     = 0x08
	lz4ContentChecksum = 0x04
	lz4DictID          = 0x01

	lz4Stored  = 1 << 31
	lz4History = 64 << 10
)

// Of one compressed byte come at most 255.
const maxLZ4Ratio = 255

var (
	errLZ4Header   = errors.New("malformed frame header")
	errLZ4Block    = errors.New("malformed block")
	errLZ4Checksum = errors.New("checksum mismatch")
	errLZ4Size     = errors.New("content size mismatch")
	errLZ4Tail     = errors.New("bytes after the frame")
)

// lz4Frame is a frame's descriptor.
type lz4Frame struct {
	flags    byte
	maxBlock int
	content  uint64 // with lz4ContentSize
	size     int    // of the header in bytes
}

func parseLZ4Frame(src []byte) (f lz4Frame, err error) {
	if len(src) < 7 || binary.LittleEndian.Uint32(src) != lz4Magic {
		return f, errLZ4Header
	}
	f.flags = src[4]
	block := src[5] >> 4 & 7
	if f.flags&lz4VersionMask != lz4Version || f.flags&lz4DictID != 0 || block < 4 {
		return f, errLZ4Header
	}
	f.maxBlock = 1 << (8 + 2*block)
	f.size = 7
	if f.flags&lz4ContentSize != 0 {
		if f.size += 8; len(src) < f.size {
			return f, errLZ4Header
		}
		f.content = binary.LittleEndian.Uint64(src[6:])
	}
	if byte(xxh32(src[4:f.size-1])>>8) != src[f.size-1] {
		return f, errLZ4Checksum
	}
	return f, nil
}

func unlz4(dst, src []byte, limit int) ([]byte, error) {
	f, err := parseLZ4Frame(src)
	if err != nil {
		return nil, damaged(CodecLZ4, err)
	}
	src = src[f.size:]
	for {
		if len(src) < 4 {
			return nil, damaged(CodecLZ4, errLZ4Block)
		}
		head := binary.LittleEndian.Uint32(src)
		src = src[4:]
		if head == 0 {
			break
		}
		n := int(head &^ lz4Stored)
		tail := 0
		if f.flags&lz4BlockChecksum != 0 {
			tail = 4
		}
		if n > f.maxBlock || n+tail > len(src) {
			return nil, damaged(CodecLZ4, errLZ4Block)
		}
		if tail > 0 && xxh32(src[:n]) != binary.LittleEndian.Uint32(src[n:]) {
			return nil, damaged(CodecLZ4, errLZ4Checksum)
		}
		if dst, err = f.block(dst, src[:n], head&lz4Stored != 0, limit); err != nil {
			return nil, err
		}
		src = src[n+tail:]
	}
	return f.finish(dst, src)
}

// block appends one decompressed block to dst.
func (f *lz4Frame) block(dst, src []byte, stored bool, limit int) ([]byte, error) {
	left := limit - len(dst)
	if stored {
		if len(src) > left {
			return nil, tooLarge(limit)
		}
		return append(grow(dst, len(src), limit), src...), nil
	}
	room := min(f.maxBlock, maxLZ4Ratio*len(src), left)
	dst = grow(dst, room, limit)
	start := len(dst)
	var history []byte
	if f.flags&lz4Independent == 0 {
		history = dst[max(0, start-lz4History):]
	}
	n, err := lz4.UncompressBlockWithDict(src, dst[start:start+room], history)
	if err != nil {
		if room == left {
			return nil, tooLarge(limit)
		}
		return nil, damaged(CodecLZ4, errLZ4Block)
	}
	return dst[:start+n], nil
}

// finish checks what follows the end mark.
func (f *lz4Frame) finish(dst, src []byte) ([]byte, error) {
	if f.flags&lz4ContentSize != 0 && f.content != uint64(len(dst)) {
		return nil, damaged(CodecLZ4, errLZ4Size)
	}
	if f.flags&lz4ContentChecksum != 0 {
		if len(src) < 4 || binary.LittleEndian.Uint32(src) != xxh32(dst) {
			return nil, damaged(CodecLZ4, errLZ4Checksum)
		}
		src = src[4:]
	}
	if len(src) != 0 {
		return nil, damaged(CodecLZ4, errLZ4Tail)
	}
	return dst, nil
}

var lz4Compressors = sync.Pool{New: func() any { return new(lz4.Compressor) }}

// lz4Block is the block size that frames are written with.
const lz4Block = 64 << 10

// appendLZ4 appends src as a frame of independent blocks without checksums,
// as the Java client writes it: the batch has its own.
func appendLZ4(dst, src []byte) []byte {
	c := lz4Compressors.Get().(*lz4.Compressor)
	defer lz4Compressors.Put(c)
	dst = binary.LittleEndian.AppendUint32(dst, lz4Magic)
	desc := [2]byte{lz4Version | lz4Independent, 4 << 4}
	dst = append(dst, desc[0], desc[1], byte(xxh32(desc[:])>>8))
	for len(src) > 0 {
		block := src[:min(len(src), lz4Block)]
		src = src[len(block):]
		at := len(dst)
		// Less room than the block has bytes: if it doesn't fit, store it.
		dst = slices.Grow(dst, 4+len(block))[:at+4+len(block)]
		n, err := c.CompressBlock(block, dst[at+4:at+4+len(block)-1])
		if err != nil || n == 0 {
			n = copy(dst[at+4:], block)
			binary.LittleEndian.PutUint32(dst[at:], uint32(n)|lz4Stored)
		} else {
			binary.LittleEndian.PutUint32(dst[at:], uint32(n))
		}
		dst = dst[:at+4+n]
	}
	return binary.LittleEndian.AppendUint32(dst, 0)
}

// xxh32 is xxHash's 32-bit variant with seed 0.
func xxh32(b []byte) uint32 {
	const (
		p1 = 2654435761
		p2 = 2246822519
		p3 = 3266489917
		p4 = 668265263
		p5 = 374761393
	)
	h := uint32(len(b)) + p5
	if len(b) >= 16 {
		prime := uint32(p1)
		v := [4]uint32{prime + p2, p2, 0, -prime}
		n := uint32(len(b))
		for len(b) >= 16 {
			for i := range v {
				v[i] = bits.RotateLeft32(v[i]+binary.LittleEndian.Uint32(b[4*i:])*p2, 13) * p1
			}
			b = b[16:]
		}
		h = n + bits.RotateLeft32(v[0], 1) + bits.RotateLeft32(v[1], 7) +
			bits.RotateLeft32(v[2], 12) + bits.RotateLeft32(v[3], 18)
	}
	for ; len(b) >= 4; b = b[4:] {
		h = bits.RotateLeft32(h+binary.LittleEndian.Uint32(b)*p3, 17) * p4
	}
	for _, c := range b {
		h = bits.RotateLeft32(h+uint32(c)*p5, 11) * p1
	}
	h = (h ^ h>>15) * p2
	h = (h ^ h>>13) * p3
	return h ^ h>>16
}
