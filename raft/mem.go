package raft

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	etcd "go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/chroniklog/chronik/raft/meta"
)

// Memory is a Storage, and a Fence, without a disk, for tests and simulators.
// Whatever a method was given when it returned survives a restart: give the
// same Memory to the next core. Snapshots carry the whole state in Data.
type Memory struct {
	hard    *pb.HardState
	start   Position // of the entry before the first
	entries []*pb.Entry
	conf    *pb.ConfState
	applied Position
	pairs   map[string][]byte
	seq     uint64
	// Fenced is the last mark written.
	Fenced Mark
}

// NewMemory is a storage that holds a seed.
func NewMemory(seed Seed) *Memory {
	b, changes := seed.boot()
	m := &Memory{hard: b.Hard, start: b.Applied, applied: b.Applied, conf: b.Conf, pairs: map[string][]byte{}}
	m.write(changes)
	return m
}

// Clone is an independent copy, as of a disk at one moment.
func (m *Memory) Clone() *Memory {
	c := *m
	c.hard = proto.Clone(m.hard).(*pb.HardState)
	c.conf = proto.Clone(m.conf).(*pb.ConfState)
	c.entries = slices.Clone(m.entries)
	c.pairs = maps.Clone(m.pairs)
	return &c
}

// ForgetVote loses the vote of the current term, as a store does that forgets a
// synced write, and nothing notices: a mutation, for tests that must fail then.
func (m *Memory) ForgetVote() { m.hard.Vote = nil }

func (m *Memory) write(changes []meta.Change) {
	for _, c := range changes {
		if c.Value == nil {
			delete(m.pairs, string(c.Key))
			continue
		}
		m.pairs[string(c.Key)] = c.Value
	}
}

// Load implements Storage.
func (m *Memory) Load() (Boot, error) {
	image, err := meta.Load(func(yield func(k, v []byte) bool) {
		for _, k := range slices.Sorted(maps.Keys(m.pairs)) {
			if !yield([]byte(k), m.pairs[k]) {
				return
			}
		}
	})
	if err != nil {
		return Boot{}, err
	}
	return Boot{
		Hard: proto.Clone(m.hard).(*pb.HardState), Conf: proto.Clone(m.conf).(*pb.ConfState),
		Applied: m.applied, Image: image,
	}, nil
}

// FirstIndex implements Storage.
func (m *Memory) FirstIndex() uint64 { return m.start.Index + 1 }

// LastIndex implements Storage.
func (m *Memory) LastIndex() uint64 { return m.start.Index + uint64(len(m.entries)) }

// Term implements Storage.
func (m *Memory) Term(i uint64) (uint64, error) {
	switch {
	case i == m.start.Index:
		return m.start.Term, nil
	case i < m.start.Index:
		return 0, etcd.ErrCompacted
	case i > m.LastIndex():
		return 0, etcd.ErrUnavailable
	}
	return m.entries[i-m.start.Index-1].GetTerm(), nil
}

// Entries implements Storage.
func (m *Memory) Entries(lo, hi, maxSize uint64) ([]*pb.Entry, error) {
	if lo <= m.start.Index {
		return nil, etcd.ErrCompacted
	}
	if hi > m.LastIndex()+1 {
		return nil, etcd.ErrUnavailable
	}
	return limitSize(m.entries[lo-m.start.Index-1:hi-m.start.Index-1], maxSize), nil
}

// limitSize is a copy of the longest prefix of up to maxSize bytes, at least
// one entry.
func limitSize(entries []*pb.Entry, maxSize uint64) []*pb.Entry {
	var size uint64
	for i, e := range entries {
		size += uint64(proto.Size(e))
		if i > 0 && size > maxSize {
			entries = entries[:i]
			break
		}
	}
	return slices.Clone(entries)
}

// Save implements Storage.
func (m *Memory) Save(entries []*pb.Entry, hard *pb.HardState) error {
	if len(entries) > 0 {
		first := entries[0].GetIndex()
		if first <= m.start.Index || first > m.LastIndex()+1 {
			return fmt.Errorf("%w: append at %d to a log of %d to %d", ErrCorrupt, first, m.FirstIndex(), m.LastIndex())
		}
		m.entries = append(slices.Clone(m.entries[:first-m.start.Index-1]), entries...)
	}
	if !etcd.IsEmptyHardState(hard) {
		m.hard = hard
	}
	m.seq++
	return nil
}

// Apply implements Storage.
func (m *Memory) Apply(a Applied) error {
	m.write(a.Changes)
	m.applied, m.conf = a.Position, a.Conf
	return nil
}

// Snapshot implements Storage.
func (m *Memory) Snapshot() (*pb.Snapshot, error) {
	var b bytes.Buffer
	w := newSnapshotWriter(&b, SnapshotMeta{Position: m.applied, Conf: m.conf})
	for _, k := range slices.Sorted(maps.Keys(m.pairs)) {
		w.pair([]byte(k), m.pairs[k])
	}
	if err := w.finish(); err != nil {
		return nil, err
	}
	return &pb.Snapshot{Data: b.Bytes(), Metadata: snapshotMetadata(m.applied, m.conf)}, nil
}

// Install implements Storage.
func (m *Memory) Install(snap *pb.Snapshot, hard *pb.HardState) (*meta.Image, error) {
	pairs := map[string][]byte{}
	sm, err := readSnapshot(bytes.NewReader(snap.GetData()), func(k, v []byte) error {
		pairs[string(k)] = bytes.Clone(v)
		return nil
	})
	if err != nil {
		return nil, err
	}
	m.pairs, m.applied, m.start, m.conf = pairs, sm.Position, sm.Position, sm.Conf
	m.entries = nil
	if !etcd.IsEmptyHardState(hard) {
		m.hard = hard
	}
	m.seq++
	b, err := m.Load()
	return b.Image, err
}

// Compact implements Storage.
func (m *Memory) Compact(index uint64) error {
	if index <= m.start.Index {
		return nil
	}
	term, err := m.Term(index)
	if err != nil {
		return err
	}
	m.entries = slices.Clone(m.entries[index-m.start.Index:])
	m.start = Position{Index: index, Term: term}
	return nil
}

// Mark implements Storage.
func (m *Memory) Mark() Mark {
	last := m.LastIndex()
	term, _ := m.Term(last) // the last index always has a term
	return Mark{
		Seq: m.seq, Term: m.hard.GetTerm(), Vote: m.hard.GetVote(),
		LastIndex: last, LastTerm: term, Applied: m.applied.Index,
	}
}

// Check compares what is stored with the fence, as a start from disk does
// before it may vote: ErrCorrupt.
func (m *Memory) Check() error {
	if err := m.Mark().check(m.Fenced); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return nil
}

// Write implements Fence.
func (m *Memory) Write(k Mark) error {
	m.Fenced = k
	return nil
}
