package record

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// blobs are inputs of several shapes and sizes around the codecs' blocks.
func blobs() [][]byte {
	rng := rand.New(rand.NewPCG(1, 2))
	var out [][]byte
	for _, n := range []int{0, 1, 11, 12, 13, 100, 4095, 65535, 65536, 65537, 300_000} {
		noise := make([]byte, n)
		for i := range noise {
			noise[i] = byte(rng.Uint32())
		}
		text := make([]byte, n)
		for i := range text {
			text[i] = byte('a' + rng.IntN(4))
		}
		out = append(out, noise, text, bytes.Repeat([]byte{7}, n))
	}
	return out
}

func TestCompressRoundTrip(t *testing.T) {
	for _, c := range codecs[1:] {
		for _, want := range blobs() {
			packed := compress(c, []byte("prefix"), want)
			if string(packed[:6]) != "prefix" {
				t.Fatal(c, "dst was overwritten")
			}
			got, err := decompress(c, nil, packed[6:], max(1, len(want)))
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%s of %d bytes: %d bytes, %v", c, len(want), len(got), err)
			}
			if len(want) == 0 {
				continue
			}
			if _, err = decompress(c, nil, packed[6:], len(want)-1); len(want) > 1 && !errors.Is(err, ErrTooLarge) {
				t.Errorf("%s of %d bytes with one byte too little: %v", c, len(want), err)
			}
			for _, n := range []int{1, len(packed[6:]) / 2, len(packed[6:]) - 1} {
				if got, err := decompress(c, nil, packed[6:6+n], 1<<20); err == nil && bytes.Equal(got, want) {
					t.Errorf("%s: %d of %d bytes suffice", c, n, len(packed)-6)
				}
			}
		}
	}
}

func TestLZ4FrameOptions(t *testing.T) {
	for _, want := range blobs() {
		for _, opts := range [][]lz4.Option{
			{},
			{lz4.ChecksumOption(false), lz4.BlockSizeOption(lz4.Block64Kb)},
			{lz4.BlockChecksumOption(true), lz4.SizeOption(uint64(len(want)))},
			{lz4.BlockSizeOption(lz4.Block256Kb), lz4.CompressionLevelOption(lz4.Level9)},
		} {
			var buf bytes.Buffer
			w := lz4.NewWriter(&buf)
			if err := w.Apply(opts...); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(want); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			got, err := unlz4(nil, buf.Bytes(), 1<<20)
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%d bytes, options %v: %d bytes, %v", len(want), opts, len(got), err)
			}
		}
		got, err := io.ReadAll(lz4.NewReader(bytes.NewReader(appendLZ4(nil, want))))
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("the library reads %d bytes of our %d: %v", len(got), len(want), err)
		}
	}
}

