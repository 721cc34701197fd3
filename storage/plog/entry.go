package plog

import (
	"encoding/binary"
	"math"

	"github.com/chroniklog/chronik/storage/segment"
)

// The entries of a checkpoint, as varints; see FORMAT.md.

const (
	flagSealed     = 1
	flagSparse     = 2
	flagTombstones = 4
)

func (e *logEntry) append(b []byte) []byte {
	b = append(b, e.ID.Topic[:]...)
	b = binary.AppendUvarint(b, uint64(uint32(e.ID.Partition)))
	b = binary.AppendUvarint(b, uint64(e.Incarnation))
	b = binary.AppendUvarint(b, e.LSN)
	for _, v := range []int64{e.Start, e.Empty, e.HW, e.Cleaned} {
		b = binary.AppendVarint(b, v)
	}
	b = binary.AppendUvarint(b, uint64(len(e.Broken)))
	b = append(b, e.Broken...)
	b = binary.AppendUvarint(b, uint64(len(e.Epochs)))
	for _, x := range e.Epochs {
		b = binary.AppendVarint(b, int64(x.epoch))
		b = binary.AppendVarint(b, x.start)
	}
	b = binary.AppendUvarint(b, uint64(len(e.Segs)))
	for i := range e.Segs {
		b = e.Segs[i].append(b)
	}
	return b
}

func (e *segEntry) append(b []byte) []byte {
	flags := byte(0)
	if e.Sealed {
		flags |= flagSealed
	}
	if e.Sparse {
		flags |= flagSparse
	}
	if e.Tombstones {
		flags |= flagTombstones
	}
	b = append(b, flags)
	b = binary.AppendUvarint(b, e.Number)
	b = binary.AppendUvarint(b, e.Index)
	b = binary.AppendUvarint(b, uint64(e.Pages))
	for _, v := range []int64{e.Base, e.End.Pos, e.End.Next, e.End.MaxTs, e.Cleaned, e.Created, e.Scrubbed} {
		b = binary.AppendVarint(b, v)
	}
	return b
}

// decoder reads entries. Once something is wrong, bad stays set and every
// number is 0.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) fail() { d.b, d.bad = nil, true }

func (d *decoder) bytes(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	x := d.b[:n]
	d.b = d.b[n:]
	return x
}

func (d *decoder) uvarint(most uint64) uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || v > most {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

// count reads a number of things that take at least size bytes each.
func (d *decoder) count(size int) int { return int(d.uvarint(uint64(len(d.b) / size))) }

func (d *decoder) logEntry() (e logEntry) {
	copy(e.ID.Topic[:], d.bytes(16))
	e.ID.Partition = int32(d.uvarint(math.MaxInt32))
	e.Incarnation = uint32(d.uvarint(math.MaxUint32))
	e.LSN = d.uvarint(math.MaxUint64)
	for _, v := range []*int64{&e.Start, &e.Empty, &e.HW, &e.Cleaned} {
		*v = d.varint()
	}
	e.Broken = string(d.bytes(uint64(d.count(1))))
	for range d.count(2) {
		e.Epochs = append(e.Epochs, epochStart{epoch: int32(d.varint()), start: d.varint()})
	}
	for range d.count(11) {
		e.Segs = append(e.Segs, d.segEntry())
	}
	if e.Start < 0 || e.Empty < 0 {
		d.fail()
	}
	return e
}

func (d *decoder) segEntry() (e segEntry) {
	flags := d.bytes(1)
	if d.bad {
		return e
	}
	e.Sealed, e.Sparse = flags[0]&flagSealed != 0, flags[0]&flagSparse != 0
	e.Tombstones = flags[0]&flagTombstones != 0
	e.Number, e.Index = d.uvarint(math.MaxUint64), d.uvarint(math.MaxUint64)
	e.Pages = int(d.uvarint(math.MaxInt32))
	for _, v := range []*int64{&e.Base, &e.End.Pos, &e.End.Next, &e.End.MaxTs, &e.Cleaned, &e.Created, &e.Scrubbed} {
		*v = d.varint()
	}
	if e.Base < 0 || e.End.Pos < segment.HeaderBytes || e.End.Next < e.Base ||
		flags[0]&^(flagSealed|flagSparse|flagTombstones) != 0 {
		d.fail()
	}
	return e
}
