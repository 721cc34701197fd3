package middleware

import (
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// leastEncoded is the size below which an answer is not compressed.
const leastEncoded = 1024

// encoderWindow bounds the memory of one zstd encoder.
const encoderWindow = 512 << 10

// coding is a content coding that the node writes.
type coding uint8

const (
	identity coding = iota
	gzipCoding
	zstdCoding
)

func (c coding) String() string {
	switch c {
	case gzipCoding:
		return "gzip"
	case zstdCoding:
		return "zstd"
	}
	return "identity"
}

// encoder is what *gzip.Writer and *zstd.Encoder have in common.
type encoder interface {
	io.WriteCloser
	Flush() error
	Reset(io.Writer)
}

// codecs pools encoders and decoders, whose tables are hundreds of kilobytes.
// The zero value is ready.
type codecs struct {
	gzipWriters, zstdWriters, gzipReaders, zstdReaders sync.Pool
}

// encoder makes or reuses an encoder of c that writes to w.
func (cs *codecs) encoder(c coding, w io.Writer) encoder {
	pool := &cs.gzipWriters
	if c == zstdCoding {
		pool = &cs.zstdWriters
	}
	if enc, ok := pool.Get().(encoder); ok {
		enc.Reset(w)
		return enc
	}
	if c == zstdCoding {
		enc, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1),
			zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(encoderWindow))
		if err != nil {
			panic(err) // the options are constants
		}
		return enc
	}
	enc, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		panic(err) // the level is a constant
	}
	return enc
}

// recycle takes an encoder back.
func (cs *codecs) recycle(c coding, enc encoder) {
	enc.Reset(io.Discard)
	if c == zstdCoding {
		cs.zstdWriters.Put(enc)
		return
	}
	cs.gzipWriters.Put(enc)
}

// negotiate picks the coding of an answer from Accept-Encoding: the one with
// the highest weight, zstd before gzip (RFC 9110, 12.5.3).
func negotiate(accept string) coding {
	if accept == "" {
		return identity
	}
	best, bestQ := identity, 0.0
	for part := range strings.SplitSeq(accept, ",") {
		name, params, _ := strings.Cut(part, ";")
		var c coding
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "zstd":
			c = zstdCoding
		case "gzip", "x-gzip":
			c = gzipCoding
		default:
			continue // "*" too: who wants a coding names it
		}
		if q := weight(params); q > bestQ || q == bestQ && q > 0 && c > best {
			best, bestQ = c, q
		}
	}
	return best
}

// weight reads ";q=0.5"; 1 when absent, 0 when malformed.
func weight(params string) float64 {
	_, value, found := strings.Cut(params, "=")
	if !found {
		return 1
	}
	q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	if err != nil || q < 0 || q > 1 {
		return 0
	}
	return q
}

// compressible tells media types that shrink. Record batches carry their own
// compression; event streams are small pieces that must not wait.
func compressible(mediaType string) bool {
	mediaType, _, _ = strings.Cut(mediaType, ";")
	mediaType = strings.TrimSpace(mediaType)
	switch mediaType {
	case "application/json", "application/x-ndjson", "application/problem+json",
		"application/javascript", "application/openmetrics-text", "image/svg+xml":
		return true
	case "text/event-stream":
		return false
	}
	return strings.HasPrefix(mediaType, "text/") || strings.HasSuffix(mediaType, "+json")
}

// encodedTag marks an ETag with the coding of its representation.
func encodedTag(tag string, c coding) string {
	if !strings.HasSuffix(tag, `"`) {
		return tag
	}
	return tag[:len(tag)-1] + "-" + c.String() + `"`
}

// plainTags takes the marks of encodedTag out of a condition, so that handlers
// compare what they wrote.
func plainTags(condition string) string {
	condition = strings.ReplaceAll(condition, `-gzip"`, `"`)
	return strings.ReplaceAll(condition, `-zstd"`, `"`)
}
