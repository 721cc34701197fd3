package record

import "encoding/binary"

// Murmur2 is the 32-bit MurmurHash2 with the seed of Kafka's Java client.
func Murmur2(key []byte) uint32 {
	const (
		seed = 0x9747b28c
		m    = 0x5bd1e995
		r    = 24
	)
	h := uint32(seed) ^ uint32(len(key))
	for len(key) >= 4 {
		k := binary.LittleEndian.Uint32(key)
		k *= m
		k ^= k >> r
		k *= m
		h = h*m ^ k
		key = key[4:]
	}
	switch len(key) {
	case 3:
		h ^= uint32(key[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(key[1]) << 8
		fallthrough
	case 1:
		h = (h ^ uint32(key[0])) * m
	}
	h ^= h >> 13
	h *= m
	return h ^ h>>15
}

// PartitionForKey is the partition, of n, that the default partitioner of the
// Java client and of franz-go chooses for key. n must be positive.
func PartitionForKey(key []byte, n int32) int32 {
	return int32(Murmur2(key)&0x7fffffff) % n
}
