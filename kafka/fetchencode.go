package kafka

import (
	"encoding/binary"

	"github.com/chroniklog/chronik/server/partition"
)

// encode writes the answer by hand: the records are set in as the log holds
// them, and nothing is allocated for each partition. The tests hold the bytes
// against kmsg's at every version.
func (f *fetch) encode(out *output, code int16) {
	w := writer{b: out.buf, compact: f.version >= fetchFlexible}
	w.int32(0) // throttle time
	if f.version >= fetchSessions {
		w.int16(code)
		w.int32(f.context.id)
	}
	var h hints
	shown := f.shown(code)
	w.count(topics(shown, f.context.parts))
	for from := 0; from < len(shown); {
		to := from + 1
		first := f.context.parts[shown[from]]
		for to < len(shown) && sameTopic(first, f.context.parts[shown[to]]) {
			to++
		}
		if f.version >= fetchTopicIDs {
			w.b = append(w.b, first.id[:]...)
		} else {
			w.string(first.name)
		}
		w.count(to - from)
		for _, i := range shown[from:to] {
			f.encodePart(&w, out, f.context.parts[i], &f.results[i])
			h.add(f.results[i].leader)
		}
		w.noTags()
		from = to
	}
	f.encodeEndpoints(&w, h.endpoints(f.k.broker))
	out.buf = w.b
}

// shown are the partitions that the answer has, and notes for a session what
// its client then knows.
func (f *fetch) shown(code int16) []int {
	if code != codeNone {
		return nil
	}
	list := make([]int, 0, len(f.results))
	for i := range f.results {
		if p, r := f.context.parts[i], &f.results[i]; f.context.news(p, r) {
			list = append(list, i)
		}
	}
	return list
}

func sameTopic(a, b *fetchPart) bool { return a.name == b.name && a.id == b.id }

// topics counts the runs of one topic.
func topics(shown []int, parts []*fetchPart) (n int) {
	for j, i := range shown {
		if j == 0 || !sameTopic(parts[shown[j-1]], parts[i]) {
			n++
		}
	}
	return n
}

func (f *fetch) encodePart(w *writer, out *output, p *fetchPart, r *fetched) {
	offsets := r.offsets
	if r.code != codeNone {
		offsets = partition.Offsets{HighWatermark: -1, LastStable: -1, LogStart: -1}
	}
	w.int32(p.index)
	w.int16(r.code)
	w.int64(offsets.HighWatermark)
	w.int64(offsets.LastStable)
	if f.version >= 5 {
		w.int64(offsets.LogStart)
	}
	if f.isolation == partition.ReadCommitted {
		w.count(0) // no transaction was aborted
	} else {
		w.count(-1)
	}
	if f.version >= 11 {
		w.int32(-1) // no preferred replica: the leader is read from
	}
	w.count(len(r.batches)) // bytes have the length of an array
	out.buf = w.b
	out.records(r.batches)
	if !w.compact {
		return
	}
	tags := 0
	if r.diverging != nil {
		tags++
	}
	if r.leader.id >= 0 {
		tags++
	}
	w.uvarint(tags)
	if r.diverging != nil {
		w.b = append(w.b, 0, 4+8+1)
		w.int32(r.diverging.Epoch)
		w.int64(r.diverging.End)
		w.noTags()
	}
	if r.leader.id >= 0 {
		w.b = append(w.b, 1, 4+4+1)
		w.int32(r.leader.id)
		w.int32(r.leader.epoch)
		w.noTags()
	}
}

// encodeEndpoints ends the answer, with the nodes that its hints name.
func (f *fetch) encodeEndpoints(w *writer, list []endpoint) {
	if !w.compact {
		return
	}
	if len(list) == 0 || f.version < fetchEndpoints {
		w.noTags()
		return
	}
	body := writer{compact: true}
	body.count(len(list))
	for _, e := range list {
		body.int32(e.id)
		body.string(e.host)
		body.int32(e.port)
		body.uvarint(0) // no rack
		body.noTags()
	}
	w.b = append(w.b, 1, 0)
	w.uvarint(len(body.b))
	w.b = append(w.b, body.b...)
}

// writer encodes the protocol's primitives.
type writer struct {
	b       []byte
	compact bool // the version is flexible (KIP-482)
}

func (w *writer) int16(v int16) { w.b = binary.BigEndian.AppendUint16(w.b, uint16(v)) }
func (w *writer) int32(v int32) { w.b = binary.BigEndian.AppendUint32(w.b, uint32(v)) }
func (w *writer) int64(v int64) { w.b = binary.BigEndian.AppendUint64(w.b, uint64(v)) }
func (w *writer) uvarint(v int) { w.b = binary.AppendUvarint(w.b, uint64(v)) }

// count writes the length of an array or of bytes; -1 is null.
func (w *writer) count(n int) {
	if w.compact {
		w.uvarint(n + 1)
		return
	}
	w.int32(int32(n))
}

func (w *writer) string(s string) {
	if w.compact {
		w.uvarint(len(s) + 1)
	} else {
		w.int16(int16(len(s)))
	}
	w.b = append(w.b, s...)
}

// noTags ends a struct of a flexible version.
func (w *writer) noTags() {
	if w.compact {
		w.b = append(w.b, 0)
	}
}
