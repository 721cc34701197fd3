// Package forward carries requests for a partition to the node that leads it,
// one hop: any node answers, and the answer is the leader's.
//
// The front node keeps what belongs to the client's connection (parsing,
// encoding, long-polls, the state of a stream) and asks for partitions' data
// only. A stream therefore goes on through a failover: its next read simply
// goes to the next leader, at the same offset. Single records that many
// clients send to a front node travel together (package peer) and are packed
// into one batch by the leader as if they had arrived there.
//
// Partitions are named by topic id, so that a topic that was deleted and
// created anew is another one. A leader never forwards what was forwarded: it
// answers ErrNotLeader, and the front node decides.
//
// Errors travel as a number from the table that package server gives, their
// text and up to two numbers of detail, and arrive as errors that match the
// same sentinel and have the same detail.
package forward

import (
	"context"
	"time"

	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/server/peer"
	"github.com/chroniklog/chronik/server/replica"
	"github.com/chroniklog/chronik/storage/plog"
)

// The methods. Numbers are never reused: upgrades roll.
const (
	methodRecord peer.Method = iota + 1
	methodBatch
	methodRead
	methodOffsets
	methodTime
	methodTrim
	methodFence
	methodKey
	methodAwait
	methodVisible
	methodConfirm
	methodGroups
)

// Read asks for whole batches from Offset on, waiting up to Wait for some.
type Read struct {
	Offset    int64
	MaxBytes  int
	Isolation partition.Isolation
	Wait      time.Duration
}

// Groups coordinates consumer groups; requests and answers are its own to
// write and to read. Its errors match the sentinels of the table.
type Groups interface {
	Serve(ctx context.Context, request []byte) (answer []byte, err error)
}

// Local is this node's own partitions: what it leads. Its errors match the
// sentinels of the table.
type Local interface {
	Leadership
	Backups
	BeginRecord(ctx context.Context, id plog.ID, r partition.RecordAppend) (*replica.Pending, error)
	BeginBatch(ctx context.Context, id plog.ID, r partition.BatchAppend) (*replica.Pending, error)
	Read(ctx context.Context, id plog.ID, r Read) ([]byte, partition.Offsets, error)
	Offsets(ctx context.Context, id plog.ID) (partition.Offsets, error)
	OffsetForTime(ctx context.Context, id plog.ID, ts int64) (offset, timestamp int64, ok bool, err error)
	Trim(ctx context.Context, id plog.ID, before int64) (logStart int64, err error)
	SetFence(ctx context.Context, id plog.ID, token string, expect *string) (offset int64, err error)
	KeyOffset(ctx context.Context, id plog.ID, key []byte) (offset int64, live bool, err error)
	// Await returns when the partition's offsets differ from known.
	Await(ctx context.Context, id plog.ID, known partition.Offsets) (partition.Offsets, error)
	// Visible returns when this node shows the metadata up to index.
	Visible(ctx context.Context, index uint64) error
	// Confirm is nil if this node knows of no later leader epoch of the
	// partition than epoch.
	Confirm(ctx context.Context, id plog.ID, epoch int32) error
}
