package record

import "fmt"

// maxKeptBuffer is the largest decompression buffer that a Reader keeps for
// the next batch unless that one needs it again.
const maxKeptBuffer = 4 << 20

// Reader iterates the records of one batch after another. The zero value is
// ready. Keep it for many batches: it reuses its decompression buffer and the
// headers' slice. It is not safe for concurrent use.
//
// What Next stores in a Record aliases the batch or, for a compressed batch,
// the Reader's buffer: it is valid until the next Reset, its Headers slice
// until the next Next. Record.Clone outlives both.
type Reader struct {
	h       Header
	rest    []byte // undecoded records
	buf     []byte // of decompressed records
	left    int32  // records not yet read
	last    int32  // offset delta of the last record read, -1 before the first
	err     error
	headers []HeaderKV
	names   internTable
}

// Reset starts with the batch at the start of b; what follows it is ignored.
// maxDecompressed bounds the records' size in bytes when decompressed, 0 or
// less means HardMaxDecompressed. The CRC is not checked. Errors: those
// of ParseHeader, ErrShort, ErrCodec, ErrCount, ErrDecompress, ErrTooLarge;
// Next then returns false.
func (r *Reader) Reset(b []byte, maxDecompressed int) (Header, error) {
	r.rest, r.left, r.last, r.err = nil, 0, -1, nil
	h, err := ParseHeader(b)
	if err == nil {
		err = r.open(&h, b, maxDecompressed)
	}
	if err != nil {
		r.err = err
		return Header{}, err
	}
	r.h = h
	return h, nil
}

func (r *Reader) open(h *Header, b []byte, maxDecompressed int) error {
	if len(b) < h.Size() {
		return fmt.Errorf("%w: %d of the batch's %d", ErrShort, len(b), h.Size())
	}
	packed := b[HeaderLen:h.Size()]
	if codec := h.Codec(); codec != CodecNone && h.Count > 0 {
		if cap(r.buf) > maxKeptBuffer && cap(r.buf)/8 > len(packed) {
			r.buf = nil
		}
		out, err := decompress(codec, r.buf[:0], packed, limitOr(maxDecompressed, HardMaxDecompressed))
		if err != nil {
			return err
		}
		r.buf, packed = out, out
	}
	if err := h.checkCount(len(packed)); err != nil {
		return err
	}
	r.rest, r.left = packed, h.Count
	return nil
}

// checkCount compares the count with the offsets that the batch spans and with
// the size of its records, so that a count can be trusted for allocation.
func (h *Header) checkCount(recordBytes int) error {
	switch {
	case h.Count < 0 || h.LastOffsetDelta < 0 || int64(h.Count) > int64(h.LastOffsetDelta)+1:
		return fmt.Errorf("%w: %d records, last offset delta %d", ErrCount, h.Count, h.LastOffsetDelta)
	case int(h.Count) > recordBytes/minRecord:
		return fmt.Errorf("%w: %d records can't be in %d bytes", ErrCount, h.Count, recordBytes)
	}
	return nil
}

// Next decodes the next record into rec. It returns false after the last one
// and at an error, which Err tells apart.
func (r *Reader) Next(rec *Record) bool {
	if r.left == 0 {
		if len(r.rest) != 0 && r.err == nil && r.h.Count > 0 {
			r.fail(fmt.Errorf("%w: %d bytes after the last record", ErrRecord, len(r.rest)))
		}
		return false
	}
	var f fields
	size := f.parse(r.rest)
	if size == 0 {
		return r.fail(fmt.Errorf("record %d: %w", r.h.Count-r.left, ErrRecord))
	}
	if f.offsetDelta <= r.last || f.offsetDelta > r.h.LastOffsetDelta {
		return r.fail(fmt.Errorf("record %d: %w: offset delta %d after %d, the batch's last is %d",
			r.h.Count-r.left, ErrRecord, f.offsetDelta, r.last, r.h.LastOffsetDelta))
	}
	rec.Headers = nil
	if f.headerCount > 0 {
		if !r.readHeaders(&f) {
			return r.fail(fmt.Errorf("record %d: %w: headers", r.h.Count-r.left, ErrRecord))
		}
		rec.Headers = r.headers
	}
	rec.Offset = r.h.BaseOffset + int64(f.offsetDelta)
	rec.Timestamp = r.h.BaseTimestamp + f.tsDelta
	if r.h.LogAppendTime() {
		rec.Timestamp = r.h.MaxTimestamp
	}
	rec.Key, rec.Value = f.key, f.value
	r.rest = r.rest[size:]
	r.left--
	r.last = f.offsetDelta
	return true
}

// Err is the error that ended the iteration, or nil after a good batch.
func (r *Reader) Err() error { return r.err }

func (r *Reader) fail(err error) bool {
	r.rest, r.left, r.err = nil, 0, err
	return false
}

func (r *Reader) readHeaders(f *fields) bool {
	r.headers = r.headers[:0]
	p := f.headers
	for range f.headerCount {
		key, value, rest, ok := cutHeader(p)
		if !ok {
			return false
		}
		r.headers = append(r.headers, HeaderKV{Key: r.names.intern(key), Value: value})
		p = rest
	}
	return len(p) == 0
}

// internTable remembers recent header names, since the records of a topic
// repeat few of them: a string per header, without an allocation per header.
type internTable struct {
	names [16]string
	next  uint8
}

func (t *internTable) intern(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	for i := range t.names {
		if t.names[i] == string(b) {
			return t.names[i]
		}
	}
	s := string(b)
	t.names[t.next%uint8(len(t.names))] = s
	t.next++
	return s
}
