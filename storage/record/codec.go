package record

import (
	"fmt"
	"strconv"
)

// Codec is a compression codec, numbered as in the attributes' bits 0-2.
type Codec int8

// The codecs of Kafka's format.
const (
	CodecNone Codec = iota
	CodecGzip
	CodecSnappy
	CodecLZ4
	CodecZstd // KIP-110
)

// String is the codec's name in Kafka's compression.type setting.
func (c Codec) String() string {
	switch c {
	case CodecNone:
		return "none"
	case CodecGzip:
		return "gzip"
	case CodecSnappy:
		return "snappy"
	case CodecLZ4:
		return "lz4"
	case CodecZstd:
		return "zstd"
	}
	return "codec(" + strconv.Itoa(int(c)) + ")"
}

// Known tells whether this package can read and write the codec.
func (c Codec) Known() bool { return c >= CodecNone && c <= CodecZstd }

// ParseCodec is the inverse of String; "uncompressed", Kafka's other word for
// none, is known too. The error matches ErrCodec.
func ParseCodec(name string) (Codec, error) {
	switch name {
	case "none", "uncompressed":
		return CodecNone, nil
	case "gzip":
		return CodecGzip, nil
	case "snappy":
		return CodecSnappy, nil
	case "lz4":
		return CodecLZ4, nil
	case "zstd":
		return CodecZstd, nil
	}
	return CodecNone, fmt.Errorf("%w %q, use none, gzip, snappy, lz4 or zstd", ErrCodec, name)
}
