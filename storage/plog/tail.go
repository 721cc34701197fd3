package plog

import (
	"sort"

	"github.com/chroniklog/chronik/storage/record"
)

// batch is a record batch in memory. Its bytes are never written again.
type batch struct {
	b          []byte
	base, next int64
	maxTs      int64
	epoch      int32
	lsn        uint64 // of its journal frame; 0: it has none (yet)
}

// tail is the newest batches of a log, without a gap up to its end. It is
// guarded by the log's lock.
type tail struct {
	q    []batch // oldest first, from head on
	head int
}

func (t *tail) batches() []batch { return t.q[t.head:] }

func (t *tail) push(b []byte, h *record.Header) {
	t.q = append(t.q, batch{b: b, base: h.BaseOffset, next: h.NextOffset(), maxTs: h.MaxTimestamp, epoch: h.LeaderEpoch})
}

// from finds the first batch that reaches beyond offset; the result is the
// number of batches if none does.
func (t *tail) from(offset int64) int {
	q := t.batches()
	return sort.Search(len(q), func(i int) bool { return q[i].next > offset })
}

// holds tells whether the tail has the batch that holds offset.
func (t *tail) holds(offset int64) bool {
	q := t.batches()
	return len(q) > 0 && q[0].base <= offset && offset < q[len(q)-1].next
}

// batchOverhead is about what a batch in a tail costs beside its bytes.
const batchOverhead = 128

// cost is what batches cost the budget of tails.
func cost(bytes, batches int) int64 { return int64(bytes + batches*batchOverhead) }

// dropBelow forgets the batches that end at or below offset, and returns what
// they cost.
func (t *tail) dropBelow(offset int64) (freed int64) {
	n := t.head
	for ; n < len(t.q) && t.q[n].next <= offset; n++ {
		freed += cost(len(t.q[n].b), 1)
		t.q[n] = batch{}
	}
	t.head = n
	switch {
	case t.head == len(t.q):
		t.q, t.head = nil, 0 // an idle log holds no buffer
	case t.head > 64 && t.head > len(t.q)/2:
		t.q = append([]batch(nil), t.q[t.head:]...)
		t.head = 0
	}
	return freed
}

// cut forgets the batches that reach beyond offset, and returns what they
// cost.
func (t *tail) cut(offset int64) (freed int64) {
	i := t.head + t.from(offset)
	for j := i; j < len(t.q); j++ {
		freed += cost(len(t.q[j].b), 1)
		t.q[j] = batch{}
	}
	t.q = t.q[:i]
	return freed
}

// bytesFrom is the size of the batches from the one that holds offset.
func (t *tail) bytesFrom(offset int64) (n int64) {
	for _, b := range t.batches()[t.from(offset):] {
		n += int64(len(b.b))
	}
	return n
}
