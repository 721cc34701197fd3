package record

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// golden reads a file of hex digits; white space and # comments don't count.
func golden(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	var digits strings.Builder
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		digits.WriteString(strings.Join(strings.Fields(line), ""))
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatal(name, err)
	}
	return b
}

func times(n int, recs []Record) []Record {
	var out []Record
	for range n {
		out = append(out, recs...)
	}
	return out
}

// handwritten is the sample without its long value.
func handwritten() []Record {
	s := sample()
	return append(s[:1:1], s[2:]...)
}

// TestGolden holds bytes that other encoders made, and our own, so that a
// change of format can't go unseen.
func TestGolden(t *testing.T) {
	tests := []struct {
		file string
		recs []Record
	}{
		{"plain.hex", handwritten()},
		{"gzip.hex", sample()},                   // GNU gzip
		{"snappy.hex", sample()},                 // franz-go
		{"snappy-xerial.hex", sample()},          // blocks of 700 bytes
		{"lz4.hex", sample()},                    // franz-go: content checksum
		{"lz4-linked.hex", times(60, sample())},  // reference lz4: linked blocks, block checksums
		{"zstd.hex", sample()},                   // franz-go
		{"zstd-stream.hex", times(60, sample())}, // reference zstd: no content size
	}
	for _, tt := range tests {
		b := golden(t, tt.file)
		if _, err := Validate(b, Limits{}); err != nil {
			t.Errorf("%s: %v", tt.file, err)
			continue
		}
		if diff := cmp.Diff(at(0, tt.recs), readAll(t, b)); diff != "" {
			t.Errorf("%s: %s", tt.file, diff)
		}
	}
}

func TestGoldenOfOurOwn(t *testing.T) {
	plain := build(CodecNone, 0, handwritten())
	Place(plain, 0, -1)
	fence := FenceControl("writer-7", 1767225600000)
	Place(fence, 42, 3)
	for file, got := range map[string][]byte{"plain.hex": plain, "fence.hex": fence} {
		if want := golden(t, file); !bytes.Equal(got, want) {
			t.Errorf("%s: built\n% x\nwant\n% x", file, got, want)
		}
	}
}
