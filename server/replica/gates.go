package replica

import (
	"slices"
	"sort"

	"github.com/chroniklog/chronik/server/partition"
)

// opened is a channel that is closed: the answer is there. It is never
// written.
//
//nolint:gochecknoglobals // a constant
var opened = func() chan struct{} {
	ch := make(chan struct{})
	close(ch)
	return ch
}()

// gate holds back the answers that become due when the log reaches an offset:
// synced here, or passed by the high watermark. Its fields are guarded by the
// replica's lock until the channel is closed that a reader has waited for.
type gate struct {
	end   int64 // offset to reach
	bytes int64 // staged with it

	flushed, committed  chan struct{} // made when somebody waits
	flushErr, commitErr error
	cycle               *partition.Cycle // that synced it
	isFlushed           bool
}

func (g *gate) flushedCh() chan struct{} {
	if g.isFlushed {
		return opened
	}
	if g.flushed == nil {
		g.flushed = make(chan struct{})
	}
	return g.flushed
}

func (g *gate) committedCh() chan struct{} {
	if g.committed == nil {
		g.committed = make(chan struct{})
	}
	return g.committed
}

// wake is a set of channels to close once the lock is released: closing one
// makes its waiters runnable, and they want the lock.
type wake []chan struct{}

func (w wake) open() {
	for _, ch := range w {
		close(ch)
	}
}

func (w *wake) add(ch chan struct{}) {
	if ch != nil {
		*w = append(*w, ch)
	}
}

// gates are the gates of sealed batches, and of other offsets that an answer
// cites, ordered by offset. The first synced of them are flushed.
type gates struct {
	q      []*gate
	synced int
}

// push adds the gate of a batch that was appended at the log's end.
func (x *gates) push(g *gate) { x.q = append(x.q, g) }

// at is the first gate that opens at or after offset; it makes one if need be.
func (x *gates) at(offset int64) *gate {
	i := sort.Search(len(x.q), func(i int) bool { return x.q[i].end >= offset })
	if i < len(x.q) {
		return x.q[i]
	}
	g := &gate{end: offset}
	x.q = append(x.q, g)
	return g
}

// flush opens for those who wait for the sync up to end, and drops the gates
// at which nobody waits for the watermark. It returns the bytes of the batches
// that were synced.
func (x *gates) flush(end int64, cycle *partition.Cycle) (bytes int64, woken wake) {
	i, kept := x.synced, x.synced
	for ; i < len(x.q) && x.q[i].end <= end; i++ {
		g := x.q[i]
		g.cycle, g.isFlushed = cycle, true
		bytes += g.bytes
		woken.add(g.flushed)
		if g.committed != nil {
			x.q[kept] = g
			kept++
		}
	}
	x.q = slices.Delete(x.q, kept, i)
	x.synced = kept
	return bytes, woken
}

// commit opens for those who wait for the watermark, which is at hw.
func (x *gates) commit(hw int64) (woken wake) {
	n := 0
	for ; n < len(x.q) && x.q[n].end <= hw; n++ {
		woken.add(x.q[n].committed)
	}
	x.q = slices.Delete(x.q, 0, n)
	x.synced = max(0, x.synced-n)
	return woken
}

// fail opens every gate with an error.
func (x *gates) fail(err error) (woken wake) {
	for _, g := range x.q {
		woken = append(woken, g.fail(err)...)
	}
	x.q, x.synced = nil, 0
	return woken
}

func (g *gate) fail(err error) (woken wake) {
	if !g.isFlushed {
		g.flushErr = err
		woken.add(g.flushed)
	}
	g.commitErr = err
	woken.add(g.committed)
	return woken
}
