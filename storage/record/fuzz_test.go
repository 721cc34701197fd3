package record

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/pierrec/lz4/v4"
)

const fuzzLimit = 1 << 18

func seeds(f *testing.F) {
	for _, c := range codecs {
		f.Add(kafkaBatch(f, c, sample()))
		f.Add(build(c, 9, sample()[:1]))
	}
	f.Add(rawBatch(CodecSnappy, sample(), xerial(kafkaRecords(sample()), 64)))
	f.Add(FenceControl("token", 1))
	f.Add(withRecords(1, 16, 0, 0, 0, 1, 1, 2, 1, 1))
}

// oneClass fails unless err is of exactly one class.
func oneClass(t *testing.T, err error) {
	t.Helper()
	if errors.Is(err, ErrCorrupt) == errors.Is(err, ErrInvalid) {
		t.Fatalf("class of %v", err)
	}
}

// FuzzValidate: what Validate accepts, Reader reads to the end, at the offsets
// that the header promises.
func FuzzValidate(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= HeaderLen {
			reseal(b) // else the fuzzer would stop at the CRC
		}
		h, err := Validate(b, Limits{MaxDecompressed: fuzzLimit})
		if err != nil {
			oneClass(t, err)
			return
		}
		var r Reader
		if again, err := r.Reset(b, fuzzLimit); err != nil || again != h {
			t.Fatal(again, err)
		}
		var rec Record
		next := h.BaseOffset
		for r.Next(&rec) {
			if rec.Offset != next {
				t.Fatalf("offset %d, want %d", rec.Offset, next)
			}
			next++
		}
		if r.Err() != nil || next != h.NextOffset() || CheckCRC(b) != nil {
			t.Fatal(r.Err(), next, h.NextOffset())
		}
	})
}

// FuzzReader: on any bytes Reader ends, with rising offsets, and rebuilding
// what it read yields the same records.
func FuzzReader(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Reader
		h, err := r.Reset(b, fuzzLimit)
		if err != nil {
			oneClass(t, err)
			return
		}
		var rec Record
		var read []Record
		out := NewBuilder(CodecNone)
		out.Reset(h.BaseOffset, h.LeaderEpoch)
		for r.Next(&rec) {
			if n := len(read); n > 0 && rec.Offset-h.BaseOffset <= read[n-1].Offset-h.BaseOffset {
				t.Fatalf("offset %d after %d", rec.Offset, read[n-1].Offset)
			}
			read = append(read, rec.Clone())
			out.AppendAt(rec.Offset, rec.Timestamp, rec.Key, rec.Value, rec.Headers)
		}
		if r.Err() != nil {
			oneClass(t, r.Err())
			return
		}
		if len(read) != int(h.Count) {
			t.Fatalf("%d records of %d", len(read), h.Count)
		}
		if h.Count == 0 {
			return
		}
		for i, again := range readAll(t, out.Build(nil)) {
			if !equal(again, read[i]) {
				t.Fatalf("record %d: %+v, was %+v", i, again, read[i])
			}
		}
		_, _, _ = ParseFence(b)
	})
}

func equal(a, b Record) bool {
	same := func(x, y []byte) bool { return bytes.Equal(x, y) && (x == nil) == (y == nil) }
	if a.Offset != b.Offset || a.Timestamp != b.Timestamp || !same(a.Key, b.Key) || !same(a.Value, b.Value) ||
		len(a.Headers) != len(b.Headers) {
		return false
	}
	for i := range a.Headers {
		if a.Headers[i].Key != b.Headers[i].Key || !same(a.Headers[i].Value, b.Headers[i].Value) {
			return false
		}
	}
	return true
}

// FuzzSplit: the pieces are whole, in order, and lose no byte.
func FuzzSplit(f *testing.F) {
	seeds(f)
	f.Add(append(build(CodecNone, 0, sample()), build(CodecGzip, 4, sample())...))
	f.Fuzz(func(t *testing.T, b []byte) {
		rest, total := b, 0
		for {
			batch, next, err := Split(rest)
			if err != nil {
				if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
					oneClass(t, err)
				}
				if len(next) != len(rest) || errors.Is(err, io.EOF) != (len(rest) == 0) {
					t.Fatal(len(rest), err)
				}
				break
			}
			h, err := ParseHeader(batch)
			if err != nil || h.Size() != len(batch) {
				t.Fatal(h, err)
			}
			total += len(batch)
			rest = next
		}
		if total+len(rest) != len(b) {
			t.Fatal("bytes are missing")
		}
	})
}

// FuzzDecompress: our snappy and LZ4 accept nothing that the libraries refuse
// or read differently, and no codec exceeds the limit.
func FuzzDecompress(f *testing.F) {
	for _, c := range codecs[1:] {
		f.Add(byte(c), compress(c, nil, kafkaRecords(sample())))
		f.Add(byte(c), compress(c, nil, bytes.Repeat([]byte("ab"), 70000)))
	}
	f.Add(byte(CodecSnappy), xerial(kafkaRecords(sample()), 100))
	f.Fuzz(func(t *testing.T, c byte, src []byte) {
		codec := Codec(c % 5)
		if codec == CodecNone {
			return
		}
		got, err := decompress(codec, nil, src, fuzzLimit)
		if err != nil {
			oneClass(t, err)
			return
		}
		if len(got) > fuzzLimit {
			t.Fatalf("%s: %d bytes", codec, len(got))
		}
		var want []byte
		switch {
		case codec == CodecSnappy && !bytes.HasPrefix(src, xerialMagic):
			want, err = s2.Decode(nil, src)
		case codec == CodecLZ4:
			want, err = io.ReadAll(lz4.NewReader(bytes.NewReader(src)))
		default:
			return
		}
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%s: %d bytes, the library has %d and %v", codec, len(got), len(want), err)
		}
	})
}
