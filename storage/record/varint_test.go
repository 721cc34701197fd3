package record

import (
	"bytes"
	"encoding/binary"
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestVarintAgreesWithEncodingBinary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.OneOf(rapid.Int64(), rapid.Int64Range(-300, 300)).Draw(t, "v")
		want := binary.AppendVarint(nil, v)
		got := appendVarint(nil, v)
		if !bytes.Equal(got, want) || varintLen(v) != len(want) {
			t.Fatalf("%d: % x, want % x", v, got, want)
		}
		back, n := getVarint(append(got, 0xff))
		if back != v || n != len(want) {
			t.Fatalf("%d decodes to %d in %d bytes", v, back, n)
		}
		if _, n := getVarint(got[:len(got)-1]); n != 0 {
			t.Fatalf("%d: cut, but decoded", v)
		}
		v32, n := getVarint32(got)
		if fits := v >= math.MinInt32 && v <= math.MaxInt32; fits != (n != 0) || fits && int64(v32) != v {
			t.Fatalf("%d as 32 bits: %d in %d bytes", v, v32, n)
		}
	})
}

func TestVarintOverflow(t *testing.T) {
	for _, p := range [][]byte{
		nil,
		bytes.Repeat([]byte{0xff}, 10),
		append(bytes.Repeat([]byte{0xff}, 9), 2),
		append(bytes.Repeat([]byte{0x80}, 10), 0),
	} {
		if v, n := getVarint(p); n != 0 {
			t.Errorf("% x decodes to %d", p, v)
		}
	}
	if _, n := getVarint32([]byte{0x80, 0x80, 0x80, 0x80, 0x80, 0x00}); n != 0 {
		t.Error("six bytes decode to 32 bits")
	}
	if v, n := getVarint([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}); v != math.MinInt64 || n != 10 {
		t.Error("least number:", v, n)
	}
}
