package partition

import (
	"time"

	"github.com/chroniklog/chronik/storage/record"
)

// Acks says when an append is answered. The numbers are Kafka's.
type Acks int16

const (
	// AcksAll answers when every in-sync replica has synced the record and
	// at least min.insync.replicas of them exist. It is the default.
	AcksAll Acks = -1
	// AcksNone answers when the record is accepted into memory.
	AcksNone Acks = 0
	// AcksLeader answers when the leader has synced the record; a failover
	// may lose it.
	AcksLeader Acks = 1
)

// NoOffset is the absence of an offset in conditions.
const NoOffset int64 = -1

// Conditions are checked in order, record by record, against what is staged
// too, under the partition's lock. The zero value is not "no conditions":
// use NoConditions.
type Conditions struct {
	// ExpectOffset is the offset that the first record must get, or NoOffset.
	ExpectOffset int64
	// Fence, when not nil, must equal the partition's fence token.
	Fence *string
	// IfKeyOffset, when ≥ 0, requires that the record's key was last written
	// at that offset (HTTP If-Match). Compacted topics only.
	IfKeyOffset int64
	// IfKeyAbsent requires that the key has no live value (If-None-Match: *).
	IfKeyAbsent bool
}

// NoConditions requires nothing.
var NoConditions = Conditions{ExpectOffset: NoOffset, IfKeyOffset: NoOffset}

// ProducerSeq places an append in an idempotent producer's sequence (KIP-98).
type ProducerSeq struct {
	ID    int64
	Epoch int16
	Seq   int32
}

// RecordAppend is one record of a producer that sends records, not batches.
// Records that arrive in one commit cycle without Producer share a batch.
// Key, Value and Headers are copied before the call returns.
type RecordAppend struct {
	Key, Value []byte // nil is Kafka's null
	Headers    []record.HeaderKV
	Timestamp  int64 // Unix milliseconds; negative: the broker's clock
	Acks       Acks
	Cond       Conditions
	Producer   *ProducerSeq
	// IdempotencyKey, when not empty, makes a repeat within 24 h answer the
	// first append's offset; BodyHash tells a repeat from another body.
	IdempotencyKey string
	BodyHash       [16]byte
	Pin            Pin
	Trace          *TraceContext // nil: not sampled
}

// BatchAppend is one record batch (v2) as a client built it. The partition
// owns Batch from the call on and rewrites base offset and leader epoch.
type BatchAppend struct {
	Batch  []byte
	Header record.Header // of Batch, as record.Validate returned it
	Acks   Acks
	Cond   Conditions
	Pin    Pin
	Trace  *TraceContext // nil: not sampled
}

// Pin names the only leader epoch in which an append may be taken; in others it
// is refused as by a node that does not lead. The zero Pin is any epoch. It
// keeps an append that was sent to one leader from being taken by the next,
// before another one that the first has refused.
type Pin int32

// PinTo is the Pin to a leader epoch.
func PinTo(epoch int32) Pin { return Pin(epoch + 1) }

func (p Pin) allows(epoch int32) bool { return p == 0 || p == PinTo(epoch) }

// Appended is the answer to an append.
type Appended struct {
	Offset      int64 // of the first record
	LastOffset  int64
	Timestamp   int64 // Unix milliseconds, of the (last) record; -1 when the client's is kept
	Duplicate   bool  // a repeat: Offset is the first append's
	LeaderEpoch int32
	LogStart    int64
}

// Isolation chooses the end of what a read may see.
type Isolation int8

const (
	// ReadUncommitted reads up to the high watermark.
	ReadUncommitted Isolation = 0
	// ReadCommitted reads up to the last stable offset.
	ReadCommitted Isolation = 1
)

// Offsets describes a partition's log at one moment.
type Offsets struct {
	LogStart      int64
	HighWatermark int64
	LastStable    int64
	LogEnd        int64 // leader's staged end; never shown to consumers
	LeaderEpoch   int32
}

// Cycle describes the commit cycle that made an append durable, for traces.
type Cycle struct {
	ID        uint64
	Start     time.Time // cycle took what was staged
	SyncStart time.Time
	End       time.Time // sync returned
	Bytes     int64
	Batches   int
	Journal   bool // through the journal, else straight to segments
}
