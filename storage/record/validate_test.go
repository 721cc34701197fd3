package record

import (
	"encoding/binary"
	"errors"
	"testing"
)

func TestValidateTakesWhatFranzGoMakes(t *testing.T) {
	for _, c := range codecs {
		b := kafkaBatch(t, c, sample())
		h, err := Validate(b, Limits{MaxBatchBytes: len(b), MaxRecords: 4, MaxHeaders: 3, MaxDecompressed: 4096})
		if err != nil {
			t.Errorf("%s: %v", c, err)
			continue
		}
		if want, _ := ParseHeader(b); h != want || h.Count != 4 || h.Codec() != c {
			t.Errorf("%s: %+v", c, h)
		}
	}
}

// edit changes the records of the uncompressed sample and seals it anew.
func edit(f func(b []byte)) []byte {
	b := build(CodecNone, 0, sample())
	f(b)
	return reseal(b)
}

// withRecords is a batch that says it has n records, and has body.
func withRecords(n int, body ...byte) []byte {
	return rawBatch(CodecNone, make([]Record, n), body)
}

func TestValidateRefuses(t *testing.T) {
	good := build(CodecNone, 0, sample())
	put32 := func(at int, v int32) []byte {
		return edit(func(b []byte) { binary.BigEndian.PutUint32(b[at:], uint32(v)) })
	}
	tests := []struct {
		name string
		b    []byte
		lim  Limits
		want error
	}{
		{"cut", good[:len(good)-1], Limits{}, ErrShort},
		{"bytes after it", append(good[:len(good):len(good)], 0), Limits{}, ErrLength},
		{"bit flip", change(good, 80, good[80]^1), Limits{}, ErrCRC},
		{"old format", change(good, 16, 1), Limits{}, ErrMagic},
		{"batch too large", good, Limits{MaxBatchBytes: len(good) - 1}, ErrTooLarge},
		{"too many records", good, Limits{MaxRecords: 3}, ErrTooMany},
		{"too many headers", good, Limits{MaxHeaders: 2}, ErrTooMany},
		{"null key", good, Limits{RequireKey: true}, ErrNullKey},
		{"no records", put32(atCount, 0), Limits{}, ErrCount},
		{"negative count", put32(atCount, -1), Limits{}, ErrCount},
		{"count above the delta", put32(atCount, 5), Limits{}, ErrCount},
		{"delta above the count", put32(atLastOffsetDelta, 4), Limits{}, ErrCount},
		{"count and delta wrap", edit(func(b []byte) {
			binary.BigEndian.PutUint32(b[atLastOffsetDelta:], 0x7fffffff)
			binary.BigEndian.PutUint32(b[atCount:], 0x80000000)
		}), Limits{}, ErrCount},
		{"count beyond the bytes", edit(func(b []byte) {
			binary.BigEndian.PutUint32(b[atLastOffsetDelta:], 16<<20-1)
			binary.BigEndian.PutUint32(b[atCount:], 16<<20)
		}), Limits{}, ErrCount},
		{"one record more than there is", edit(func(b []byte) {
			b[atLastOffsetDelta+3]++
			b[atCount+3]++
		}), Limits{}, ErrRecord},
		{"one record less than there is", edit(func(b []byte) {
			b[atLastOffsetDelta+3]--
			b[atCount+3]--
		}), Limits{}, ErrRecord},
		{"codec 5", edit(func(b []byte) { b[atAttributes+1] = 5 }), Limits{}, ErrCodec},
		{"delete horizon", edit(func(b []byte) { b[atAttributes+1] = 0x40 }), Limits{}, ErrAttributes},
		{"producer without sequence", edit(func(b []byte) {
			binary.BigEndian.PutUint64(b[atProducerID:], 9)
		}), Limits{}, ErrSequence},
		{"says gzip, is plain", edit(func(b []byte) { b[atAttributes+1] = 1 }), Limits{}, ErrDecompress},
		{"says snappy, is plain", edit(func(b []byte) { b[atAttributes+1] = 2 }), Limits{}, ErrDecompress},
		{"says lz4, is plain", edit(func(b []byte) { b[atAttributes+1] = 3 }), Limits{}, ErrDecompress},
		{"says zstd, is plain", edit(func(b []byte) { b[atAttributes+1] = 4 }), Limits{}, ErrDecompress},
		{"first offset delta 1", withRecords(1, 12, 0, 0, 2, 1, 1, 0), Limits{}, ErrOffsets},
		{"offset delta twice", withRecords(2, 12, 0, 0, 0, 1, 1, 0, 12, 0, 0, 0, 1, 1, 0), Limits{}, ErrOffsets},
		{"record length beyond the batch", withRecords(1, 14, 0, 0, 0, 1, 1, 0), Limits{}, ErrRecord},
		{"record length too short", withRecords(1, 10, 0, 0, 0, 1, 1, 0), Limits{}, ErrRecord},
		{"negative record length", withRecords(1, 1, 0, 0, 0, 1, 1, 0), Limits{}, ErrRecord},
		{"byte after the headers", withRecords(1, 14, 0, 0, 0, 1, 1, 0, 0), Limits{}, ErrRecord},
		{"key length -2", withRecords(1, 12, 0, 0, 0, 3, 1, 0), Limits{}, ErrRecord},
		{"key beyond the record", withRecords(1, 12, 0, 0, 0, 126, 1, 0), Limits{}, ErrRecord},
		{"value beyond the record", withRecords(1, 12, 0, 0, 0, 1, 126, 0), Limits{}, ErrRecord},
		{"negative header count", withRecords(1, 12, 0, 0, 0, 1, 1, 1), Limits{}, ErrRecord},
		{"headers that are not there", withRecords(1, 12, 0, 0, 0, 1, 1, 2), Limits{}, ErrRecord},
		{"null header key", withRecords(1, 16, 0, 0, 0, 1, 1, 2, 1, 1), Limits{}, ErrRecord},
		{"byte after the last header", withRecords(1, 18, 0, 0, 0, 1, 1, 2, 0, 1, 0), Limits{}, ErrRecord},
	}
	for _, tt := range tests {
		h, err := Validate(tt.b, tt.lim)
		if !errors.Is(err, tt.want) || h != (Header{}) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
		if errors.Is(err, ErrCorrupt) == errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v must be of exactly one class", tt.name, err)
		}
	}
	if _, err := Validate(withRecords(1, 12, 0, 0, 0, 1, 1, 0), Limits{}); err != nil {
		t.Error("the least record, which the cases above vary:", err)
	}
}

func TestValidateReturnsFlagsUnjudged(t *testing.T) {
	b := edit(func(b []byte) {
		b[atAttributes+1] = bitControl | bitTransactional | bitLogAppendTime
		binary.BigEndian.PutUint64(b[atProducerID:], 9)
	})
	h, err := Validate(b, Limits{})
	if err != nil || !h.Control() || !h.Transactional() || !h.LogAppendTime() || h.ProducerID != 9 {
		t.Error(h, err)
	}
}

func TestValidateDoesNotAllocate(t *testing.T) {
	if raced {
		t.Skip("allocations differ under the race detector")
	}
	for _, c := range []Codec{CodecNone, CodecSnappy, CodecLZ4, CodecGzip} {
		b := build(c, 0, sample())
		if n := testing.AllocsPerRun(100, func() {
			if _, err := Validate(b, Limits{}); err != nil {
				t.Fatal(err)
			}
		}); n >= 1 && c == CodecNone || n > 2 {
			t.Errorf("%s: %v allocations", c, n)
		}
	}
}
