package record

import (
	"encoding/binary"
	"errors"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/s2"
)

func TestReaderReadsWhatFranzGoMakes(t *testing.T) {
	for _, c := range codecs {
		if diff := cmp.Diff(at(0, sample()), readAll(t, kafkaBatch(t, c, sample()))); diff != "" {
			t.Errorf("%s: %s", c, diff)
		}
	}
}

// xerial frames blocks as the Java client's snappy does.
func xerial(body []byte, block int) []byte {
	out := append([]byte("\x82SNAPPY\x00"), 0, 0, 0, 1, 0, 0, 0, 1)
	for len(body) > 0 {
		n := min(block, len(body))
		packed := s2.EncodeSnappy(nil, body[:n])
		out = append(binary.BigEndian.AppendUint32(out, uint32(len(packed))), packed...)
		body = body[n:]
	}
	return out
}

func TestXerialSnappy(t *testing.T) {
	for _, block := range []int{32 << 10, 100, 1} {
		b := rawBatch(CodecSnappy, sample(), xerial(kafkaRecords(sample()), block))
		if _, err := Validate(b, Limits{}); err != nil {
			t.Fatal(block, err)
		}
		if diff := cmp.Diff(at(0, sample()), readAll(t, b)); diff != "" {
			t.Error(block, diff)
		}
	}
}

func TestReaderReusedAcrossBatches(t *testing.T) {
	var r Reader
	var rec Record
	for i := range 20 {
		c := codecs[i%len(codecs)]
		b := build(c, int64(i*10), sample())
		h, err := r.Reset(append(b, "what follows is ignored"...), 0)
		if err != nil || h.BaseOffset != int64(i*10) || h.LeaderEpoch != 7 {
			t.Fatal(h, err)
		}
		want := at(int64(i*10), sample())
		for j := range want {
			if !r.Next(&rec) {
				t.Fatal(c, j, r.Err())
			}
			if diff := cmp.Diff(want[j], rec.Clone()); diff != "" {
				t.Fatal(c, j, diff)
			}
		}
		for range 2 { // the end stays the end
			if r.Next(&rec) || r.Err() != nil {
				t.Fatal("after the last record:", r.Err())
			}
		}
		if i == 10 { // a failed Reset must not spoil the next
			if _, err := r.Reset(b[:70], 0); !errors.Is(err, ErrShort) || r.Next(&rec) || r.Err() == nil {
				t.Fatal(err)
			}
		}
	}
}

func TestReaderOfSparseBatches(t *testing.T) {
	b := NewBuilder(CodecZstd)
	b.Reset(100, 2)
	b.AppendAt(103, 50, []byte("a"), []byte("1"), nil)
	b.AppendAt(110, 40, []byte("b"), nil, nil)
	b.SetLastOffset(115)
	batch := b.Build(nil)
	want := []Record{
		{Offset: 103, Timestamp: 50, Key: []byte("a"), Value: []byte("1")},
		{Offset: 110, Timestamp: 40, Key: []byte("b")},
	}
	if diff := cmp.Diff(want, readAll(t, batch)); diff != "" {
		t.Error(diff)
	}
	h, _ := ParseHeader(batch)
	if h.NextOffset() != 116 || h.Count != 2 || h.MaxTimestamp != 50 {
		t.Errorf("%+v", h)
	}
	if _, err := Validate(batch, Limits{}); !errors.Is(err, ErrCount) {
		t.Error("a client must not send it:", err)
	}

	b.Reset(100, 2)
	b.SetLastOffset(104)
	if batch = b.Build(nil); len(batch) != HeaderLen {
		t.Fatal("a batch that compaction emptied is a header:", len(batch))
	}
	if got := readAll(t, batch); got != nil {
		t.Error(got)
	}
	if err := CheckCRC(batch); err != nil {
		t.Error(err)
	}
}

func TestReaderRefuses(t *testing.T) {
	tests := []struct {
		name string
		b    []byte
		want error
	}{
		{"offsets that fall", withRecords(2, 12, 0, 0, 2, 1, 1, 0, 12, 0, 0, 0, 1, 1, 0), ErrRecord},
		{"offset beyond the batch's", withRecords(1, 12, 0, 0, 2, 1, 1, 0), ErrRecord},
		{"negative offset", withRecords(1, 12, 0, 0, 1, 1, 1, 0), ErrRecord},
		{"tail", withRecords(1, 12, 0, 0, 0, 1, 1, 0, 0), ErrRecord},
		{"second record malformed", withRecords(2, 12, 0, 0, 0, 1, 1, 0, 12, 0, 0, 2, 1, 9, 0), ErrRecord},
		{"null header key", withRecords(1, 16, 0, 0, 0, 1, 1, 2, 1, 1), ErrRecord},
		{"codec", change(withRecords(1, 12, 0, 0, 0, 1, 1, 0), atAttributes, 0, 6), ErrCodec},
		{"count", change(withRecords(1, 12, 0, 0, 0, 1, 1, 0), atCount, 0, 1, 0, 0), ErrCount},
		{"count beyond the bytes", withRecords(3, 12, 0, 0, 0, 1, 1, 0), ErrCount},
	}
	for _, tt := range tests {
		var r Reader
		var rec Record
		_, err := r.Reset(tt.b, 0)
		for err == nil && r.Next(&rec) {
		}
		if !errors.Is(r.Err(), tt.want) || r.Next(&rec) {
			t.Errorf("%s: got %v, want %v", tt.name, r.Err(), tt.want)
		}
	}
}

func TestReaderKeepsHeaderNames(t *testing.T) {
	b := NewBuilder(CodecNone)
	for i := range 100 { // more names than the table holds
		b.Append(0, nil, nil, []HeaderKV{{Key: "same"}, {Key: "n" + strconv.Itoa(i)}})
	}
	batch := b.Build(nil)
	var r Reader
	if _, err := r.Reset(batch, 0); err != nil {
		t.Fatal(err)
	}
	var rec Record
	var names []string
	for r.Next(&rec) {
		names = append(names, rec.Headers[0].Key, rec.Headers[1].Key)
	}
	clear(batch) // names must not alias it
	for i := range 100 {
		if names[2*i] != "same" || names[2*i+1] != "n"+strconv.Itoa(i) {
			t.Fatal(i, names[2*i:2*i+2])
		}
	}
}

func TestReaderDoesNotAllocate(t *testing.T) {
	if raced {
		t.Skip("allocations differ under the race detector")
	}
	recs := sample()
	for i := range 200 {
		recs = append(recs, recs[i%4])
	}
	for _, c := range codecs {
		b := build(c, 0, recs)
		var r Reader
		var rec Record
		n := testing.AllocsPerRun(20, func() {
			if _, err := r.Reset(b, 0); err != nil {
				t.Fatal(err)
			}
			for r.Next(&rec) {
			}
		})
		if n > 3 {
			t.Errorf("%s: %v allocations for %d records", c, n, len(recs))
		}
	}
}

func TestRecordSlicesDoNotOverlap(t *testing.T) {
	b := build(CodecNone, 0, sample())
	var r Reader
	var rec Record
	if _, err := r.Reset(b, 0); err != nil || !r.Next(&rec) {
		t.Fatal(err)
	}
	_ = append(rec.Key, "xxxx"...)
	if string(rec.Value) != "hello" || CheckCRC(b) != nil {
		t.Error("appending to a key overwrote the batch")
	}
}
