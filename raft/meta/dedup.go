package meta

import "encoding/binary"

// dedup remembers the results of the last DedupWindow requests. Slot i of the
// ring has the key for i in the store: the window costs one write per command
// and leaves no tombstones.
type dedup struct {
	seq   uint64 // requests so far
	ring  []dedupItem
	slots map[ID]int
}

type dedupItem struct {
	seq    uint64
	id     ID
	result Result
}

func (d *dedup) find(id ID) (Result, bool) {
	i, ok := d.slots[id]
	if !ok {
		return Result{}, false
	}
	return d.ring[i].result, true
}

// expired tells that a request which was first sent when the count was seq may
// have been forgotten.
func (d *dedup) expired(seq uint64) bool { return seq+DedupWindow <= d.seq }

func (d *dedup) add(id ID, r Result) Change {
	slot := int(d.seq % DedupWindow)
	item := dedupItem{seq: d.seq, id: id, result: r}
	d.place(slot, item)
	d.seq++
	return Change{Key: dedupKey(slot), Value: encodeDedup(item)}
}

func (d *dedup) place(slot int, item dedupItem) {
	for slot >= len(d.ring) {
		d.ring = append(d.ring, dedupItem{})
	}
	if old := d.ring[slot].id; old != (ID{}) {
		delete(d.slots, old)
	}
	d.ring[slot] = item
	d.slots[item.id] = slot
}

func dedupKey(slot int) []byte { return binary.BigEndian.AppendUint32([]byte{keyDedup}, uint32(slot)) }

func encodeDedup(it dedupItem) []byte {
	e := encoder{b: make([]byte, 0, 40)}
	e.byte(recordVersion)
	e.u64(it.seq)
	e.id(it.id)
	encodeResult(&e, it.result)
	return e.b
}

func decodeDedup(d *decoder) dedupItem {
	return dedupItem{seq: d.u64(), id: d.id(), result: decodeResult(d)}
}

func encodeResult(e *encoder, r Result) {
	e.byte(byte(r.Code))
	e.str(r.Detail)
	e.i64(r.Value)
	e.i32(r.Changed)
	e.bool(r.More)
	e.u64(r.Index)
}

func decodeResult(d *decoder) Result {
	return Result{
		Code: Code(d.byte()), Detail: d.str(), Value: d.i64(),
		Changed: d.i32(), More: d.bool(), Index: d.u64(),
	}
}

// AppendResult encodes a result for another node, behind dst.
func AppendResult(dst []byte, r Result) []byte {
	e := encoder{b: dst}
	encodeResult(&e, r)
	e.bool(r.Duplicate)
	return e.b
}

// ParseResult reads what AppendResult wrote.
func ParseResult(b []byte) (Result, error) {
	d := decoder{b: b}
	r := decodeResult(&d)
	r.Duplicate = d.bool()
	return r, d.end()
}
