package record

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
)

const (
	// HeaderLen is the size of a batch's header in bytes.
	HeaderLen = 61
	// LogOverhead is what Header.Length does not count: base offset and the
	// length itself.
	LogOverhead = 12
)

// Positions in the header.
const (
	atBaseOffset      = 0
	atLength          = 8
	atLeaderEpoch     = 12
	atMagic           = 16
	atCRC             = 17
	atAttributes      = 21
	atLastOffsetDelta = 23
	atBaseTimestamp   = 27
	atMaxTimestamp    = 35
	atProducerID      = 43
	atProducerEpoch   = 51
	atBaseSequence    = 53
	atCount           = 57
)

// Bits of the attributes.
const (
	codecMask        = 0x07
	bitLogAppendTime = 1 << 3
	bitTransactional = 1 << 4
	bitControl       = 1 << 5
	bitDeleteHorizon = 1 << 6
)

const (
	magic     = 2
	minLength = HeaderLen - LogOverhead
)

// NoProducerID marks a batch that no idempotent producer made; its producer
// epoch and base sequence are -1 too.
const NoProducerID int64 = -1

// Header is a batch's header, decoded. It holds no reference to the batch.
type Header struct {
	BaseOffset      int64 // of the first record, once the broker has placed it
	Length          int32 // bytes from byte 12 on; Size is the whole
	LeaderEpoch     int32 // of the leader that placed it
	Magic           int8  // always 2
	CRC             uint32
	Attributes      int16
	LastOffsetDelta int32
	BaseTimestamp   int64 // Unix milliseconds; records hold deltas to it
	MaxTimestamp    int64 // Unix milliseconds
	ProducerID      int64 // NoProducerID without idempotence
	ProducerEpoch   int16
	BaseSequence    int32 // sequence of the first record, wraps at 2^31
	Count           int32 // records in the batch
}

// LastOffset is the last offset that the batch spans.
func (h Header) LastOffset() int64 { return h.BaseOffset + int64(h.LastOffsetDelta) }

// NextOffset is the offset after the batch.
func (h Header) NextOffset() int64 { return h.LastOffset() + 1 }

// Size is the batch's size in bytes, header included.
func (h Header) Size() int { return int(h.Length) + LogOverhead }

// Codec compresses the records; it may be an unknown one.
func (h Header) Codec() Codec { return Codec(h.Attributes & codecMask) }

// Control tells whether the batch is for brokers and transactions, not for
// consumers.
func (h Header) Control() bool { return h.Attributes&bitControl != 0 }

// Transactional tells whether the batch belongs to a transaction.
func (h Header) Transactional() bool { return h.Attributes&bitTransactional != 0 }

// LogAppendTime tells whether MaxTimestamp, the broker's clock at the append,
// is the timestamp of every record.
func (h Header) LogAppendTime() bool { return h.Attributes&bitLogAppendTime != 0 }

// Idempotent tells whether an idempotent producer made the batch.
func (h Header) Idempotent() bool { return h.ProducerID >= 0 }

// ParseHeader decodes the header at the start of b, which need not hold the
// whole batch. It does not look at the CRC. Errors: ErrShort, ErrMagic,
// ErrLength.
func ParseHeader(b []byte) (Header, error) {
	// Magic first: a message of version 0 or 1 may be shorter than our header.
	if len(b) > atMagic && b[atMagic] != magic {
		return Header{}, fmt.Errorf("%w: got %d", ErrMagic, int8(b[atMagic]))
	}
	if len(b) < HeaderLen {
		return Header{}, fmt.Errorf("%w: %d of the header's %d", ErrShort, len(b), HeaderLen)
	}
	h := Header{
		BaseOffset:      int64(binary.BigEndian.Uint64(b[atBaseOffset:])),
		Length:          int32(binary.BigEndian.Uint32(b[atLength:])),
		LeaderEpoch:     int32(binary.BigEndian.Uint32(b[atLeaderEpoch:])),
		Magic:           int8(b[atMagic]),
		CRC:             binary.BigEndian.Uint32(b[atCRC:]),
		Attributes:      int16(binary.BigEndian.Uint16(b[atAttributes:])),
		LastOffsetDelta: int32(binary.BigEndian.Uint32(b[atLastOffsetDelta:])),
		BaseTimestamp:   int64(binary.BigEndian.Uint64(b[atBaseTimestamp:])),
		MaxTimestamp:    int64(binary.BigEndian.Uint64(b[atMaxTimestamp:])),
		ProducerID:      int64(binary.BigEndian.Uint64(b[atProducerID:])),
		ProducerEpoch:   int16(binary.BigEndian.Uint16(b[atProducerEpoch:])),
		BaseSequence:    int32(binary.BigEndian.Uint32(b[atBaseSequence:])),
		Count:           int32(binary.BigEndian.Uint32(b[atCount:])),
	}
	if h.Length < minLength {
		return Header{}, fmt.Errorf("%w: %d, the least is %d", ErrLength, h.Length, minLength)
	}
	return h, nil
}

