package partition

import (
	"encoding/binary"
	"fmt"
	"math"
)

// snapshotVersion begins an encoded snapshot.
const snapshotVersion = 1

// Snapshot is a copy of the derived state, made under the executor's lock and
// encoded outside of it.
type Snapshot struct {
	offset    int64
	fence     fence
	producers []producer // idle longest first; links are nil
	idem      []idemEntry
}

// Offset is the log end that the snapshot holds for.
func (sn *Snapshot) Offset() int64 { return sn.offset }

// Empty tells whether there is nothing to remember.
func (sn *Snapshot) Empty() bool {
	return len(sn.producers) == 0 && len(sn.idem) == 0 && sn.fence.offset == NoOffset
}

// HasDerived tells whether a snapshot would hold anything.
func (s *State) HasDerived() bool {
	return len(s.producers.byID) > 0 || s.idem.head != s.idem.tail || s.fence.offset != NoOffset
}

// Snapshot copies the derived state, without what has expired at now.
func (s *State) Snapshot(now int64) *Snapshot {
	s.producers.expire(now)
	sn := &Snapshot{offset: s.end, fence: s.fence, producers: make([]producer, 0, len(s.producers.byID))}
	for p := s.producers.root.next; p != s.producers.root; p = p.next {
		c := *p
		c.prev, c.next = nil, nil
		sn.producers = append(sn.producers, c)
	}
	sn.idem = make([]idemEntry, 0, s.idem.tail-s.idem.head)
	for n := s.idem.head; n != s.idem.tail; n++ {
		if e := s.idem.slot(n); e.at > now-s.idem.ttl {
			sn.idem = append(sn.idem, *e)
		}
	}
	return sn
}

// Encode writes the snapshot: varints throughout, counts before lists.
func (sn *Snapshot) Encode() []byte {
	b := make([]byte, 0, 64+len(sn.producers)*80+len(sn.idem)*80)
	b = append(b, snapshotVersion)
	b = binary.AppendVarint(b, sn.offset)
	b = binary.AppendVarint(b, sn.fence.offset)
	b = appendString(b, sn.fence.token)
	b = binary.AppendUvarint(b, uint64(len(sn.producers)))
	for i := range sn.producers {
		b = sn.producers[i].append(b)
	}
	b = binary.AppendUvarint(b, uint64(len(sn.idem)))
	for i := range sn.idem {
		e := &sn.idem[i]
		b = appendString(b, e.key)
		b = append(b, e.hash[:]...)
		b = binary.AppendVarint(b, e.offset)
		b = binary.AppendVarint(b, e.timestamp)
		b = binary.AppendVarint(b, e.at)
	}
	return b
}

func (p *producer) append(b []byte) []byte {
	b = binary.AppendVarint(b, p.id)
	b = binary.AppendVarint(b, int64(p.epoch))
	b = binary.AppendVarint(b, p.seen)
	b = append(b, p.n)
	for i := range p.n {
		w := p.at(i)
		b = binary.AppendVarint(b, int64(w.seq))
		b = binary.AppendVarint(b, int64(w.count))
		b = binary.AppendVarint(b, w.base)
		b = binary.AppendVarint(b, w.timestamp)
	}
	return b
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// Restore replaces the derived state by an encoded snapshot, whose offset
// becomes the log end: Replay goes on from there. On ErrSnapshot the derived
// state is empty and the log end 0.
func (s *State) Restore(b []byte) error {
	s.clearDerived(0)
	d := decoder{b: b}
	s.restore(&d)
	if d.bad || len(d.b) > 0 {
		s.clearDerived(0)
		return fmt.Errorf("%w: %d bytes, undecoded %d", ErrSnapshot, len(b), len(d.b))
	}
	return nil
}

// ResetDerived empties the derived state of a log that now starts, or is to be
// replayed, at offset.
func (s *State) ResetDerived(offset int64) { s.clearDerived(offset) }

func (s *State) restore(d *decoder) {
	if d.byte() != snapshotVersion {
		d.bad = true
		return
	}
	s.end = d.offset()
	s.covered = s.end
	s.fence.offset = d.between(NoOffset, math.MaxInt64)
	s.fence.token = d.string(MaxFenceToken)
	for n := d.count(); n > 0 && !d.bad; n-- {
		s.restoreProducer(d)
	}
	for n := d.count(); n > 0 && !d.bad; n-- {
		e := idemEntry{key: d.string(MaxIdempotencyKey)}
		copy(e.hash[:], d.take(len(e.hash)))
		e.offset, e.timestamp, e.at = d.offset(), d.varint(), d.varint()
		if !d.bad && e.key != "" {
			s.idem.put(e)
		}
	}
}

func (s *State) restoreProducer(d *decoder) {
	seq := ProducerSeq{ID: d.between(0, math.MaxInt64), Epoch: int16(d.between(0, math.MaxInt16))}
	seen, n := d.varint(), d.byte()
	if n == 0 || n > windowBatches {
		d.bad = true
	}
	for ; n > 0 && !d.bad; n-- {
		seq.Seq = int32(d.between(0, math.MaxInt32))
		w := span{count: int32(d.between(1, math.MaxInt32)), base: d.offset(), timestamp: d.varint()}
		if !d.bad {
			s.producers.put(seen, &seq, w)
		}
	}
}

// decoder reads a snapshot; after the first fault it yields zeros.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) take(n int) []byte {
	if d.bad || n > len(d.b) {
		d.bad = true
		return nil
	}
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) byte() byte {
	if v := d.take(1); v != nil {
		return v[0]
	}
	return 0
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.bad = true
	}
	if d.bad {
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) between(low, high int64) int64 {
	v := d.varint()
	if v < low || v > high {
		d.bad = true
		return 0
	}
	return v
}

func (d *decoder) offset() int64 { return d.between(0, math.MaxInt64) }

// count reads a list's length; every element takes a byte at least.
func (d *decoder) count() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || v > uint64(len(d.b)) {
		d.bad = true
	}
	if d.bad {
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) string(limit int) string {
	n := d.count()
	if n > uint64(limit) {
		d.bad = true
		return ""
	}
	return string(d.take(int(n)))
}
