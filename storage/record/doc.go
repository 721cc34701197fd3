// Package record is Kafka's record batch, format version 2 (KIP-98), as bytes:
// it parses, validates, reads, builds and rewrites batches. It is pure: no
// I/O, no clock, no goroutine.
//
// # Layout
//
// A batch is a 61 byte header and its records. Numbers are big-endian; in the
// records, lengths and deltas are zigzag varints.
//
//	 0 base offset int64      21 attributes int16         43 producer id int64
//	 8 length int32           23 last offset delta int32  51 producer epoch int16
//	12 leader epoch int32     27 base timestamp int64     53 base sequence int32
//	16 magic int8 (2)         35 max timestamp int64      57 count int32
//	17 CRC-32C uint32                                     61 records
//
// The length counts from byte 12. The CRC covers byte 21 to the end, so Place
// may set base offset and leader epoch without touching it. Attributes: bits
// 0-2 codec, 3 log append time, 4 transactional, 5 control, 6 delete horizon.
// The codec compresses the records, never the header.
//
// # Who uses what
//
// A broker that takes a batch from a client calls Validate once, stores the
// bytes as they are, and calls Place when it knows the offset. Replicas and
// scrubbers call CheckCRC. Whoever walks stored bytes uses Split and
// ParseHeader; whoever needs the records uses a Reader. A Builder makes the
// batches of producers that send records one by one.
//
// # Dense and sparse
//
// A client's batch is dense: its records have the offset deltas 0..n-1, and
// Validate refuses anything else. A batch that compaction has rewritten may
// have holes, or no record at all, yet still spans its old offsets; Reader
// and Builder.AppendAt know both.
//
// # Hostile input
//
// Every count and length is compared with the bytes that remain before
// anything is allocated for it. Decompression stops at a limit of the
// caller's, and memory grows only with bytes that were really produced or
// that the input could really expand to, so a small bomb fails cheaply.
//
// # Errors
//
// Each condition has a sentinel, and each sentinel matches one of two
// classes: ErrCorrupt, the bytes are damaged or not a batch at all, and
// ErrInvalid, they are well-formed but refused.
package record
