package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Bytes is a size. Its text is a whole number with an optional binary unit:
// "1048576", "64KiB", "1MiB", "2GiB", "1TiB"; "K", "M", "G", "T" and "KB",
// "MB", … mean the same binary units, and case does not matter.
type Bytes int64

// units in the order in which String prefers them.
var units = []struct {
	name string
	size int64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
}

// String gives the shortest exact text: "64MiB", else plain bytes.
func (b Bytes) String() string {
	for _, u := range units {
		if b != 0 && int64(b)%u.size == 0 {
			return strconv.FormatInt(int64(b)/u.size, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// MarshalText is String, for YAML and JSON.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText parses what String writes and the shorter spellings.
func (b *Bytes) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	digits := strings.TrimRight(s, "bBiIkKmMgGtT ")
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 {
		return fmt.Errorf("%q is not a size: write a whole number with an optional unit, such as 64MiB", s)
	}
	size, ok := unitSize(strings.TrimSpace(s[len(digits):]))
	if !ok {
		return fmt.Errorf("%q has no known unit: use KiB, MiB, GiB or TiB", s)
	}
	if n > math.MaxInt64/size {
		return fmt.Errorf("%q is too large", s)
	}
	*b = Bytes(n * size)
	return nil
}

func unitSize(unit string) (int64, bool) {
	unit = strings.ToLower(unit)
	if unit == "" || unit == "b" {
		return 1, true
	}
	for _, u := range units {
		letter := strings.ToLower(u.name[:1])
		if unit == letter || unit == letter+"b" || unit == letter+"ib" {
			return u.size, true
		}
	}
	return 0, false
}
