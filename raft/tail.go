package raft

import (
	"errors"

	pb "go.etcd.io/raft/v3/raftpb"
)

// errStop ends a scan.
var errStop = errors.New("stop")

// Bounds of the entries kept in memory: what followers that keep up and the
// next Ready ask for.
const (
	tailEntries = 4096
	tailBytes   = 8 << 20
)

// tail holds the newest entries of the log, without gaps.
type tail struct {
	entries []*pb.Entry
	next    uint64 // index of the entry to come
	bytes   int
}

func (t *tail) reset(next uint64) { *t = tail{next: next} }

func (t *tail) first() uint64 { return t.next - uint64(len(t.entries)) }

// append adds an entry, replacing those from its index on.
func (t *tail) append(e *pb.Entry) {
	if i := e.GetIndex(); i < t.next {
		if i < t.first() {
			t.reset(i)
		}
		for t.next > i {
			last := len(t.entries) - 1
			t.bytes -= len(t.entries[last].GetData())
			t.entries[last] = nil
			t.entries, t.next = t.entries[:last], t.next-1
		}
	}
	t.entries = append(t.entries, e)
	t.next++
	t.bytes += len(e.GetData())
	for len(t.entries) > tailEntries || t.bytes > tailBytes && len(t.entries) > 1 {
		t.drop(1)
	}
}

func (t *tail) drop(n int) {
	for i := range n {
		t.bytes -= len(t.entries[i].GetData())
		t.entries[i] = nil
	}
	t.entries = t.entries[n:]
}

// dropTo forgets entries up to index.
func (t *tail) dropTo(index uint64) {
	if index >= t.first() {
		t.drop(int(min(index+1, t.next) - t.first()))
	}
}

// get is nil for an entry that is not in memory.
func (t *tail) get(i uint64) *pb.Entry {
	if i < t.first() || i >= t.next {
		return nil
	}
	return t.entries[i-t.first()]
}
