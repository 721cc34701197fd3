package server

import (
	"slices"
	"strconv"
	"testing"
)

// While a topic grows, a key's home stays or becomes a new partition, and every
// former home is in the list.
func TestHomes(t *testing.T) {
	const most = 64
	counts := make([]int, most)
	for k := range 2000 {
		key := "key-" + strconv.Itoa(k)
		full := homes(nil, key, most)
		was := int32(-1)
		for n := int32(1); n <= most; n++ {
			list := homes(nil, key, n)
			home := list[len(list)-1]
			if home >= n || home < 0 {
				t.Fatalf("%s: home %d of %d", key, home, n)
			}
			if home != was && home != n-1 {
				t.Fatalf("%s: from %d to %d when partition %d came", key, was, home, n-1)
			}
			if !slices.Contains(full, home) {
				t.Fatalf("%s: former home %d is not in %v", key, home, full)
			}
			was = home
		}
		counts[was]++
	}
	for p, n := range counts {
		if n < 10 || n > 70 { // 31 expected
			t.Errorf("partition %d has %d of 2000 keys", p, n)
		}
	}
}
