package raft

import (
	"errors"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/chroniklog/chronik/raft/meta"
)

// Position is a place in the log.
type Position struct{ Index, Term uint64 }

// Storage keeps the log and the state that the log's applied prefix amounts
// to. Every method returns when its effect is durable; after an error other
// than ErrCompacted and ErrUnavailable the process must end. Methods are
// called by one goroutine, except for what an implementation states.
type Storage interface {
	// Load reads everything that a start needs.
	Load() (Boot, error)
	// FirstIndex is the first entry that Entries can return; LastIndex is
	// FirstIndex-1 when the log is empty.
	FirstIndex() uint64
	LastIndex() uint64
	// Term is the term of an entry in [FirstIndex-1, LastIndex].
	Term(index uint64) (uint64, error)
	// Entries returns entries [lo, hi) up to maxSize bytes, at least one. The
	// slice is the caller's, the entries are shared and read-only.
	Entries(lo, hi, maxSize uint64) ([]*pb.Entry, error)
	// Save appends entries, dropping what the log holds from the first of
	// them on, and then the hard state. Either may be empty.
	Save(entries []*pb.Entry, hard *pb.HardState) error
	// Apply writes the changes of committed entries up to a.Position.
	Apply(a Applied) error
	// Snapshot describes the applied state. Data is whatever the sender of
	// the message needs beside Storage itself.
	Snapshot() (*pb.Snapshot, error)
	// Install replaces state and log by a received snapshot, atomically, and
	// returns the image that it holds.
	Install(snap *pb.Snapshot, hard *pb.HardState) (*meta.Image, error)
	// Compact drops entries up to index, which must be applied.
	Compact(index uint64) error
	// Mark is what a fence must remember about what is durable now.
	Mark() Mark
}

// Boot is what a core starts from.
type Boot struct {
	Hard    *pb.HardState
	Conf    *pb.ConfState // as of Applied
	Applied Position
	Image   *meta.Image
}

// Applied is a step of the applied state.
type Applied struct {
	Position
	Conf    *pb.ConfState
	Changes []meta.Change
}

// Fence remembers, outside of the store, what the store must contain.
type Fence interface {
	// Write makes the mark durable before it returns.
	Write(Mark) error
}

// Mark is a point that the store had durably reached.
type Mark struct {
	Seq                 uint64 // counts log transactions
	Term, Vote          uint64
	LastIndex, LastTerm uint64
	Applied             uint64
}

var (
	// ErrCorrupt: what is on disk contradicts itself or the fence. The text
	// names the file. Nothing was deleted.
	ErrCorrupt = errors.New("metadata log is corrupt")
	// ErrDiskFull: too little disk is left for the metadata log.
	ErrDiskFull = errors.New("disk is too full for the metadata log")
)

// Seed is the first state of a cluster: every voter starts from the same one.
// The zero seed is that of a node which gets everything from a leader.
type Seed struct{ Members []meta.Member }

// seedIndex is the position of a seed: the log begins behind it.
const seedIndex = 1

// boot is the seed as a state: its members are the voters, and the image
// knows them.
func (s Seed) boot() (Boot, []meta.Change) {
	b := Boot{Hard: &pb.HardState{}, Conf: pb.EnsureConfState(nil), Image: meta.NewImage()}
	if len(s.Members) == 0 {
		return b, nil
	}
	var changes []meta.Change
	for _, m := range s.Members {
		c, _ := b.Image.SetMember(m)
		changes = append(changes, c...)
		b.Conf.Voters = append(b.Conf.Voters, m.RaftID)
	}
	b.Applied = Position{Index: seedIndex, Term: 1}
	b.Hard = &pb.HardState{Term: new(uint64(1)), Vote: new(uint64(0)), Commit: new(uint64(seedIndex))}
	return b, changes
}
