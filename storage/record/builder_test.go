package record

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"
)

func TestBuilderMakesFranzGosBytes(t *testing.T) {
	want := kafkaBatch(t, CodecNone, sample())
	got := build(CodecNone, 0, sample())
	Place(got, 0, -1)
	if !bytes.Equal(got, want) {
		t.Errorf("got\n% x\nwant\n% x", got, want)
	}
}

func TestFranzGoReadsBuiltBatches(t *testing.T) {
	d := kgo.DefaultDecompressor()
	for _, c := range codecs {
		var k kmsg.RecordBatch
		if err := k.ReadFrom(build(c, 3, sample())); err != nil {
			t.Fatal(c, err)
		}
		body, err := d.Decompress(k.Records, kgo.CompressionCodecType(c))
		if err != nil {
			t.Fatal(c, err)
		}
		if !bytes.Equal(body, kafkaRecords(sample())) {
			t.Errorf("%s: other records", c)
		}
	}
}

func TestBuilderSetters(t *testing.T) {
	b := NewBuilder(CodecNone)
	b.Reset(10, 1)
	b.SetProducer(5, 6, 7)
	b.SetTransactional()
	b.SetAppendTime(1000)
	if d := b.Append(2000, nil, []byte("x"), nil); d != 0 {
		t.Error("first delta", d)
	}
	if d := b.Append(1, nil, []byte("y"), nil); d != 1 {
		t.Error("second delta", d)
	}
	batch := b.Build(nil)
	h, err := Validate(batch, Limits{})
	want := Header{
		BaseOffset: 10, Length: int32(len(batch) - 12), LeaderEpoch: 1, Magic: 2, CRC: checksum(batch),
		Attributes: bitTransactional | bitLogAppendTime, LastOffsetDelta: 1, BaseTimestamp: 2000, MaxTimestamp: 1000,
		ProducerID: 5, ProducerEpoch: 6, BaseSequence: 7, Count: 2,
	}
	if diff := cmp.Diff(want, h); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if b.Len() != len(batch) || b.Count() != 2 {
		t.Error("len, count:", b.Len(), b.Count())
	}
	b.Reset(0, 0)
	b.Append(1, nil, nil, nil)
	if h, _ = Validate(b.Build(nil), Limits{}); h.Idempotent() || h.Transactional() || h.LogAppendTime() {
		t.Error("Reset kept", h)
	}
}

func TestBuildAppendsAndGoesOn(t *testing.T) {
	for _, c := range codecs {
		b := NewBuilder(c)
		if got := b.Build([]byte("x")); string(got) != "x" {
			t.Error("no records, but bytes:", got)
		}
		b.Append(1, []byte("a"), nil, nil)
		one := b.Build([]byte("prefix"))
		b.Append(2, []byte("b"), nil, nil)
		two := b.Build(nil)
		if string(one[:6]) != "prefix" || len(readAll(t, one[6:])) != 1 || len(readAll(t, two)) != 2 {
			t.Error(c, "batches of 1 and 2 records expected")
		}
	}
}

func drawRecords(t *rapid.T) []Record {
	blob := func(label string) []byte {
		if rapid.IntRange(0, 4).Draw(t, label+" null") == 0 {
			return nil
		}
		b := rapid.SliceOfN(rapid.Byte(), 0, 80).Draw(t, label)
		return bytes.Repeat(b, rapid.SampledFrom([]int{1, 1, 3, 200}).Draw(t, label+" times"))
	}
	recs := make([]Record, rapid.IntRange(1, 30).Draw(t, "records"))
	for i := range recs {
		r := &recs[i]
		r.Offset = int64(i)
		r.Timestamp = rapid.OneOf(rapid.Int64Range(0, 1<<42), rapid.SampledFrom([]int64{-1, 0, 1767225600000})).Draw(t, "ts")
		r.Key, r.Value = blob("key"), blob("value")
		for range rapid.SampledFrom([]int{0, 0, 1, 5}).Draw(t, "headers") {
			r.Headers = append(r.Headers, HeaderKV{Key: rapid.StringN(0, 8, 20).Draw(t, "name"), Value: blob("header")})
		}
	}
	return recs
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		recs := drawRecords(rt)
		codec := rapid.SampledFrom(codecs).Draw(rt, "codec")
		base := rapid.Int64Range(0, 1<<60).Draw(rt, "base")
		b := NewBuilder(codec)
		b.Reset(base, 7)
		for _, r := range recs {
			before := b.Len()
			b.Append(r.Timestamp, r.Key, r.Value, r.Headers)
			grown, bound := b.Len()-before, RecordSize(r.Key, r.Value, r.Headers)
			if grown > bound || grown < bound-slack+4 {
				rt.Fatalf("a record took %d bytes, RecordSize said %d", grown, bound)
			}
		}
		batch := b.Build(nil)
		h, err := Validate(batch, Limits{})
		if err != nil || h.Codec() != codec || h.NextOffset() != base+int64(len(recs)) {
			rt.Fatal(h, err)
		}
		if diff := cmp.Diff(at(base, recs), readAll(t, batch)); diff != "" {
			rt.Fatal(diff)
		}
		if codec == CodecNone {
			if want := kafkaRecords(recs); !bytes.Equal(batch[HeaderLen:], want) {
				rt.Fatalf("records are not franz-go's: % x, want % x", batch[HeaderLen:], want)
			}
		}
	})
}
