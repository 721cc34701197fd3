package record

import (
	"encoding/binary"
	"math"
)

// Builder makes batches, record by record. Keep it for many batches: Reset
// keeps its memory. It is not safe for concurrent use.
//
// It never fails and knows no limit: the caller bounds the batch with Len,
// Count and RecordSize, and stays below 2 GiB.
type Builder struct {
	codec     Codec
	h         Header
	buf       []byte // room for the header, then the encoded records
	lastDelta int32  // of the last record, -1 before the first
}

// NewBuilder makes a Builder of batches that are compressed with codec, which
// must be known. It is at offset 0, epoch 0.
func NewBuilder(codec Codec) *Builder {
	b := &Builder{codec: codec}
	b.Reset(0, 0)
	return b
}

// Reset begins an empty batch, of no producer, that starts at baseOffset. The
// codec is kept.
func (b *Builder) Reset(baseOffset int64, epoch int32) {
	if cap(b.buf) > maxKeptBuffer {
		b.buf = nil
	}
	if b.buf == nil {
		b.buf = make([]byte, HeaderLen, 1024)
	}
	b.buf = b.buf[:HeaderLen]
	b.lastDelta = -1
	b.h = Header{
		BaseOffset: baseOffset, LeaderEpoch: epoch, Magic: magic,
		Attributes: int16(b.codec), LastOffsetDelta: -1,
		ProducerID: NoProducerID, ProducerEpoch: -1, BaseSequence: -1,
		BaseTimestamp: -1, MaxTimestamp: -1,
	}
}

// SetProducer names the idempotent producer and the sequence of the first
// record.
func (b *Builder) SetProducer(id int64, epoch int16, seq int32) {
	b.h.ProducerID, b.h.ProducerEpoch, b.h.BaseSequence = id, epoch, seq
}

// SetControl makes it a control batch, which consumers skip.
func (b *Builder) SetControl() { b.h.Attributes |= bitControl }

// SetTransactional makes it part of its producer's transaction.
func (b *Builder) SetTransactional() { b.h.Attributes |= bitTransactional }

// SetAppendTime gives every record the timestamp ts (Unix milliseconds).
func (b *Builder) SetAppendTime(ts int64) {
	b.h.Attributes |= bitLogAppendTime
	b.h.MaxTimestamp = ts
}

// SetLastOffset makes the batch span the offsets up to last even if its
// records end before; a later record moves it on. For rewriting batches whose
// last records are gone.
func (b *Builder) SetLastOffset(last int64) {
	b.h.LastOffsetDelta = int32(last - b.h.BaseOffset)
}

// Append adds a record and returns its offset delta. ts is in Unix
// milliseconds; a nil key or value is Kafka's null. Everything is copied.
func (b *Builder) Append(ts int64, key, value []byte, headers []HeaderKV) (delta int32) {
	delta = b.lastDelta + 1
	b.append(delta, ts, key, value, headers)
	return delta
}

// AppendAt is Append of a record that keeps its offset, which must exceed the
// previous one's. For rewriting batches with holes.
func (b *Builder) AppendAt(offset, ts int64, key, value []byte, headers []HeaderKV) {
	b.append(int32(offset-b.h.BaseOffset), ts, key, value, headers)
}

func (b *Builder) append(delta int32, ts int64, key, value []byte, headers []HeaderKV) {
	if b.h.Count == 0 {
		b.h.BaseTimestamp = ts
		if b.h.Attributes&bitLogAppendTime == 0 {
			b.h.MaxTimestamp = ts
		}
	}
	if b.h.Attributes&bitLogAppendTime == 0 && ts > b.h.MaxTimestamp {
		b.h.MaxTimestamp = ts
	}
	tsDelta := ts - b.h.BaseTimestamp
	length := 1 + varintLen(tsDelta) + varintLen(int64(delta)) + contentSize(key, value, headers)
	p := appendVarint(b.buf, int64(length))
	p = append(p, 0)
	p = appendVarint(p, tsDelta)
	p = appendVarint(p, int64(delta))
	p = appendBytes(p, key)
	p = appendBytes(p, value)
	p = appendVarint(p, int64(len(headers)))
	for i := range headers {
		p = appendVarint(p, int64(len(headers[i].Key)))
		p = append(p, headers[i].Key...)
		p = appendBytes(p, headers[i].Value)
	}
	b.buf = p
	b.lastDelta = delta
	b.h.Count++
	b.h.LastOffsetDelta = max(b.h.LastOffsetDelta, delta)
}

func appendBytes(p, b []byte) []byte {
	if b == nil {
		return append(p, 1) // zigzag of -1
	}
	return append(appendVarint(p, int64(len(b))), b...)
}

// Len is the size in bytes that the batch has so far, uncompressed, its header
// included.
func (b *Builder) Len() int { return len(b.buf) }

// Count is the number of records so far.
func (b *Builder) Count() int { return int(b.h.Count) }

// Build appends the batch to dst and returns the extended slice, which does
// not alias the Builder. A batch without records is appended only if
// SetLastOffset gave it a span, else dst is returned as it is. More records
// may follow for a later Build of the longer batch.
func (b *Builder) Build(dst []byte) []byte {
	if b.h.LastOffsetDelta < 0 {
		return dst
	}
	start := len(dst)
	if b.codec == CodecNone || b.h.Count == 0 {
		dst = append(dst, b.buf...)
	} else {
		dst = append(dst, b.buf[:HeaderLen]...)
		dst = compress(b.codec, dst, b.buf[HeaderLen:])
	}
	batch := dst[start:]
	if len(batch) > math.MaxInt32 {
		panic("record: batch exceeds 2 GiB")
	}
	h := b.h
	h.Length = int32(len(batch) - LogOverhead)
	h.put(batch)
	binary.BigEndian.PutUint32(batch[atCRC:], checksum(batch))
	return dst
}
