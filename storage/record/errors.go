package record

import (
	"errors"
	"fmt"
)

// The two classes. Every other error of this package, except io.EOF and
// io.ErrUnexpectedEOF from Split, matches exactly one of them.
var (
	// ErrCorrupt says that the bytes are damaged, or are no batch.
	ErrCorrupt = errors.New("record batch is corrupt")
	// ErrInvalid says that the batch is well-formed but refused.
	ErrInvalid = errors.New("record batch is invalid")
)

// Damaged bytes; all match ErrCorrupt.
var (
	// ErrShort: fewer bytes than the header, or than the header's length says.
	ErrShort = fmt.Errorf("%w: too few bytes", ErrCorrupt)
	// ErrLength: a length that no batch can have, or one that differs from
	// the bytes given where exactly one batch is expected.
	ErrLength = fmt.Errorf("%w: bad length", ErrCorrupt)
	// ErrCRC: the CRC-32C of bytes 21 to the end differs from the header's.
	ErrCRC = fmt.Errorf("%w: CRC-32C mismatch", ErrCorrupt)
	// ErrDecompress: the compressed records can't be decompressed.
	ErrDecompress = fmt.Errorf("%w: records do not decompress", ErrCorrupt)
	// ErrRecord: a record can't be parsed, or bytes follow the last one.
	ErrRecord = fmt.Errorf("%w: malformed record", ErrCorrupt)
)

// Well-formed but refused; all match ErrInvalid.
var (
	// ErrMagic: another format version. Versions 0 and 1 ended with Kafka 4.0.
	ErrMagic = fmt.Errorf("%w: unsupported format version (magic), need 2", ErrInvalid)
	// ErrCodec: the attributes name an unknown compression codec.
	ErrCodec = fmt.Errorf("%w: unknown compression codec", ErrInvalid)
	// ErrCount: no records, or a count that differs from the last offset
	// delta + 1, or one that the batch's bytes can't hold.
	ErrCount = fmt.Errorf("%w: bad record count", ErrInvalid)
	// ErrOffsets: the records' offset deltas are not 0, 1, 2, …
	ErrOffsets = fmt.Errorf("%w: offset deltas are not dense", ErrInvalid)
	// ErrSequence: a producer id without a base sequence (KIP-98).
	ErrSequence = fmt.Errorf("%w: producer id without a base sequence", ErrInvalid)
	// ErrAttributes: an attribute that only a broker may set.
	ErrAttributes = fmt.Errorf("%w: attribute reserved to brokers", ErrInvalid)
	// ErrTooLarge: more bytes than Limits allow, packed or unpacked.
	ErrTooLarge = fmt.Errorf("%w: too large", ErrInvalid)
	// ErrTooMany: more records or headers than Limits allow.
	ErrTooMany = fmt.Errorf("%w: too many records or headers", ErrInvalid)
	// ErrNullKey: a record without a key where Limits.RequireKey is set.
	ErrNullKey = fmt.Errorf("%w: record without a key on a compacted topic", ErrInvalid)
)
