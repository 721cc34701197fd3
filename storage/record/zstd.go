package record

import (
	"errors"
	"sync"

	"github.com/klauspost/compress/zstd"
)

const (
	// maxZstdWindow is the window of the highest level without long-distance
	// matching. It costs no memory: frames are decoded into the output.
	maxZstdWindow = 128 << 20
	// maxZstdBlock is RFC 8878's limit of a block's decompressed size.
	maxZstdBlock = 128 << 10
)

var errZstdBlock = errors.New("malformed block header")

var unzstders = sync.Pool{New: func() any {
	d, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(maxZstdWindow),
		zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		panic("record: zstd options: " + err.Error()) // constants above
	}
	return d
}}

// unzstd never lets the decoder allocate its output: the decoder fails when
// dst is full, and room is made as far as the frames can possibly need it.
func unzstd(dst, src []byte, limit int) ([]byte, error) {
	size, err := measureZstd(src)
	if err != nil {
		return nil, damaged(CodecZstd, err)
	}
	if max(size.least, size.claimed) > uint64(limit) {
		return nil, tooLarge(limit)
	}
	// Room for one block beyond the limit: so it is never for want of room
	// that the decoder fails before it has produced more than the limit.
	most := int(min(size.most, uint64(limit)+maxZstdBlock))
	room := max(maxZstdBlock, 8*len(src), cap(dst))
	if size.claimed > 0 {
		room = int(size.claimed)
	}
	d := unzstders.Get().(*zstd.Decoder)
	defer unzstders.Put(d)
	for {
		room = min(room, most)
		if cap(dst) < room {
			dst = make([]byte, 0, room)
		}
		out, err := d.DecodeAll(src, dst[:0:room])
		switch {
		case len(out) > limit:
			return nil, tooLarge(limit)
		case err == nil:
			return out, nil
		case room == most || len(out) <= room-maxZstdBlock && !errors.Is(err, zstd.ErrDecoderSizeExceeded):
			return nil, damaged(CodecZstd, err)
		}
		room = max(4*room, maxZstdBlock)
	}
}

// zstdSize is what the headers of frames and blocks tell of the output's size.
type zstdSize struct {
	least, most uint64
	claimed     uint64 // sum of the frames' content sizes, where given
}

// measureZstd walks src without decompressing anything.
func measureZstd(src []byte) (size zstdSize, err error) {
	for len(src) > 0 {
		var h zstd.Header
		if err := h.Decode(src); err != nil {
			return size, err
		}
		skip := uint64(h.HeaderSize)
		if h.Skippable {
			skip += uint64(h.SkippableSize)
		}
		if skip > uint64(len(src)) {
			return size, errZstdBlock
		}
		src = src[skip:]
		if h.Skippable {
			continue
		}
		if h.HasFCS {
			if h.FrameContentSize > HardMaxDecompressed {
				size.claimed = HardMaxDecompressed + 1
				return size, nil
			}
			size.claimed += h.FrameContentSize
		}
		if src, err = size.blocks(src); err != nil {
			return size, err
		}
		if h.HasCheckSum {
			if len(src) < 4 {
				return size, errZstdBlock
			}
			src = src[4:]
		}
	}
	return size, nil
}

// blocks adds the blocks of one frame and returns what follows them.
func (s *zstdSize) blocks(src []byte) ([]byte, error) {
	for {
		if len(src) < 3 {
			return nil, errZstdBlock
		}
		head := int(src[0]) | int(src[1])<<8 | int(src[2])<<16
		src = src[3:]
		n := head >> 3
		if n > maxZstdBlock {
			return nil, errZstdBlock
		}
		switch head >> 1 & 3 {
		case 0: // raw
			s.least += uint64(n)
			s.most += uint64(n)
		case 1: // one byte, n times
			s.least += uint64(n)
			s.most += uint64(n)
			n = 1
		case 2: // compressed
			s.most += maxZstdBlock
		default:
			return nil, errZstdBlock
		}
		if n > len(src) {
			return nil, errZstdBlock
		}
		src = src[n:]
		if head&1 != 0 {
			return src, nil
		}
	}
}
