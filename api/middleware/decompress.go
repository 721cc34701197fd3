package middleware

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

const (
	// decoderWindow bounds the memory that a zstd frame can ask for; it is
	// the least that RFC 8878 wants every decoder to support.
	decoderWindow = 8 << 20
	// freeGrowth is what a compressed body may decompress to before its ratio
	// is looked at.
	freeGrowth = 1 << 20
	// chargeStep is the granularity in which the growing part of a body is
	// charged to admission.
	chargeStep = 64 << 10
)

// body reads a request body of unknown size: one that is chunked, or
// compressed, or both. It counts what came in and what goes out, holds both
// against the route's limit, and charges them to admission as they come.
type body struct {
	src       io.ReadCloser
	coding    coding
	dec       io.Reader // nil: plain, or not begun
	in, out   int64
	limit     int64 // of in and of out; 0: none (a stream)
	ratio     int64
	stream    bool // what was read is not held: a fixed charge covers it
	admission *Admission
	held      *int64 // the Response's
	codecs    *codecs
	srcErr    error // of src
	err       error // of every further Read
}

// Read implements io.Reader. Its errors are this package's, or of the network.
func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if b.coding != identity && b.dec == nil {
		if b.err = b.begin(); b.err != nil {
			return 0, b.err
		}
	}
	var n int
	var err error
	if b.dec == nil {
		n, err = (*source)(b).Read(p)
	} else {
		n, err = b.dec.Read(p)
	}
	b.out += int64(n)
	if refusal := b.judge(); refusal != nil {
		b.err = refusal
		return 0, refusal
	}
	if err != nil {
		b.err = b.explain(err)
	}
	return n, b.err
}

// begin makes the decoder; gzip reads its header here.
func (b *body) begin() error {
	counted := (*source)(b)
	if b.coding == zstdCoding {
		dec, err := b.codecs.zstdReader()
		if err == nil {
			b.dec, err = dec, dec.Reset(counted)
		}
		return b.explain(err)
	}
	dec, ok := b.codecs.gzipReaders.Get().(*gzip.Reader)
	if !ok {
		dec = new(gzip.Reader)
	}
	b.dec = dec
	return b.explain(dec.Reset(counted))
}

func (cs *codecs) zstdReader() (*zstd.Decoder, error) {
	if dec, ok := cs.zstdReaders.Get().(*zstd.Decoder); ok {
		return dec, nil
	}
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(decoderWindow))
}

// judge holds the counts against the limits and charges what was read.
func (b *body) judge() error {
	if b.limit > 0 && b.in > b.limit {
		return &BodyTooLargeError{Limit: b.limit}
	}
	if b.limit > 0 && b.out > b.limit {
		return &DecompressedTooLargeError{Limit: b.limit}
	}
	if b.out > freeGrowth && b.ratio > 0 && b.out > b.in*b.ratio {
		return &DecompressedTooLargeError{Ratio: b.ratio}
	}
	if b.stream || b.out <= *b.held {
		return nil
	}
	more := (b.out - *b.held + chargeStep - 1) / chargeStep * chargeStep
	if err := b.admission.acquire(more); err != nil {
		return err
	}
	*b.held += more
	return nil
}

// explain tells a decoder's complaint from a broken connection, whose error
// the decoder passes on or hides.
func (b *body) explain(err error) error {
	switch {
	case err == nil || errors.Is(err, io.EOF):
		return err
	case b.srcErr != nil && !errors.Is(b.srcErr, io.EOF):
		return b.srcErr
	case b.coding == identity:
		return err
	}
	return fmt.Errorf("%w: %s: %w", ErrInvalidCompression, b.coding, err)
}

// Close gives the decoder back. The server closes the source itself.
func (b *body) Close() error {
	switch dec := b.dec.(type) {
	case *zstd.Decoder:
		if dec.Reset(nil) == nil {
			b.codecs.zstdReaders.Put(dec)
		}
	case *gzip.Reader:
		b.codecs.gzipReaders.Put(dec)
	}
	b.dec = nil
	if b.err == nil {
		b.err = http.ErrBodyReadAfterClose
	}
	return nil
}

// source is the body as sent: what the decoder reads.
type source body

func (s *source) Read(p []byte) (int, error) {
	n, err := s.src.Read(p)
	s.in += int64(n)
	if s.limit > 0 && s.in > s.limit {
		err = &BodyTooLargeError{Limit: s.limit}
	}
	if err != nil {
		s.srcErr = err
	}
	return n, err
}

// codingOf reads Content-Encoding; "identity" and absence are no coding.
func codingOf(encoding string) (coding, error) {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "identity":
		return identity, nil
	case "gzip", "x-gzip":
		return gzipCoding, nil
	case "zstd":
		return zstdCoding, nil
	}
	return identity, fmt.Errorf("%w: %.40q; gzip and zstd are supported, one at a time", ErrUnsupportedEncoding, encoding)
}
