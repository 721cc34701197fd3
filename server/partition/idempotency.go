package partition

import (
	"encoding/binary"
	"strings"

	"github.com/chroniklog/chronik/storage/record"
)

// IdempotencyHeader is the name of the record header that carries a record's
// Idempotency-Key, body hash and time of acceptance, so that the index can be
// rebuilt from the log on any replica. Adapters don't show it to consumers.
const IdempotencyHeader = "chronik-idempotency"

// idempotencyVersion begins the header's value: version byte, 16 bytes of
// hash, 8 bytes of big-endian Unix milliseconds, the key.
const (
	idempotencyVersion = 1
	idempotencyPrefix  = 1 + 16 + 8
)

// AppendIdempotency appends the value of IdempotencyHeader for an append
// accepted at time now.
func AppendIdempotency(dst []byte, now int64, a *RecordAppend) []byte {
	dst = append(dst, idempotencyVersion)
	dst = append(dst, a.BodyHash[:]...)
	dst = binary.BigEndian.AppendUint64(dst, uint64(now))
	return append(dst, a.IdempotencyKey...)
}

// parseIdempotency reads a header value; the key aliases nothing.
func parseIdempotency(v []byte) (idemEntry, bool) {
	if len(v) <= idempotencyPrefix || v[0] != idempotencyVersion || len(v) > idempotencyPrefix+MaxIdempotencyKey {
		return idemEntry{}, false
	}
	e := idemEntry{key: string(v[idempotencyPrefix:]), at: int64(binary.BigEndian.Uint64(v[17:]))}
	copy(e.hash[:], v[1:17])
	return e, true
}

// idempotencyHeaderSize is what the header adds to a record, at most.
func idempotencyHeaderSize(key string) int {
	return len(IdempotencyHeader) + idempotencyPrefix + len(key) + 2*binary.MaxVarintLen32
}

// Marked tells whether a stored batch holds records with IdempotencyHeader
// that this log's leader wrote. A client's batch may carry a header of that
// name, copied from another topic, say; it never carries the mark.
func Marked(h *record.Header) bool { return h.Attributes&markIdempotency != 0 }

// markIdempotency is a bit of the batch attributes that Kafka leaves unused.
const markIdempotency = 1 << 14

// MarkIdempotency is the attribute bit to set in a batch that the broker packs
// when it holds a record with IdempotencyHeader.
const MarkIdempotency int16 = markIdempotency

// knownAttributes are the bits that a client may set: codec, timestamp type,
// transactional, control, delete horizon.
const knownAttributes = 0x7f

// idemEntry is one remembered append.
type idemEntry struct {
	key       string
	hash      [16]byte
	offset    int64
	timestamp int64
	at        int64 // accepted, broker's clock
}

// idempotency is the index of Idempotency-Keys: a queue in log order and a map
// into it. A key that is used anew after it expired stands twice in the queue;
// the map knows the later one.
type idempotency struct {
	queue []idemEntry // a ring of a power of two
	head  uint64      // number of the oldest
	tail  uint64      // number after the newest
	byKey map[string]uint64
	max   int
	ttl   int64 // milliseconds
}

func newIdempotency(limit int, ttl int64) idempotency {
	return idempotency{max: limit, ttl: ttl}
}

func (x *idempotency) slot(n uint64) *idemEntry { return &x.queue[n&uint64(len(x.queue)-1)] }

// get finds a key that has not expired.
func (x *idempotency) get(now int64, key string) *idemEntry {
	n, ok := x.byKey[key]
	if !ok {
		return nil
	}
	if e := x.slot(n); e.at > now-x.ttl {
		return e
	}
	return nil
}

// put remembers e and forgets what has expired or is too much.
func (x *idempotency) put(e idemEntry) {
	for x.tail > x.head && x.slot(x.head).at <= e.at-x.ttl {
		x.drop()
	}
	if x.tail-x.head == uint64(x.max) {
		x.drop()
	}
	if x.tail-x.head == uint64(len(x.queue)) {
		x.grow()
	}
	if x.byKey == nil {
		x.byKey = make(map[string]uint64)
	}
	e.key = strings.Clone(e.key) // the caller's may be a piece of a large buffer
	*x.slot(x.tail) = e
	x.byKey[e.key] = x.tail
	x.tail++
}

// drop forgets the oldest.
func (x *idempotency) drop() {
	e := x.slot(x.head)
	if x.byKey[e.key] == x.head {
		delete(x.byKey, e.key)
	}
	*e = idemEntry{}
	x.head++
}

func (x *idempotency) grow() {
	bigger := make([]idemEntry, max(16, 2*len(x.queue)))
	for n := x.head; n != x.tail; n++ {
		bigger[n&uint64(len(bigger)-1)] = *x.slot(n)
	}
	x.queue = bigger
}

// checkIdempotency decides on a record that carries an Idempotency-Key.
func (s *State) checkIdempotency(now int64, a *RecordAppend) Verdict {
	e := s.idem.get(now, a.IdempotencyKey)
	if e == nil {
		return Verdict{}
	}
	if e.hash != a.BodyHash {
		return refuse(ErrIdempotencyMismatch, e.offset+1)
	}
	b := span{base: e.offset, count: 1, timestamp: e.timestamp}
	return Verdict{Duplicate: true, Answer: s.answer(&b), Cites: e.offset + 1}
}
