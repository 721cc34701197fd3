package record

import (
	"bytes"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
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

// grow makes room for n more bytes in dst, doubling its capacity but, if n
// allows, not beyond limit: what is allocated follows what was produced.
func grow(dst []byte, n, limit int) []byte {
	need := len(dst) + n
	if need <= cap(dst) {
		return dst
	}
	out := make([]byte, len(dst), max(need, min(2*cap(dst), limit)))
	copy(out, dst)
	return out
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
			dst = grow(dst, max(1, min(max(512, 4*len(src)), limit+1)-len(dst)), limit+1)
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
