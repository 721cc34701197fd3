package record

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

var codecs = []Codec{CodecNone, CodecGzip, CodecSnappy, CodecLZ4, CodecZstd}

// sample has every special case of a record's parts.
func sample() []Record {
	return []Record{
		{Timestamp: 1767225600000, Key: []byte("k"), Value: []byte("hello")},
		{Timestamp: 1767225600005, Key: nil, Value: bytes.Repeat([]byte("value "), 300)},
		{Timestamp: 1767225599000, Key: []byte{}, Value: nil, Headers: []HeaderKV{
			{Key: "trace", Value: []byte("00-01")}, {Key: "", Value: []byte{}}, {Key: "null", Value: nil},
		}},
		{Timestamp: 1767225600000, Key: []byte("k2"), Value: []byte{}},
	}
}

// kafkaRecords encodes records with franz-go's types, at dense offsets.
func kafkaRecords(recs []Record) []byte {
	var out []byte
	for i, r := range recs {
		k := kmsg.NewRecord()
		k.OffsetDelta = int32(i)
		k.TimestampDelta64 = r.Timestamp - recs[0].Timestamp
		k.Key, k.Value = r.Key, r.Value
		for _, h := range r.Headers {
			k.Headers = append(k.Headers, kmsg.Header{Key: h.Key, Value: h.Value})
		}
		k.Length = int32(len(k.AppendTo(nil)) - 1) // length 0 takes one byte
		out = append(out, k.AppendTo(nil)...)
	}
	return out
}

// kafkaBatch encodes a batch as franz-go does, with its own compressor.
func kafkaBatch(t testing.TB, codec Codec, recs []Record) []byte {
	t.Helper()
	body := kafkaRecords(recs)
	if codec != CodecNone {
		c, err := kgo.DefaultCompressor([]kgo.CompressionCodec{
			{}, kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression(),
		}[codec])
		if err != nil {
			t.Fatal(err)
		}
		body, _ = c.Compress(new(bytes.Buffer), body)
	}
	return rawBatch(codec, recs, body)
}

// rawBatch puts a header, with a right CRC, before body.
func rawBatch(codec Codec, recs []Record, body []byte) []byte {
	b := kmsg.NewRecordBatch()
	b.Magic = 2
	b.PartitionLeaderEpoch = -1
	b.ProducerID, b.ProducerEpoch, b.FirstSequence = -1, -1, -1
	b.Attributes = int16(codec)
	b.NumRecords = int32(len(recs))
	b.LastOffsetDelta = b.NumRecords - 1
	b.FirstTimestamp = recs[0].Timestamp
	b.MaxTimestamp = b.FirstTimestamp
	for _, r := range recs {
		b.MaxTimestamp = max(b.MaxTimestamp, r.Timestamp)
	}
	b.Records = body
	b.Length = int32(HeaderLen - LogOverhead + len(body))
	return reseal(b.AppendTo(nil))
}

// reseal renews the CRC of a batch that a test has changed.
func reseal(b []byte) []byte {
	binary.BigEndian.PutUint32(b[17:], checksum(b))
	return b
}

func readAll(t testing.TB, batch []byte) []Record {
	t.Helper()
	var r Reader
	if _, err := r.Reset(batch, 0); err != nil {
		t.Fatal(err)
	}
	var out []Record
	var rec Record
	for r.Next(&rec) {
		out = append(out, rec.Clone())
	}
	if r.Err() != nil {
		t.Fatal(r.Err())
	}
	return out
}

// at gives records the offsets from base on.
func at(base int64, recs []Record) []Record {
	out := make([]Record, len(recs))
	for i, r := range recs {
		out[i] = r
		out[i].Offset = base + int64(i)
	}
	return out
}

func build(codec Codec, base int64, recs []Record) []byte {
	b := NewBuilder(codec)
	b.Reset(base, 7)
	for _, r := range recs {
		b.Append(r.Timestamp, r.Key, r.Value, r.Headers)
	}
	return b.Build(nil)
}
