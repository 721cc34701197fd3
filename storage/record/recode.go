package record

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Recode makes of a batch that Validate has let pass one whose records are
// compressed with codec, which must be known; nothing else of it changes. The
// result does not alias b. maxDecompressed is as in Limits. Errors: those of
// ParseHeader, ErrShort, ErrCodec, ErrDecompress, ErrTooLarge.
func Recode(b []byte, codec Codec, maxDecompressed int) ([]byte, Header, error) {
	h, err := ParseHeader(b)
	if err != nil {
		return nil, Header{}, err
	}
	if len(b) < h.Size() {
		return nil, Header{}, fmt.Errorf("%w: %d of the batch's %d", ErrShort, len(b), h.Size())
	}
	records := b[HeaderLen:h.Size()]
	if from := h.Codec(); from != CodecNone {
		buf := scratch.Get().(*[]byte)
		defer putScratch(buf)
		if records, err = decompress(from, (*buf)[:0], records, limitOr(maxDecompressed, HardMaxDecompressed)); err != nil {
			return nil, Header{}, err
		}
		*buf = records
	}
	var out []byte
	if codec == CodecNone {
		out = append(make([]byte, HeaderLen, HeaderLen+len(records)), records...)
	} else {
		out = compress(codec, make([]byte, HeaderLen, HeaderLen+len(records)/2), records)
	}
	if len(out) > math.MaxInt32 {
		return nil, Header{}, fmt.Errorf("%w: batch of %d bytes", ErrTooLarge, len(out))
	}
	h.Length = int32(len(out) - LogOverhead)
	h.Attributes = h.Attributes&^codecMask | int16(codec)
	h.put(out)
	h.CRC = checksum(out)
	binary.BigEndian.PutUint32(out[atCRC:], h.CRC)
	return out, h, nil
}
