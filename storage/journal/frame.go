package journal

import (
	"encoding/binary"
	"hash/crc32"
	"math"
)

// Kind says what a frame does to its log.
type Kind uint8

// The kinds of frames. Their numbers are on disk.
const (
	// Data is one record batch, the payload, appended at the log's end.
	Data Kind = 1
	// Extent says that the log's owner wrote a range of offsets straight to a
	// segment, synced in the same cycle.
	Extent Kind = 2
	// Truncate cuts the log's end back.
	Truncate Kind = 3
	// Trim moves the log's start forward.
	Trim Kind = 4
	// Reset empties the log and moves it to another offset.
	Reset Kind = 5
	// Delete ends the log.
	Delete Kind = 6
)

const maxKind = Delete

const (
	// PageBytes is the unit at which cycles start.
	PageBytes = 4096
	// FrameBytes is the size of a frame's header.
	FrameBytes = 56
)

// Positions in a frame's header; numbers are little-endian.
const (
	atCRC         = 0
	atLength      = 4
	atLSN         = 8
	atCycle       = 16
	atKind        = 24
	atFlags       = 25
	atMark        = 26
	atEpoch       = 28
	atTopic       = 32
	atPartition   = 48
	atIncarnation = 52
)

const flagLast = 1 // the frame ends its cycle

// Frame is one entry of the journal.
type Frame struct {
	LSN         uint64 // place in the journal's order, dense
	Cycle       uint64 // commit cycle that it was written in
	Kind        Kind
	Last        bool // ends its cycle; set by Write
	Epoch       int32
	Topic       [16]byte
	Partition   int32
	Incarnation uint32
	mark        uint16 // of the life; set by Write
	// Payload depends on Kind. Replay reuses its memory after the callback.
	Payload []byte
}

// Size is what the frame takes in a file: header, payload, and padding to a
// multiple of 8.
func (f *Frame) Size() int { return frameSize(len(f.Payload)) }

func frameSize(payload int) int { return (FrameBytes + payload + 7) &^ 7 }

// castagnoli is never written after its initialization.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// putFrame appends f without its CRC.
func putFrame(dst []byte, f *Frame) []byte {
	at := len(dst)
	var h [FrameBytes]byte
	binary.LittleEndian.PutUint32(h[atLength:], uint32(len(f.Payload)))
	binary.LittleEndian.PutUint64(h[atLSN:], f.LSN)
	binary.LittleEndian.PutUint64(h[atCycle:], f.Cycle)
	h[atKind] = byte(f.Kind)
	if f.Last {
		h[atFlags] = flagLast
	}
	binary.LittleEndian.PutUint16(h[atMark:], f.mark)
	binary.LittleEndian.PutUint32(h[atEpoch:], uint32(f.Epoch))
	copy(h[atTopic:], f.Topic[:])
	binary.LittleEndian.PutUint32(h[atPartition:], uint32(f.Partition))
	binary.LittleEndian.PutUint32(h[atIncarnation:], f.Incarnation)
	dst = append(dst, h[:]...)
	dst = append(dst, f.Payload...)
	for len(dst) < at+f.Size() {
		dst = append(dst, 0)
	}
	return dst
}

// appendFrame appends f as it stands in a life with that salt.
func appendFrame(dst []byte, salt uint32, f *Frame) []byte {
	at := len(dst)
	dst = putFrame(dst, f)
	b := dst[at : at+FrameBytes+len(f.Payload)]
	binary.LittleEndian.PutUint32(b[atCRC:], crc32.Update(salt, castagnoli, b[atLength:]))
	return dst
}

// decodeFrame decodes the frame at the start of b; its payload aliases b. It
// returns the frame's size, or 0 if there is no valid one.
func decodeFrame(b []byte, salt uint32, f *Frame) int {
	if len(b) < FrameBytes {
		return 0
	}
	n := binary.LittleEndian.Uint32(b[atLength:])
	if n > math.MaxInt32 || int(n) > len(b)-FrameBytes {
		return 0
	}
	b = b[:FrameBytes+int(n)]
	kind := Kind(b[atKind])
	if kind == 0 || kind > maxKind || b[atFlags]&^flagLast != 0 {
		return 0
	}
	if crc32.Update(salt, castagnoli, b[atLength:]) != binary.LittleEndian.Uint32(b[atCRC:]) {
		return 0
	}
	*f = Frame{
		LSN:         binary.LittleEndian.Uint64(b[atLSN:]),
		Cycle:       binary.LittleEndian.Uint64(b[atCycle:]),
		Kind:        kind,
		Last:        b[atFlags]&flagLast != 0,
		mark:        binary.LittleEndian.Uint16(b[atMark:]),
		Epoch:       int32(binary.LittleEndian.Uint32(b[atEpoch:])),
		Topic:       [16]byte(b[atTopic:]),
		Partition:   int32(binary.LittleEndian.Uint32(b[atPartition:])),
		Incarnation: binary.LittleEndian.Uint32(b[atIncarnation:]),
		Payload:     b[FrameBytes:],
	}
	return frameSize(int(n))
}
