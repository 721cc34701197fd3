package plog

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"

	"github.com/chroniklog/chronik/storage/record"
	"github.com/chroniklog/chronik/storage/segment"
)

// rewriter copies batches to a new segment, without the records that
// compaction drops.
type rewriter struct {
	c          *compaction
	seg        *segment.Segment
	drop       bool // tombstones have been kept long enough
	todo       []segment.Batch
	bytes      int
	dropped    int // records
	tombstones bool
	reader     record.Reader
	builders   [record.CodecZstd + 1]*record.Builder
}

// batch copies one batch, as it is if all of its records stay.
func (w *rewriter) batch(h *record.Header, b []byte) error {
	if h.NextOffset() <= w.c.start { // trimmed
		w.dropped += int(h.Count)
		return nil
	}
	out := b
	if !h.Control() {
		var err error
		if out, err = w.filter(h, b); err != nil || out == nil {
			return err
		}
	}
	if len(out) == len(b) && &out[0] == &b[0] {
		out = bytes.Clone(b) // Walk's memory
	}
	n, err := record.ParseHeader(out)
	if err != nil {
		return err
	}
	w.todo = append(w.todo, segment.Batch{B: out, Base: n.BaseOffset, Next: n.NextOffset(), Ts: n.MaxTimestamp})
	if w.bytes += len(out); w.bytes < flushBytes {
		return nil
	}
	return w.flush()
}

// filter returns the batch without the records that go: itself if none does,
// nil if all do.
func (w *rewriter) filter(h *record.Header, b []byte) ([]byte, error) {
	if _, err := w.reader.Reset(b, maxDecompressed); err != nil {
		return nil, err
	}
	var rec record.Record
	kept, gone := 0, 0
	for w.reader.Next(&rec) {
		if w.keeps(&rec) {
			kept++
			w.tombstones = w.tombstones || rec.Value == nil && rec.Key != nil
		} else {
			gone++
		}
	}
	if err := w.reader.Err(); err != nil {
		return nil, err
	}
	w.dropped += gone
	switch {
	case gone == 0 && kept > 0:
		return b, nil
	case kept == 0:
		return nil, nil
	}
	return w.rebuild(h, b)
}

// keeps tells whether a record stays.
func (w *rewriter) keeps(rec *record.Record) bool {
	if rec.Key == nil || rec.Offset >= w.c.upto {
		return true
	}
	if last, ok := w.c.keys.last[string(rec.Key)]; ok && last > rec.Offset {
		return false
	}
	return rec.Value != nil || !w.drop
}

// Places in a batch's header.
const (
	atBatchCRC        = 17
	atBatchAttributes = 21
)

// rebuild encodes the records that stay: same codec, offsets, producer and
// attributes.
func (w *rewriter) rebuild(h *record.Header, b []byte) ([]byte, error) {
	builder := w.builders[h.Codec()]
	if builder == nil {
		builder = record.NewBuilder(h.Codec())
		w.builders[h.Codec()] = builder
	}
	builder.Reset(h.BaseOffset, h.LeaderEpoch)
	builder.SetProducer(h.ProducerID, h.ProducerEpoch, h.BaseSequence)
	if h.LogAppendTime() {
		builder.SetAppendTime(h.MaxTimestamp)
	}
	if _, err := w.reader.Reset(b, maxDecompressed); err != nil {
		return nil, err
	}
	var rec record.Record
	for w.reader.Next(&rec) {
		if w.keeps(&rec) {
			builder.AppendAt(rec.Offset, rec.Timestamp, rec.Key, rec.Value, rec.Headers)
		}
	}
	builder.SetLastOffset(h.LastOffset())
	out := builder.Build(nil)
	// Attributes that the builder doesn't know are kept too.
	binary.BigEndian.PutUint16(out[atBatchAttributes:], uint16(h.Attributes))
	binary.BigEndian.PutUint32(out[atBatchCRC:], crc32.Checksum(out[atBatchAttributes:], castagnoli))
	return out, w.reader.Err()
}

// flush writes what was gathered.
func (w *rewriter) flush() error {
	if len(w.todo) == 0 {
		return nil
	}
	end, index, err := w.seg.Write(w.c.l.s.segFiles, w.todo)
	if err != nil {
		return err
	}
	w.seg.End, w.seg.Index = end, index
	w.todo, w.bytes = w.todo[:0], 0
	return nil
}

// complete makes the new segment durable.
func (w *rewriter) complete() error {
	s := w.c.l.s
	index, err := w.seg.Seal(s.segFiles)
	if err != nil {
		return err
	}
	if err := s.syncSeg(w.seg); err != nil {
		return err
	}
	if err := s.syncDir(shardOf(w.c.l.id)); err != nil {
		return err
	}
	w.seg.Index, w.seg.Sealed, w.seg.Named = index, true, true
	// Known: until a checkpoint lists this segment, recovery knows the old
	// ones, which are as good.
	w.seg.Synced, w.seg.Known, w.seg.SyncedPages = w.seg.End, w.seg.End, index.Pages
	return nil
}

// abandon lets go of a segment that is not wanted.
func (w *rewriter) abandon() { w.c.l.s.trash(w.seg.Name, w.seg.Index.Name) }
