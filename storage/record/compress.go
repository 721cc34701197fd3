package record

import (
	"slices"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// compress appends the compressed src to dst. codec must be known.
func compress(codec Codec, dst, src []byte) []byte {
	switch codec {
	case CodecGzip:
		return appendGzip(dst, src)
	case CodecSnappy:
		n := s2.MaxEncodedLen(len(src))
		dst = slices.Grow(dst, n)
		return dst[:len(dst)+len(s2.EncodeSnappy(dst[len(dst):len(dst)+n], src))]
	case CodecLZ4:
		return appendLZ4(dst, src)
	case CodecZstd:
		e := zstders.Get().(*zstd.Encoder)
		defer zstders.Put(e)
		return e.EncodeAll(src, dst)
	}
	panic("record: " + codec.String() + " is unknown")
}

// appender is an io.Writer that can't fail.
type appender struct{ b []byte }

func (a *appender) Write(p []byte) (int, error) {
	a.b = append(a.b, p...)
	return len(p), nil
}

type gzipper struct {
	out appender
	z   *gzip.Writer
}

var gzippers = sync.Pool{New: func() any {
	g := new(gzipper)
	g.z = gzip.NewWriter(&g.out)
	return g
}}

func appendGzip(dst, src []byte) []byte {
	g := gzippers.Get().(*gzipper)
	g.out.b = dst
	g.z.Reset(&g.out)
	_, err := g.z.Write(src)
	if err == nil {
		err = g.z.Close()
	}
	if err != nil {
		panic("record: gzip into memory: " + err.Error()) // appender can't fail
	}
	dst, g.out.b = g.out.b, nil
	gzippers.Put(g)
	return dst
}

var zstders = sync.Pool{New: func() any {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true),
		zstd.WithEncoderCRC(false))
	if err != nil {
		panic("record: zstd options: " + err.Error()) // constants above
	}
	return e
}}
