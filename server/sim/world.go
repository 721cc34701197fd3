package sim

import (
	"container/heap"
	"encoding/binary"
	"fmt"
	"hash"
	"hash/fnv"
	"math/rand/v2"
	"time"

	"github.com/chroniklog/chronik/raft/meta"
)

// world is the cluster, its network and its time.
type world struct {
	o      Options
	rng    *rand.Rand
	now    time.Duration
	queue  queue
	seq    uint64
	events int
	hash   hash.Hash64
	failed error // the first violation
	report Report

	nodes   []*node
	net     network
	clients []*client
	readers []*reader
	hist    *history
	raft    raftHistory
	topic   meta.ID
	healing bool
}

func newWorld(o Options) *world {
	w := &world{
		o: o, rng: rand.New(rand.NewPCG(o.Seed, 0x6368726f6e696b)), hash: fnv.New64a(),
		hist: newHistory(o.Partitions), raft: newRaftHistory(),
	}
	w.topic = w.newID()
	w.net.begin(w)
	return w
}

// newID draws an id.
func (w *world) newID() (id meta.ID) {
	binary.LittleEndian.PutUint64(id[:], w.rng.Uint64())
	binary.LittleEndian.PutUint64(id[8:], w.rng.Uint64())
	return id
}

// event is something that happens at a moment.
type event struct {
	at  time.Duration
	seq uint64 // of two at one moment the one that was planned first comes first
	fn  func()
}

// queue is a heap of events.
type queue []event

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].seq < q[j].seq
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(event)) }
func (q *queue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = event{}
	*q = (*q)[:last]
	return e
}

// after plans fn.
func (w *world) after(d time.Duration, fn func()) {
	w.seq++
	heap.Push(&w.queue, event{at: w.now + max(d, 0), seq: w.seq, fn: fn})
}

// runUntil lets everything happen that is planned before a moment.
func (w *world) runUntil(end time.Duration) {
	for w.failed == nil && len(w.queue) > 0 && w.queue[0].at <= end {
		e := heap.Pop(&w.queue).(event)
		w.now = e.at
		w.events++
		e.fn()
		w.pump()
	}
	w.now = max(w.now, end)
}

// pump plans what has become due by the event that just happened.
func (w *world) pump() {
	for _, n := range w.nodes {
		n.pump()
	}
}

// fail notes a violation.
func (w *world) fail(format string, args ...any) {
	if w.failed == nil {
		w.failed = fmt.Errorf(format, args...)
		w.note("violation", 0)
	}
}

// note writes a line of the trace: what, where, and numbers.
func (w *world) note(what string, node int32, args ...int64) {
	var b [8]byte
	put := func(v int64) {
		binary.LittleEndian.PutUint64(b[:], uint64(v))
		_, _ = w.hash.Write(b[:])
	}
	put(int64(w.now))
	put(int64(node))
	_, _ = w.hash.Write([]byte(what))
	for _, a := range args {
		put(a)
	}
	if w.o.Trace != nil {
		fmt.Fprintf(w.o.Trace, "%12v n%d %s %v\n", w.now, node, what, args)
	}
}

// say writes a line of the trace that is not hashed, when there is one.
func (w *world) say(node int32, format string, args ...any) {
	if w.o.Trace != nil {
		fmt.Fprintf(w.o.Trace, "%12v n%d %s\n", w.now, node, fmt.Sprintf(format, args...))
	}
}

// chance is true with probability p.
func (w *world) chance(p float64) bool { return w.rng.Float64() < p }

// node finds a node by id; nil if there is none.
func (w *world) node(id int32) *node {
	if id < 1 || int(id) > len(w.nodes) {
		return nil
	}
	return w.nodes[id-1]
}
