package record

import (
	"bytes"
	"errors"
	"testing"
)

// From each codec to each other one: the same records under the same header.
func TestRecode(t *testing.T) {
	codecs := []Codec{CodecNone, CodecGzip, CodecSnappy, CodecLZ4, CodecZstd}
	for _, from := range codecs {
		b := NewBuilder(from)
		b.Reset(7, 3)
		b.SetProducer(11, 2, 5)
		for i := range 50 {
			b.Append(1000+int64(i), []byte{byte(i)}, bytes.Repeat([]byte("x"), 100), []HeaderKV{{Key: "h", Value: nil}})
		}
		batch := b.Build(nil)
		before := bytes.Clone(batch)
		want, err := ParseHeader(batch)
		if err != nil {
			t.Fatal(err)
		}
		for _, to := range codecs {
			out, h, err := Recode(batch, to, 0)
			if err != nil {
				t.Fatalf("%v to %v: %v", from, to, err)
			}
			valid, err := Validate(out, Limits{})
			if err != nil || valid != h || h.Codec() != to {
				t.Fatalf("%v to %v: %+v, read as %+v: %v", from, to, h, valid, err)
			}
			same := h
			same.Length, same.CRC, same.Attributes = want.Length, want.CRC, want.Attributes
			if same != want || h.Attributes&^codecMask != want.Attributes&^codecMask {
				t.Errorf("%v to %v: %+v became %+v", from, to, want, h)
			}
			if !sameRecords(t, batch, out) || !bytes.Equal(batch, before) {
				t.Errorf("%v to %v: the records differ", from, to)
			}
		}
		if _, _, err := Recode(batch, CodecGzip, 10); from != CodecNone && !errors.Is(err, ErrTooLarge) {
			t.Errorf("%v beyond the limit: %v", from, err)
		}
		if _, _, err := Recode(batch[:len(batch)-1], CodecGzip, 0); !errors.Is(err, ErrShort) {
			t.Errorf("%v cut short: %v", from, err)
		}
	}
}

func sameRecords(t *testing.T, a, b []byte) bool {
	t.Helper()
	var x, y Reader
	if _, err := x.Reset(a, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := y.Reset(b, 0); err != nil {
		t.Fatal(err)
	}
	var one, two Record
	n := 0
	for x.Next(&one) {
		if !y.Next(&two) || !equal(one, two) {
			return false
		}
		n++
	}
	return n > 0 && !y.Next(&two) && x.Err() == nil && y.Err() == nil
}
