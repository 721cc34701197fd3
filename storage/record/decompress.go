package record

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// scratch holds Validate's decompression buffers between calls.
var scratch = sync.Pool{New: func() any { return new([]byte) }}

func putScratch(b *[]byte) {
	if cap(*b) <= maxKeptBuffer {
		scratch.Put(b)
	}
}

// decompress appends the decompressed src to dst, which is empty but may have
// capacity, and returns it. The result has at most limit bytes. Errors:
// ErrCodec, ErrTooLarge, ErrDecompress.
func decompress(codec Codec, dst, src []byte, limit int) ([]byte, error) {
	switch codec {
	case CodecGzip:
		return ungzip(dst, src, limit)
	case CodecSnappy:
		return unsnappy(dst, src, limit)
	case CodecLZ4:
		return unlz4(dst, src, limit)
	case CodecZstd:
		return unzstd(dst, src, limit)
	}
	return nil, fmt.Errorf("%w: %d", ErrCodec, codec)
}

func tooLarge(limit int) error {
	return fmt.Errorf("%w: records decompress to more than %d bytes", ErrTooLarge, limit)
}

func damaged(codec Codec, why any) error {
	return fmt.Errorf("%w (%s): %v", ErrDecompress, codec, why)
}

type gunzipper struct {
	src bytes.Reader
	z   gzip.Reader
}

var gunzippers = sync.Pool{New: func() any { return new(gunzipper) }}

func ungzip(dst, src []byte, limit int) ([]byte, error) {
	g := gunzippers.Get().(*gunzipper)
	defer func() {
		g.src.Reset(nil)
		gunzippers.Put(g)
	}()
	g.src.Reset(src)
	if err := g.z.Reset(&g.src); err != nil {
		return nil, damaged(CodecGzip, err)
	}
	for {
		if len(dst) == cap(dst) {
			// Doubling from a modest guess: memory follows what was produced.
			more := max(512, len(dst), 4*len(src)-len(dst))
			dst = slices.Grow(dst, min(more, limit+1-len(dst)))
		}
		n, err := g.z.Read(dst[len(dst):min(cap(dst), limit+1)])
		dst = dst[:len(dst)+n]
		switch {
		case len(dst) > limit:
			return nil, tooLarge(limit)
		case err == io.EOF:
			return dst, nil
		case err != nil:
			return nil, damaged(CodecGzip, err)
		}
	}
}

// maxZstdWindow is the window of the highest level without long-distance
// matching. It costs no memory: frames are decoded into the output.
const maxZstdWindow = 128 << 20

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

func unzstd(dst, src []byte, limit int) ([]byte, error) {
	d := unzstders.Get().(*zstd.Decoder)
	defer unzstders.Put(d)
	// The decoder never grows its output, it fails when that is full. So the
	// frame's claim of a size isn't trusted: room grows as it proves needed.
	room := max(4*len(src), 4096, cap(dst))
	for {
		room = min(room, limit)
		if cap(dst) < room {
			dst = make([]byte, 0, room)
		}
		out, err := d.DecodeAll(src, dst[:0:room])
		switch {
		case err == nil:
			return out, nil
		case !errors.Is(err, zstd.ErrDecoderSizeExceeded):
			return nil, damaged(CodecZstd, err)
		case room == limit:
			return nil, tooLarge(limit)
		}
		room *= 4
	}
}
