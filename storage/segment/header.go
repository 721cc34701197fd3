package segment

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// HeaderBytes is the size of a segment's header; the first batch follows it.
const HeaderBytes = 64

const (
	magic   = "CHRNKSEG"
	version = 1
)

// castagnoli is never written after its initialization.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Header says whose segment a file is.
type Header struct {
	Topic       [16]byte
	Partition   int32
	Incarnation uint32
	Base        int64  // lowest offset that the segment may hold
	Number      uint64 // of the file
}

// Encode makes the file's first bytes.
func (h *Header) Encode() []byte {
	b := make([]byte, HeaderBytes)
	copy(b, magic)
	binary.LittleEndian.PutUint32(b[8:], version)
	copy(b[16:], h.Topic[:])
	binary.LittleEndian.PutUint32(b[32:], uint32(h.Partition))
	binary.LittleEndian.PutUint32(b[36:], h.Incarnation)
	binary.LittleEndian.PutUint64(b[40:], uint64(h.Base))
	binary.LittleEndian.PutUint64(b[48:], h.Number)
	binary.LittleEndian.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
	return b
}

// DecodeHeader reads what Encode made. ErrCorrupt.
func DecodeHeader(b []byte) (Header, error) {
	if len(b) < HeaderBytes || string(b[:8]) != magic ||
		crc32.Checksum(b[:60], castagnoli) != binary.LittleEndian.Uint32(b[60:]) {
		return Header{}, fmt.Errorf("%w: bad header", ErrCorrupt)
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v != version {
		return Header{}, fmt.Errorf("%w: format version %d, this program knows %d", ErrCorrupt, v, version)
	}
	return Header{
		Topic:       [16]byte(b[16:]),
		Partition:   int32(binary.LittleEndian.Uint32(b[32:])),
		Incarnation: binary.LittleEndian.Uint32(b[36:]),
		Base:        int64(binary.LittleEndian.Uint64(b[40:])),
		Number:      binary.LittleEndian.Uint64(b[48:]),
	}, nil
}
