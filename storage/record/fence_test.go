package record

import (
	"errors"
	"testing"
)

func TestFence(t *testing.T) {
	for _, token := range []string{"", "writer-7", "grüße"} {
		b := FenceControl(token, 99)
		h, err := Validate(b, Limits{})
		if err != nil || !h.Control() || h.Count != 1 || h.MaxTimestamp != 99 || h.Idempotent() {
			t.Fatal(h, err)
		}
		Place(b, 12, 3)
		got, ok, err := ParseFence(b)
		if got != token || !ok || err != nil {
			t.Errorf("%q: %q %v %v", token, got, ok, err)
		}
	}
}

func TestParseFenceOfOthers(t *testing.T) {
	control := func(key, value []byte) []byte {
		b := NewBuilder(CodecNone)
		b.SetControl()
		b.Append(1, key, value, nil)
		return b.Build(nil)
	}
	tests := []struct {
		name string
		b    []byte
		err  error
	}{
		{"data", build(CodecNone, 0, sample()), nil},
		{"transaction marker", control([]byte{0, 0, 0, 1}, []byte{0, 0, 0, 0, 0, 0}), nil},
		{"short key", control([]byte{0, 0}, nil), nil},
		{"null key", control(nil, nil), nil},
		{"fence without a value", control([]byte{0, 0, 0x43, 0x46}, nil), ErrRecord},
		{"no batch", []byte("no"), ErrShort},
	}
	for _, tt := range tests {
		if token, ok, err := ParseFence(tt.b); ok || token != "" || !errors.Is(err, tt.err) {
			t.Errorf("%s: %q %v %v", tt.name, token, ok, err)
		}
	}
}