// TestLZ4LinkedBlocks decodes blocks that refer to the block before, which
// the library can't write: a literal run, then a match into it.
func TestLZ4LinkedBlocks(t *testing.T) {
	desc := []byte{lz4Version, 4 << 4}
	frame := []byte{0x04, 0x22, 0x4d, 0x18, desc[0], desc[1], byte(xxh32(desc) >> 8)}
	frame = append(frame, 10, 0, 0, 0x80)
	frame = append(frame, "0123456789"...)
	block := []byte{0x04, 10, 0, 0x50, 'a', 'b', 'c', 'd', 'e'} // 8 bytes from 10 back, then 5 literals
	frame = append(frame, byte(len(block)), 0, 0, 0)
	frame = append(frame, block...)
	frame = append(frame, 0, 0, 0, 0)
	got, err := unlz4(nil, frame, 100)
	if err != nil || string(got) != "012345678901234567abcde" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestDamagedFrames(t *testing.T) {
	body := kafkaRecords(sample())
	var sums bytes.Buffer
	w := lz4.NewWriter(&sums)
	_ = w.Apply(lz4.BlockChecksumOption(true))
	_, _ = w.Write(body)
	_ = w.Close()
	frame := sums.Bytes()
	for i := range frame {
		if i == 4 || i == 5 { // caught by the header's checksum
			continue
		}
		got, err := unlz4(nil, change(frame, i, frame[i]^4), 1<<20)
		if err == nil {
			t.Errorf("lz4: byte %d flipped, %d bytes decoded", i, len(got))
		}
	}
	for name, src := range map[string][]byte{
		"lz4 tail":     append(bytes.Clone(frame), 0),
		"lz4 version":  {0x04, 0x22, 0x4d, 0x18, 0x20, 0x40, 0, 0, 0, 0, 0},
		"lz4 empty":    {},
		"lz4 no block": frame[:7],
	} {
		if _, err := unlz4(nil, src, 1<<20); !errors.Is(err, ErrDecompress) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, src := range map[string][]byte{
		"empty":                {},
		"xerial header only":   []byte("\x82SNAPPY\x00\x00\x00"),
		"xerial block":         append([]byte("\x82SNAPPY\x00"), 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 9, 1),
		"xerial length":        append([]byte("\x82SNAPPY\x00"), 0, 0, 0, 1, 0, 0, 0, 1, 0),
		"size only":            {5},
		"claims what it can't": {0xff, 0xff, 0xff, 0x7f, 0},
		"copy before start":    {4, 0x01, 0x01},
		"offset 0":             {5, 0x00, 'a', 0x01, 0x00}, // an extension elsewhere
		"literal beyond":       {3, 0x0c, 'a'},
		"short of its size":    {2, 0x00, 'a'},
		"long literal, cut":    {3, 0xf4, 0},
		"copy, cut":            {3, 0x00, 'a', 0x02},
	} {
		if _, err := unsnappy(nil, src, 1<<30); !errors.Is(err, ErrDecompress) {
			t.Errorf("snappy %s: %v", name, err)
		}
	}
}

func TestSnappyOfEveryShape(t *testing.T) {
	for _, want := range blobs() {
		for _, packed := range [][]byte{s2.EncodeSnappy(nil, want), s2.EncodeSnappyBest(nil, want)} {
			got, err := unsnappy(nil, packed, 1<<20)
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%d bytes: %d, %v", len(want), len(got), err)
			}
		}
	}
}

// bombs expand to 16 MiB from little.
func bombs(t *testing.T) map[string][]byte {
	t.Helper()
	zeros := make([]byte, 16<<20)
	out := map[string][]byte{}
	for _, c := range codecs[1:] {
		out[c.String()] = rawBatch(c, sample(), compress(c, nil, zeros))
	}
	var stream bytes.Buffer // a frame that doesn't tell its size
	w, err := zstd.NewWriter(&stream, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write(zeros)
	_ = w.Close()
	out["zstd stream"] = rawBatch(CodecZstd, sample(), stream.Bytes())
	out["xerial"] = rawBatch(CodecSnappy, sample(), xerial(zeros, 32<<10))
	liar := compress(CodecZstd, nil, zeros[:1000]) // magic, descriptor with 2 bytes of size, blocks
	if liar[4]>>6 != 1 {
		t.Fatalf("frame header descriptor %02x", liar[4])
	}
	lie := append(bytes.Clone(liar[:4]), liar[4]|0xc0, 0, 0, 0, 0x40, 0, 0, 0, 0) // 1 GiB
	out["zstd that lies"] = rawBatch(CodecZstd, sample(), append(lie, liar[7:]...))
	return out
}

func TestBombsFailCheaply(t *testing.T) {
	if raced {
		t.Skip("allocations differ under the race detector")
	}
	const limit = 1 << 20
	for name, b := range bombs(t) {
		lim := Limits{MaxDecompressed: limit}
		if _, err := Validate(b, lim); !errors.Is(err, ErrTooLarge) { // warms the pools
			t.Errorf("%s: %v", name, err)
		}
		var r Reader
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := r.Reset(b, limit); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
		runtime.ReadMemStats(&after)
		// Growing wastes some; the bombs hold 16 times the limit.
		if n := after.TotalAlloc - before.TotalAlloc; n > 6*limit {
			t.Errorf("%s: allocated %d bytes under a limit of %d", name, n, limit)
		}
	}
}

func TestXXH32(t *testing.T) {
	for in, want := range map[string]uint32{
		"": 0x02cc5d05, "a": 0x550d7456, "abc": 0x32d153ff,
		"Nobody inspects the spammish repetition": 0xe2293b2f,
	} {
		if got := xxh32([]byte(in)); got != want {
			t.Errorf("%q: %08x, want %08x", in, got, want)
		}
	}
}
