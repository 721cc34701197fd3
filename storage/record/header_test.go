package record

import (
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestParseHeaderAgreesWithKmsg(t *testing.T) {
	want := Header{
		BaseOffset: 1 << 40, Length: 49, LeaderEpoch: 12, Magic: 2, CRC: 0xfedcba98, Attributes: 0x3c,
		LastOffsetDelta: 9, BaseTimestamp: 1767225600000, MaxTimestamp: 1767225600009,
		ProducerID: 1 << 50, ProducerEpoch: 3, BaseSequence: 77, Count: 10,
	}
	k := kmsg.RecordBatch{
		FirstOffset: want.BaseOffset, Length: want.Length, PartitionLeaderEpoch: want.LeaderEpoch, Magic: 2,
		CRC: -0x1234568, Attributes: want.Attributes, LastOffsetDelta: want.LastOffsetDelta,
		FirstTimestamp: want.BaseTimestamp, MaxTimestamp: want.MaxTimestamp, ProducerID: want.ProducerID,
		ProducerEpoch: want.ProducerEpoch, FirstSequence: want.BaseSequence, NumRecords: want.Count,
	}
	b := k.AppendTo(nil)
	got, err := ParseHeader(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	again := make([]byte, HeaderLen)
	got.put(again)
	if diff := cmp.Diff(b, again); diff != "" {
		t.Error("put:", diff)
	}
	if got.Size() != 61 || got.LastOffset() != 1<<40+9 || got.NextOffset() != 1<<40+10 {
		t.Error("size, last, next:", got.Size(), got.LastOffset(), got.NextOffset())
	}
	if got.Codec() != CodecZstd || !got.LogAppendTime() || !got.Transactional() || !got.Control() || !got.Idempotent() {
		t.Error("attributes:", got)
	}
}

func TestParseHeaderRefuses(t *testing.T) {
	good := build(CodecNone, 0, sample())
	old := make([]byte, 30)
	old[16] = 1
	tests := []struct {
		name string
		b    []byte
		want error
	}{
		{"empty", nil, ErrShort},
		{"one byte less than a header", good[:60], ErrShort},
		{"old message, shorter than a header", old, ErrMagic},
		{"magic", change(good, 16, 3), ErrMagic},
		{"negative length", change(good, 8, 0xff), ErrLength},
		{"length 48", change(good, 8, 0, 0, 0, 48), ErrLength},
	}
	for _, tt := range tests {
		if _, err := ParseHeader(tt.b); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
	}
	if h, err := ParseHeader(good[:61]); err != nil || h.Size() != len(good) {
		t.Error("a header alone must parse:", h, err)
	}
}

func change(b []byte, at int, with ...byte) []byte {
	c := append([]byte(nil), b...)
	copy(c[at:], with)
	return c
}

func TestCheckCRCSeesEveryFlippedByte(t *testing.T) {
	b := build(CodecLZ4, 5, sample())
	if err := CheckCRC(b); err != nil {
		t.Fatal(err)
	}
	for i := range b {
		c := change(b, i, b[i]^0x10)
		err := CheckCRC(c)
		// Base offset and leader epoch are outside the CRC: Place rewrites them.
		if outside := i < 8 || i >= 12 && i < 16; outside != (err == nil) {
			t.Fatalf("byte %d flipped: %v", i, err)
		}
		if err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrMagic) {
			t.Fatalf("byte %d flipped: class of %v", i, err)
		}
	}
	if err := CheckCRC(b[:len(b)-1]); !errors.Is(err, ErrShort) {
		t.Error("cut:", err)
	}
	if err := CheckCRC(append(b, 0)); !errors.Is(err, ErrLength) {
		t.Error("longer:", err)
	}
}

func TestPlaceKeepsTheCRC(t *testing.T) {
	b := kafkaBatch(t, CodecGzip, sample())
	Place(b, 1000, 4)
	if err := CheckCRC(b); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(at(1000, sample()), readAll(t, b)); diff != "" {
		t.Error(diff)
	}
	if h, _ := ParseHeader(b); h.LeaderEpoch != 4 {
		t.Error("epoch", h.LeaderEpoch)
	}
}

func TestStampAppendTime(t *testing.T) {
	b := kafkaBatch(t, CodecSnappy, sample())
	StampAppendTime(b, 42)
	h, err := Validate(b, Limits{})
	if err != nil || !h.LogAppendTime() || h.MaxTimestamp != 42 || h.Codec() != CodecSnappy {
		t.Fatal(h, err)
	}
	for _, r := range readAll(t, b) {
		if r.Timestamp != 42 {
			t.Error("record has timestamp", r.Timestamp)
		}
	}
}

func TestSplit(t *testing.T) {
	first, second := build(CodecNone, 0, sample()), build(CodecZstd, 4, sample())
	both := append(append([]byte(nil), first...), second...)
	batch, rest, err := Split(both)
	if err != nil || string(batch) != string(first) || string(rest) != string(second) || cap(batch) != len(batch) {
		t.Fatal(len(batch), len(rest), err)
	}
	batch, rest, err = Split(rest)
	if err != nil || string(batch) != string(second) || len(rest) != 0 {
		t.Fatal(len(batch), len(rest), err)
	}
	if _, _, err = Split(rest); err != io.EOF {
		t.Error("end:", err)
	}
	for n := 1; n < len(first); n++ {
		if _, rest, err := Split(first[:n]); err != io.ErrUnexpectedEOF || len(rest) != n {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
	for name, b := range map[string][]byte{
		"zeros": make([]byte, 100), "zeros, short": make([]byte, 12), "huge": change(first, 8, 0x80),
	} {
		if _, _, err := Split(b); !errors.Is(err, ErrLength) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := Split(change(first, 16, 1)); !errors.Is(err, ErrMagic) {
		t.Error("magic:", err)
	}
}

func TestCodecNames(t *testing.T) {
	for _, c := range codecs {
		got, err := ParseCodec(c.String())
		if err != nil || got != c || !c.Known() {
			t.Error(c, got, err)
		}
	}
	if c, err := ParseCodec("uncompressed"); c != CodecNone || err != nil {
		t.Error(c, err)
	}
	if _, err := ParseCodec("brotli"); !errors.Is(err, ErrCodec) || !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
	if Codec(5).Known() || Codec(5).String() != "codec(5)" {
		t.Error("codec 5 is unknown")
	}
}
