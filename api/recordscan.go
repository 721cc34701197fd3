package api

import (
	"math"

	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/storage/record"
)

// batchRecord is one record of a JSON or NDJSON body, schema BatchRecord. Its
// slices alias the body or the scanner's arena.
type batchRecord struct {
	key, value []byte // nil: null
	headers    []record.HeaderKV
	timestamp  int64 // -1: not given
	partition  int32 // anyPartition: not given
}

// recordScanner reads record objects from JSON text. It is strict where
// encoding/json is not: unknown and repeated members, names in another case,
// lone surrogates and broken UTF-8 are errors that name the member, since each
// would otherwise store something else than the client meant. Strings without
// escapes are not copied, and a record without headers costs no allocation.
type recordScanner struct {
	text
	limits  *Limits
	headers []record.HeaderKV // of all records since reset; each has its part
	names   map[string]string // header names seen, so that each is one string
}

// maxNames bounds the header names that a scanner remembers.
const maxNames = 64

func newRecordScanner(limits *Limits) *recordScanner {
	return &recordScanner{
		text:   text{arena: make([]byte, 0, smallBuffer)},
		limits: limits, names: map[string]string{},
	}
}

// reset begins a new text; what earlier records alias becomes invalid.
func (s *recordScanner) reset(b []byte) {
	s.buf, s.pos = b, 0
	s.arena = s.arena[:0]
	if cap(s.arena) > pooledMost {
		s.arena = make([]byte, 0, smallBuffer)
	}
	clear(s.headers)
	s.headers = s.headers[:0]
}

// The members of a record object.
const (
	seenKey = 1 << iota
	seenKeyEncoding
	seenValue
	seenEncoding
	seenHeaders
	seenTimestamp
	seenPartition
	seenName
)

var (
	recordMembers = []string{"key", "key_encoding", "value", "encoding", "headers", "timestamp", "partition"}
	headerMembers = []string{"name", "value", "encoding"}
)

// line reads the one object of an NDJSON line.
func (s *recordScanner) line(b []byte, rec *batchRecord) error {
	s.buf, s.pos = b, 0
	if err := s.record(rec); err != nil {
		return err
	}
	if s.space(); s.pos != len(s.buf) {
		return s.syntax("there is more after the object")
	}
	return nil
}

// record reads the object at the position.
func (s *recordScanner) record(rec *batchRecord) error {
	*rec = batchRecord{timestamp: -1, partition: anyPartition}
	var base64Key, base64Value bool
	seen := 0
	err := s.object(func(name []byte) (err error) {
		bit := 0
		switch string(name) {
		case "key":
			bit = seenKey
			rec.key, err = s.stringOrNull()
		case "key_encoding":
			bit = seenKeyEncoding
			base64Key, err = s.encoding()
		case "value":
			bit = seenValue
			rec.value, err = s.stringOrNull()
		case "encoding":
			bit = seenEncoding
			base64Value, err = s.encoding()
		case "headers":
			bit = seenHeaders
			rec.headers, err = s.headerList()
		case "timestamp":
			bit = seenTimestamp
			rec.timestamp, err = s.integer(server.MaxOffset)
		case "partition":
			bit = seenPartition
			var n int64
			n, err = s.integer(math.MaxInt32)
			rec.partition = int32(n)
		default:
			return unknownMember(name, recordMembers)
		}
		return s.member(&seen, bit, err)
	})
	if err != nil {
		return err
	}
	return s.complete(rec, seen, base64Key, base64Value)
}

// complete judges the members of a record together and decodes base64, whose
// mark may come after it.
func (s *recordScanner) complete(rec *batchRecord, seen int, base64Key, base64Value bool) (err error) {
	if seen&seenValue == 0 {
		return badField("value", "is missing: send null for a tombstone")
	}
	if base64Key && rec.key != nil {
		if rec.key, err = s.base64(rec.key); err != nil {
			return prefixed(err, "key")
		}
	}
	if base64Value && rec.value != nil {
		if rec.value, err = s.base64(rec.value); err != nil {
			return prefixed(err, "value")
		}
	}
	return s.limits.checkKeyAndHeaders("", rec.key, rec.headers)
}
