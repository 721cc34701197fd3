package replica

import (
	"context"
	"log/slog"
	"time"

	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/storage/plog"
	"github.com/chroniklog/chronik/storage/record"
)

// Log is what a replica asks of its log; *plog.Log is one. Reads may come from
// many goroutines; Append is called under the replica's lock.
type Log interface {
	Bind(plog.Owner)
	MarkDirty()
	Append(batch []byte, h record.Header)
	StartOffset() int64
	EndOffset() int64
	FlushedOffset() int64
	Read(from, limit int64, maxBytes int) ([]byte, error)
	OffsetForTime(ts, limit int64) (offset, timestamp int64, ok bool, err error)
	EpochEnd(epoch int32) (foundEpoch int32, endOffset int64)
	EpochAt(offset int64) int32
	LastEpoch() int32
	Trim(ctx context.Context, before int64) error
	Truncate(ctx context.Context, to int64) error
	Reset(ctx context.Context, start int64) error
	SetHighWatermark(hw int64)
	SaveState(offset int64, state []byte) error
	LoadState(atMost int64) (offset int64, state []byte, ok bool, err error)
	Scan(ctx context.Context, from int64, fn func(batch []byte, h record.Header) error) error
}

// Store is what a replica asks of the store that its log lives in;
// *plog.Store is one.
type Store interface {
	// DiskFull tells whether appends are to be refused.
	DiskFull() bool
	// Backlogged tells whether the bytes that are not yet in segments have
	// reached their cap.
	Backlogged() bool
}

// Options makes a replica. Log, Node and Now are required.
type Options struct {
	Topic    string // for log lines and errors
	ID       plog.ID
	Log      Log
	Store    Store // nil: no store-wide limits
	Node     int32 // this broker's id
	Now      func() time.Time
	Logger   *slog.Logger     // nil: discards
	Config   partition.Config // zero: partition.DefaultConfig
	Limits   partition.Limits
	Builders *Builders // shared by a broker's replicas; nil: its own
	// OnProposal takes changes of the ISR that this leader wants. It is called
	// under the replica's lock: it must neither block nor call back.
	OnProposal func(*partition.Proposal)
	// Go runs fn, which saves a snapshot and may wait for the watermark to
	// pass the log's end, beside its caller; it must not block. Default: in a
	// goroutine. For simulators.
	Go func(fn func())
	// Mutation switches safeguards off, in tests that must fail then.
	Mutation partition.Mutation

	// PackBytes and PackRecords bound the batch that single records are packed
	// into. Defaults 1 MiB and 10,000; max.message.bytes bounds it too.
	PackBytes, PackRecords int
	// StagedBytes bounds what is appended and not yet on disk; above it
	// appends are throttled. Default 64 MiB.
	StagedBytes int64
	// Waiters bounds the batches that wait for their answer. Default 65,536.
	Waiters int
	// SnapshotBytes is how much is appended between two snapshots of the
	// derived state: what a restart has to scan at most. Default 64 MiB.
	SnapshotBytes int64
	// SnapshotInterval is how long an append of a producer, idempotency key or
	// fence stays without a snapshot at most: retention and compaction wait
	// for it. Default 5 minutes.
	SnapshotInterval time.Duration
	// MaxDecompressed bounds a batch's records when they have to be read.
	// Default 256 MiB.
	MaxDecompressed int
}

func (o *Options) setDefaults() {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.OnProposal == nil {
		o.OnProposal = func(*partition.Proposal) {}
	}
	if o.Go == nil {
		o.Go = func(fn func()) { go fn() }
	}
	setInt(&o.PackBytes, 1<<20)
	setInt(&o.PackRecords, 10_000)
	setInt(&o.Waiters, 1<<16)
	setInt(&o.MaxDecompressed, 256<<20)
	if o.StagedBytes <= 0 {
		o.StagedBytes = 64 << 20
	}
	if o.SnapshotBytes <= 0 {
		o.SnapshotBytes = 64 << 20
	}
	if o.SnapshotInterval <= 0 {
		o.SnapshotInterval = 5 * time.Minute
	}
	if o.Builders == nil {
		o.Builders = new(Builders)
	}
	if o.Config == (partition.Config{}) {
		o.Config = partition.DefaultConfig()
	}
}

func setInt(v *int, def int) {
	if *v <= 0 {
		*v = def
	}
}
