package replica

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"sync"

	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/storage/record"
)

// Builders are batch builders that are not in use, so that an idle partition
// holds no buffer. The zero value is ready; share one among many replicas.
type Builders struct {
	pools [record.CodecZstd + 1]sync.Pool
}

func (p *Builders) get(codec record.Codec) *record.Builder {
	if b, ok := p.pools[codec].Get().(*record.Builder); ok {
		return b
	}
	return record.NewBuilder(codec)
}

func (p *Builders) put(codec record.Codec, b *record.Builder) { p.pools[codec].Put(b) }

// pack is the open batch: single records that await the next commit cycle.
// Their offsets are assigned and their meaning is staged, so it is always
// given to the log, even by a leader that has lost its epoch.
type pack struct {
	b      *record.Builder // nil: no batch is open
	codec  record.Codec
	base   int64
	time   int64 // broker's clock when it was opened
	stamp  bool  // records get that time
	marked bool  // holds an Idempotency-Key
	gate   *gate
	// for encoding Idempotency-Keys
	headers []record.HeaderKV
	value   []byte
}

func (p *pack) count() int {
	if p.b == nil {
		return 0
	}
	return p.b.Count()
}

// size is what the open batch holds, in bytes.
func (p *pack) size() int {
	if p.b == nil {
		return 0
	}
	return p.b.Len()
}

// open begins a batch at the log's end.
func (r *Replica) open(now int64) {
	cfg := r.st.Config()
	p := &r.pack
	p.codec, p.base, p.time, p.stamp, p.marked = cfg.Compression, r.st.End(), now, cfg.LogAppendTime, false
	p.b = r.opts.Builders.get(p.codec)
	p.b.Reset(p.base, r.st.LeaderEpoch())
	if p.stamp {
		p.b.SetAppendTime(now)
	}
	p.gate = &gate{}
}

// seal closes the open batch, if there is one, and gives it to the log.
func (r *Replica) seal() {
	p := &r.pack
	if p.b == nil {
		return
	}
	if r.held() {
		r.tell()
	}
	batch := p.b.Build(make([]byte, 0, p.b.Len()))
	r.opts.Builders.put(p.codec, p.b)
	p.b = nil
	if p.marked {
		setAttribute(batch, partition.MarkIdempotency)
	}
	r.append(batch, p.gate)
	p.gate = nil
}

// append gives a batch that is staged at the log's end to the log, and its
// gate to the queue.
func (r *Replica) append(batch []byte, g *gate) {
	h, err := record.ParseHeader(batch)
	if err != nil || h.NextOffset() > r.st.End() {
		panic(fmt.Sprintf("replica %s/%d: batch %+v (%v) is not staged: the end is %d",
			r.opts.Topic, r.opts.ID.Partition, h, err, r.st.End()))
	}
	g.end, g.bytes = h.NextOffset(), int64(len(batch))
	r.staged += g.bytes
	r.snap.grown += g.bytes
	r.log.Append(batch, h)
	r.grown = true
	r.gates.push(g)
}

// gateAt is the gate that opens when the log reaches offset.
func (r *Replica) gateAt(offset int64) *gate {
	if r.pack.b != nil && offset > r.pack.base {
		return r.pack.gate
	}
	return r.gates.at(offset)
}

// touch tells whether the log has to be told, once the lock is released, that
// something is staged.
func (r *Replica) touch() bool {
	first := !r.dirty
	r.dirty = true
	return first
}

// patience is how many milliseconds the open batch is held at most, as long as
// records come: so much, and replicas that are far apart, it may add to a
// record's time.
const patience = 5

// due tells whether the open batch is given to a commit cycle now. A record that
// needs followers is in flight for several times as long as a sync takes here:
// cycles as fast as this disk alone allows would split the load into small
// batches, each of which costs every replica a sync and messages. So while
// something is in flight the open batch is held until the watermark moves, as
// a commit cycle waits for the last one's sync. The first record never waits.
func (r *Replica) due(now int64, acks partition.Acks) bool {
	if acks != partition.AcksAll || r.pack.b == nil || len(r.st.ISR()) < 2 {
		return true
	}
	return r.pack.base <= r.st.HighWatermark() || now-r.pack.time >= patience
}

// held tells whether the open batch waits for the watermark.
func (r *Replica) held() bool { return r.pack.b != nil && !r.dirty }

// tell has the next commit cycle take what is held. The log doesn't call back.
func (r *Replica) tell() {
	r.dirty = true
	r.log.MarkDirty()
}

// castagnoli is never written after its initialization.
//
//nolint:gochecknoglobals // a constant table
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Places in a batch's header.
const (
	atCRC        = 17
	atAttributes = 21
)

// setAttribute sets bits of a batch's attributes and renews its CRC.
func setAttribute(batch []byte, bits int16) {
	at := batch[atAttributes:]
	binary.BigEndian.PutUint16(at, binary.BigEndian.Uint16(at)|uint16(bits))
	binary.BigEndian.PutUint32(batch[atCRC:], crc32.Checksum(at, castagnoli))
}