// put writes the header over b, which has at least HeaderLen bytes.
func (h *Header) put(b []byte) {
	_ = b[HeaderLen-1]
	binary.BigEndian.PutUint64(b[atBaseOffset:], uint64(h.BaseOffset))
	binary.BigEndian.PutUint32(b[atLength:], uint32(h.Length))
	binary.BigEndian.PutUint32(b[atLeaderEpoch:], uint32(h.LeaderEpoch))
	b[atMagic] = byte(h.Magic)
	binary.BigEndian.PutUint32(b[atCRC:], h.CRC)
	binary.BigEndian.PutUint16(b[atAttributes:], uint16(h.Attributes))
	binary.BigEndian.PutUint32(b[atLastOffsetDelta:], uint32(h.LastOffsetDelta))
	binary.BigEndian.PutUint64(b[atBaseTimestamp:], uint64(h.BaseTimestamp))
	binary.BigEndian.PutUint64(b[atMaxTimestamp:], uint64(h.MaxTimestamp))
	binary.BigEndian.PutUint64(b[atProducerID:], uint64(h.ProducerID))
	binary.BigEndian.PutUint16(b[atProducerEpoch:], uint16(h.ProducerEpoch))
	binary.BigEndian.PutUint32(b[atBaseSequence:], uint32(h.BaseSequence))
	binary.BigEndian.PutUint32(b[atCount:], uint32(h.Count))
}

// castagnoli is never written after its initialization.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(batch []byte) uint32 {
	return crc32.Checksum(batch[atAttributes:], castagnoli)
}

// CheckCRC compares the CRC of b, which is exactly one batch. Errors: those of
// ParseHeader, ErrShort or ErrLength if b is not exactly one batch, ErrCRC.
func CheckCRC(b []byte) error {
	h, err := ParseHeader(b)
	if err != nil {
		return err
	}
	return h.check(b)
}

func (h *Header) check(b []byte) error {
	switch size := h.Size(); {
	case len(b) < size:
		return fmt.Errorf("%w: %d of the batch's %d", ErrShort, len(b), size)
	case len(b) > size:
		return fmt.Errorf("%w: %d bytes after the batch", ErrLength, len(b)-size)
	}
	if sum := checksum(b); sum != h.CRC {
		return fmt.Errorf("%w: computed %08x, header says %08x", ErrCRC, sum, h.CRC)
	}
	return nil
}

// Place sets base offset and leader epoch of the batch b in place. The CRC
// covers neither. b must hold at least HeaderLen bytes.
func Place(b []byte, baseOffset int64, epoch int32) {
	_ = b[HeaderLen-1]
	binary.BigEndian.PutUint64(b[atBaseOffset:], uint64(baseOffset))
	binary.BigEndian.PutUint32(b[atLeaderEpoch:], uint32(epoch))
}

// StampAppendTime makes ts (Unix milliseconds) the timestamp of every record
// of b, in place, and renews the CRC. b must be exactly one valid batch.
func StampAppendTime(b []byte, ts int64) {
	_ = b[HeaderLen-1]
	b[atAttributes+1] |= bitLogAppendTime
	binary.BigEndian.PutUint64(b[atMaxTimestamp:], uint64(ts))
	binary.BigEndian.PutUint32(b[atCRC:], checksum(b))
}

// Split cuts the first batch off a concatenation; both results alias b. It
// looks at length and magic only. An empty b is io.EOF, a batch that is cut
// short io.ErrUnexpectedEOF; anything else that can't be a batch is ErrLength
// or ErrMagic. On error, rest is b.
func Split(b []byte) (batch, rest []byte, err error) {
	if len(b) == 0 {
		return nil, b, io.EOF
	}
	if len(b) < LogOverhead {
		return nil, b, io.ErrUnexpectedEOF
	}
	n := int32(binary.BigEndian.Uint32(b[atLength:]))
	if len(b) > atMagic && b[atMagic] != magic {
		if n < minLength {
			return nil, b, fmt.Errorf("%w: %d, the least is %d", ErrLength, n, minLength)
		}
		return nil, b, fmt.Errorf("%w: got %d", ErrMagic, int8(b[atMagic]))
	}
	if n < minLength {
		return nil, b, fmt.Errorf("%w: %d, the least is %d", ErrLength, n, minLength)
	}
	size := int(n) + LogOverhead
	if len(b) < size {
		return nil, b, io.ErrUnexpectedEOF
	}
	return b[:size:size], b[size:], nil
}
