package replication

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/storage/plog"
)

// Bounds of a message. A peer that exceeds them is cut off: it is broken or
// it isn't ours.
const (
	// MaxMessageBytes bounds an encoded message; a leader's answer holds at
	// least one whole batch, and a batch is smaller than that.
	MaxMessageBytes = 128 << 20
	// MaxPartitions bounds the partitions that one message speaks of; a peer
	// that has more to say sends another message.
	MaxPartitions = 4096
)

// ErrMessage: a message can't be decoded. The connection is closed.
var ErrMessage = errors.New("malformed replication message")

// Position is one partition of a fetch: where the follower's log ends, in
// memory and on disk. It stands until the follower sends another.
type Position struct {
	ID          plog.ID
	LeaderEpoch int32
	// Offset is the end of the follower's log: what it wants next.
	Offset int64
	// Flushed is the end of what it has synced.
	Flushed int64
	// LastEpoch is the leader epoch of its last batch, -1 if it has none.
	LastEpoch int32
	// Wants asks for batches from Offset on, once; without it the position
	// tells progress only, and an earlier wish stands.
	Wants bool
	// Gone takes the partition out of the session; the rest is ignored.
	Gone bool
}

// Fetch is a message of a follower: positions that have changed since its
// last message on this connection (an incremental session in the sense of
// KIP-227, of which the connection is the identity).
type Fetch struct {
	// BrokerEpoch is the follower's registration, KIP-903.
	BrokerEpoch uint64
	Positions   []Position
}

// Code is the outcome of a position.
type Code uint8

// The outcomes. A follower handles Diverging and BelowStart itself; after the
// others it waits for metadata or for its next message to be right.
const (
	CodeOK Code = iota
	// CodeDiverging: the follower's log is not a prefix of the leader's;
	// DivergingEpoch and DivergingEnd tell where they part at the latest.
	CodeDiverging
	// CodeBelowStart: the leader's log starts above the follower's end; the
	// follower resets to LogStart.
	CodeBelowStart
	// CodeNotLeader: the peer doesn't lead the partition.
	CodeNotLeader
	// CodeStaleEpoch: the follower's leader epoch is older than the leader's.
	CodeStaleEpoch
	// CodeUnknownEpoch: the follower's leader epoch is newer than the leader's.
	CodeUnknownEpoch
	// CodeStaleBroker: the follower's broker epoch is older than one seen.
	CodeStaleBroker
	// CodeNotReplica: the follower isn't assigned to the partition.
	CodeNotReplica
	// CodeFailed: the leader could not read its log.
	CodeFailed
	// CodeState: Batches is the leader's saved state, which the follower takes
	// over before it goes on: the batches alone don't tell it.
	CodeState

	codes
)

// Data is one partition of an answer.
type Data struct {
	ID             plog.ID
	LeaderEpoch    int32
	Code           Code
	HighWatermark  int64
	LogStart       int64
	DivergingEpoch int32
	DivergingEnd   int64
	// Traced are the appends among Batches that are part of sampled traces, at
	// most partition.MaxTraced. While nothing is sampled they cost no byte.
	Traced []partition.Traced
	// Batches are whole record batches from the position's Offset on, or, with
	// CodeState, a saved state; after decoding they alias the message.
	Batches []byte
}

// codeTraced is set in the code of an answer that has Traced.
const codeTraced = 0x80

// The kinds of positions.
const (
	kindWants byte = iota
	kindGone
	kindProgress
)

// AppendFetch appends the encoded message to dst.
func AppendFetch(dst []byte, f *Fetch) []byte {
	dst = binary.BigEndian.AppendUint64(dst, f.BrokerEpoch)
	dst = binary.AppendUvarint(dst, uint64(len(f.Positions)))
	for i := range f.Positions {
		p := &f.Positions[i]
		dst = appendID(dst, p.ID)
		if p.Gone {
			dst = append(dst, kindGone)
			continue
		}
		if p.Wants {
			dst = append(dst, kindWants)
		} else {
			dst = append(dst, kindProgress)
		}
		dst = binary.AppendVarint(dst, int64(p.LeaderEpoch))
		dst = binary.AppendVarint(dst, p.Offset)
		dst = binary.AppendVarint(dst, p.Flushed)
		dst = binary.AppendVarint(dst, int64(p.LastEpoch))
	}
	return dst
}

// DecodeFetch decodes a message into f, whose Positions are reused.
func DecodeFetch(b []byte, f *Fetch) error {
	d := decoder{b: b}
	f.BrokerEpoch = d.uint64()
	n := d.count(minPosition)
	f.Positions = f.Positions[:0]
	for range n {
		p := Position{ID: d.id()}
		switch kind := d.byte(); kind {
		case kindWants, kindProgress:
			p.Wants = kind == kindWants
			p.LeaderEpoch = d.int32()
			p.Offset = d.offset()
			p.Flushed = d.offset()
			p.LastEpoch = d.int32()
		case kindGone:
			p.Gone = true
		default:
			d.fail("unknown kind of position")
		}
		if d.err != nil {
			return d.err
		}
		f.Positions = append(f.Positions, p)
	}
	return d.end()
}

