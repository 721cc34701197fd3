// Package segment is one file of a log: a header, then record batches, and
// beside it a sparse index by offset and time.
//
// # Who guards what
//
// A Segment is plain data that its log guards with its own lock: Write and the
// other functions that do I/O take a copy or work on what nobody else changes,
// and return what has changed; the log publishes that. Bytes before a
// published Mark never change, but by truncation, after which other bytes may
// stand there: a reader compares the log's generation before it believes what
// it read.
//
// # Index
//
// An index entry stands for a batch about every IndexBytes. Entries fill pages
// of 4 KiB, each with its own checksum, that are appended to the index file
// when full; what doesn't fill a page yet is in memory. Nothing of an index is
// ever synced: Build makes what is missing from the segment.
//
// The byte formats are drawn in storage/plog/FORMAT.md.
package segment

import "errors"

// ErrCorrupt says that a segment's bytes are not the batches that were written
// there. The text tells where.
var ErrCorrupt = errors.New("segment is corrupt")

// ErrIndex says that an index page can't be read: Build makes a new index.
var ErrIndex = errors.New("index is corrupt")
