package record

import (
	"fmt"
	"math"
)

// Limits bound what Validate accepts. A field that is 0 or less takes the
// HardMax constant of its name.
type Limits struct {
	MaxBatchBytes   int  // whole batch as stored, Kafka's max.message.bytes
	MaxDecompressed int  // records' bytes after decompression
	MaxRecords      int  // records in a batch
	MaxHeaders      int  // headers of one record
	RequireKey      bool // refuse a null key, as compacted topics must
}

// Limits that apply where no other is set.
const (
	HardMaxBatchBytes   = 128 << 20
	HardMaxDecompressed = 256 << 20
	HardMaxRecords      = 16 << 20
	HardMaxHeaders      = 64 << 10
)

func limitOr(v, hard int) int {
	if v <= 0 {
		return hard
	}
	return v
}

// Validate judges b as exactly one batch from a client: length, magic, CRC,
// count = last offset delta + 1 ≥ 1, a known codec, and records that
// decompress within lim, parse, and have the offset deltas 0..n-1. Flags
// (transactional, control, log append time) are returned, not judged; the
// delete horizon, which reuses the base timestamp, is refused. Every error
// matches ErrCorrupt or ErrInvalid. It allocates nothing that grows with an
// unchecked number.
func Validate(b []byte, lim Limits) (Header, error) {
	h, err := ParseHeader(b)
	if err != nil {
		return Header{}, err
	}
	if most := limitOr(lim.MaxBatchBytes, HardMaxBatchBytes); h.Size() > most {
		return Header{}, fmt.Errorf("%w: batch of %d bytes, the limit is %d", ErrTooLarge, h.Size(), most)
	}
	if err := h.check(b); err != nil {
		return Header{}, err
	}
	if err := h.validate(&lim); err != nil {
		return Header{}, err
	}
	records := b[HeaderLen:]
	if codec := h.Codec(); codec != CodecNone {
		buf := scratch.Get().(*[]byte)
		defer putScratch(buf)
		most := limitOr(lim.MaxDecompressed, HardMaxDecompressed)
		if records, err = decompress(codec, (*buf)[:0], records, most); err != nil {
			return Header{}, err
		}
		*buf = records
	}
	if err := validateRecords(&h, records, &lim); err != nil {
		return Header{}, err
	}
	return h, nil
}

// validate judges what the header alone tells.
func (h *Header) validate(lim *Limits) error {
	switch most := limitOr(lim.MaxRecords, HardMaxRecords); {
	case h.Count < 1 || h.LastOffsetDelta == math.MaxInt32 || h.Count != h.LastOffsetDelta+1:
		return fmt.Errorf("%w: %d records, last offset delta %d", ErrCount, h.Count, h.LastOffsetDelta)
	case int(h.Count) > most:
		return fmt.Errorf("%w: %d records, the limit is %d", ErrTooMany, h.Count, most)
	case !h.Codec().Known():
		return fmt.Errorf("%w: %d", ErrCodec, h.Codec())
	case h.Attributes&bitDeleteHorizon != 0:
		return fmt.Errorf("%w: delete horizon", ErrAttributes)
	case h.ProducerID >= 0 && !h.Control() && (h.BaseSequence < 0 || h.ProducerEpoch < 0):
		return fmt.Errorf("%w: id %d, epoch %d, sequence %d", ErrSequence,
			h.ProducerID, h.ProducerEpoch, h.BaseSequence)
	}
	return nil
}

func validateRecords(h *Header, p []byte, lim *Limits) error {
	if err := h.checkCount(len(p)); err != nil {
		return err
	}
	maxHeaders := limitOr(lim.MaxHeaders, HardMaxHeaders)
	var f fields
	for i := range h.Count {
		size := f.parse(p)
		switch {
		case size == 0:
			return fmt.Errorf("record %d: %w", i, ErrRecord)
		case f.offsetDelta != i:
			return fmt.Errorf("record %d: %w: %d", i, ErrOffsets, f.offsetDelta)
		case f.key == nil && lim.RequireKey:
			return fmt.Errorf("record %d: %w", i, ErrNullKey)
		case f.headerCount > maxHeaders:
			return fmt.Errorf("record %d: %w: %d headers, the limit is %d", i, ErrTooMany, f.headerCount, maxHeaders)
		case f.headerCount > 0 && !f.validHeaders():
			return fmt.Errorf("record %d: %w: headers", i, ErrRecord)
		}
		p = p[size:]
	}
	if len(p) != 0 {
		return fmt.Errorf("%w: %d bytes after the last record", ErrRecord, len(p))
	}
	return nil
}

func (f *fields) validHeaders() bool {
	p := f.headers
	for range f.headerCount {
		var ok bool
		if _, _, p, ok = cutHeader(p); !ok {
			return false
		}
	}
	return len(p) == 0
}