// AppendData appends one partition of an answer to dst. A message is a
// concatenation of them.
func AppendData(dst []byte, x *Data) []byte {
	dst = appendID(dst, x.ID)
	code := byte(x.Code)
	if len(x.Traced) > 0 {
		code |= codeTraced
	}
	dst = append(dst, code)
	dst = binary.AppendVarint(dst, int64(x.LeaderEpoch))
	dst = binary.AppendVarint(dst, x.HighWatermark)
	dst = binary.AppendVarint(dst, x.LogStart)
	if x.Code == CodeDiverging {
		dst = binary.AppendVarint(dst, int64(x.DivergingEpoch))
		dst = binary.AppendVarint(dst, x.DivergingEnd)
	}
	if len(x.Traced) > 0 {
		dst = append(dst, byte(len(x.Traced)))
		for i := range x.Traced {
			dst = binary.AppendVarint(dst, x.Traced[i].Offset)
			dst = append(dst, x.Traced[i].Context[:]...)
		}
	}
	dst = binary.AppendUvarint(dst, uint64(len(x.Batches)))
	return append(dst, x.Batches...)
}

// DecodeData decodes the first partition of an answer and returns the rest.
func DecodeData(b []byte, x *Data) (rest []byte, err error) {
	d := decoder{b: b}
	*x = Data{ID: d.id()}
	code := d.byte()
	x.Code, x.LeaderEpoch = Code(code&^codeTraced), d.int32()
	x.HighWatermark, x.LogStart = d.offset(), d.offset()
	if x.Code >= codes {
		d.fail("unknown code")
	}
	if x.Code == CodeDiverging {
		x.DivergingEpoch, x.DivergingEnd = d.int32(), d.offset()
	}
	if code&codeTraced != 0 {
		x.Traced = d.traced()
	}
	x.Batches = d.bytes()
	return d.b, d.err
}

// minPosition is the least size of an encoded position: it bounds a count
// before anything is allocated for it.
const minPosition = 16 + 4 + 1

func appendID(dst []byte, id plog.ID) []byte {
	dst = append(dst, id.Topic[:]...)
	return binary.BigEndian.AppendUint32(dst, uint32(id.Partition))
}

// decoder reads a message; after the first error everything is zero.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", ErrMessage, what)
	}
	d.b = nil
}

func (d *decoder) take(n int) []byte {
	if d.err != nil || len(d.b) < n {
		d.fail("it ends too early")
		return nil
	}
	out := d.b[:n:n]
	d.b = d.b[n:]
	return out
}

func (d *decoder) byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) uint64() uint64 {
	if b := d.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (d *decoder) id() (id plog.ID) {
	b := d.take(20)
	if b == nil {
		return id
	}
	copy(id.Topic[:], b)
	id.Partition = int32(binary.BigEndian.Uint32(b[16:]))
	if id.Partition < 0 {
		d.fail("negative partition")
	}
	return id
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail("bad varint")
		return 0
	}
	d.b = d.b[n:]
	return v
}

// int32 reads an epoch, which is at least -1.
func (d *decoder) int32() int32 {
	v := d.varint()
	if v < -1 || v > math.MaxInt32 {
		d.fail("epoch out of range")
		return 0
	}
	return int32(v)
}

func (d *decoder) offset() int64 {
	v := d.varint()
	if v < 0 {
		d.fail("negative offset")
		return 0
	}
	return v
}

// traced reads the sampled appends.
func (d *decoder) traced() []partition.Traced {
	n := int(d.byte())
	if n == 0 || n > partition.MaxTraced || n*(1+len(partition.TraceContext{})) > len(d.b) {
		d.fail("number of traces out of range")
		return nil
	}
	list := make([]partition.Traced, n)
	for i := range list {
		list[i].Offset = d.offset()
		copy(list[i].Context[:], d.take(len(list[i].Context)))
	}
	return list
}

// count reads a number of things of at least size bytes each.
func (d *decoder) count(size int) int {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || v > MaxPartitions || v > uint64(len(d.b)/size) {
		d.fail("count out of range")
		return 0
	}
	d.b = d.b[n:]
	return int(v)
}

func (d *decoder) bytes() []byte {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || v > uint64(len(d.b)-n) {
		d.fail("length out of range")
		return nil
	}
	d.b = d.b[n:]
	return d.take(int(v))
}

// end requires that nothing is left.
func (d *decoder) end() error {
	if d.err == nil && len(d.b) != 0 {
		d.fail("bytes left over")
	}
	return d.err
}
