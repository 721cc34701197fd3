package sim

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/server/replica"
	"github.com/chroniklog/chronik/storage/record"
)

// client appends one thing after the other.
type client struct {
	w    *world
	id   int
	nth  int
	seqs []int32 // next sequence, by partition
	ends []int64 // where it takes the logs to end
	op   *op     // under way; nil: none
}

// kind is how an append is made safe to repeat, or not.
type kind int

const (
	keyed      kind = iota // with an Idempotency-Key
	sequenced              // one record of an idempotent producer
	batched                // a batch of an idempotent producer
	expecting              // at the offset where the log ends, or not at all
	careless               // neither; given up when in doubt
	leaderOnly             // acks=leader
	kinds
)

// op is one append and its repetitions.
type op struct {
	c         *client
	kind      kind
	partition int32
	value     string
	pad       int // bytes
	count     int32
	seq       int32
	expect    int64
	attempts  int
	over      bool
}

func (w *world) newClient(id int) *client {
	return &client{w: w, id: id, seqs: make([]int32, w.o.Partitions), ends: make([]int64, w.o.Partitions)}
}

// think waits, and then appends.
func (c *client) think() { c.w.after(between(c.w.rng, time.Millisecond, 60*time.Millisecond), c.begin) }

func (c *client) begin() {
	if c.w.healing && c.w.now > c.w.o.Faults+2*time.Second {
		c.op = nil
		return // what is there has to come to rest
	}
	c.nth++
	p := int32(c.w.rng.IntN(c.w.o.Partitions))
	o := &op{
		c: c, kind: kind(c.w.rng.IntN(int(kinds))), partition: p, value: fmt.Sprintf("c%d-%d", c.id, c.nth),
		count: 1, seq: c.seqs[p], expect: c.ends[p], pad: c.w.rng.IntN(300),
	}
	switch {
	case o.kind == batched:
		o.count = 1 + int32(c.w.rng.IntN(5))
	case c.w.chance(0.03):
		o.pad = 8 << 10
	}
	c.op = o
	o.attempt()
}

// repeats tells whether the append may be sent again in doubt.
func (o *op) repeats() bool { return o.kind <= batched }

// attempt sends the append to any node.
func (o *op) attempt() {
	w := o.c.w
	if o.over || o.attempts > 0 && !o.repeats() {
		return
	}
	o.attempts++
	to := int32(1 + w.rng.IntN(len(w.nodes)))
	o.send(0, to, func(n *node) { n.forward(o) })
	nth := o.attempts
	w.after(between(w.rng, 800*time.Millisecond, 3*time.Second), func() {
		switch {
		case o.over || o.attempts != nth:
		case o.repeats():
			o.attempt()
		default:
			o.end()
		}
	})
}

// send is one hop of the request. Only what is safe to repeat arrives twice.
func (o *op) send(from, to int32, fn func(*node)) {
	if o.repeats() {
		o.c.w.net.send(from, to, fn)
	} else {
		o.c.w.net.sendOnce(from, to, fn)
	}
}

// end goes on with the next append.
func (o *op) end() {
	if !o.over {
		o.over = true
		o.c.think()
	}
}

// told is an answer at the client.
func (o *op) told(res partition.Appended, err error) {
	if o.over {
		return
	}
	var conflict *partition.OffsetConflictError
	switch {
	case err == nil:
		o.c.ends[o.partition] = res.LastOffset + 1
		if o.kind == sequenced || o.kind == batched {
			o.c.seqs[o.partition] = o.seq + o.count
		}
		o.end()
		return
	case errors.As(err, &conflict):
		o.c.ends[o.partition] = conflict.Current
	}
	if !o.repeats() {
		o.end()
		return
	}
	nth := o.attempts
	o.c.w.after(between(o.c.w.rng, 10*time.Millisecond, 100*time.Millisecond), func() {
		if o.attempts == nth {
			o.attempt()
		}
	})
}

// forward hands an append to the leader that this node knows.
func (n *node) forward(o *op) {
	p := n.part(o.partition)
	switch {
	case p == nil || p.state.Leader == 0:
		n.w.net.reply(n.id, func() { o.told(partition.Appended{}, partition.ErrNotLeader) })
	case p.state.Leader == n.id:
		n.append(p, o)
	default:
		o.send(n.id, p.state.Leader, func(l *node) {
			if p := l.part(o.partition); p != nil {
				l.append(p, o)
			}
		})
	}
}

// part is a partition whose replica is open, nil if there is none.
func (n *node) part(p int32) *part {
	if !n.started || int(p) >= len(n.parts) || n.parts[p].replica == nil {
		return nil
	}
	return n.parts[p]
}

// answer is an append that waits on a node.
type answer struct {
	*replica.Pending
	n *node
	o *op
}

// lost: the node crashed; the client hears nothing.
func (a *answer) lost() {}

func (n *node) append(p *part, o *op) {
	pending, err := begin(p.replica, o)
	if err != nil {
		n.refused(o, err)
		return
	}
	n.pending = append(n.pending, &answer{Pending: pending, n: n, o: o})
}

// refused answers with an error, which has to be one that may be.
func (n *node) refused(o *op, err error) {
	var gap *partition.SequenceGapError
	never := errors.Is(err, partition.ErrIdempotencyMismatch) || errors.Is(err, partition.ErrStaleEpoch)
	// A leader that was deposed and has not heard of it may know less.
	never = never || n.w.hist.newest(n, o.partition) &&
		(errors.As(err, &gap) || errors.Is(err, partition.ErrDuplicateSequence))
	if never {
		n.w.fail("node %d refuses %q in partition %d: %w", n.id, o.value, o.partition, err)
	}
	var conflict *partition.OffsetConflictError
	if errors.As(err, &conflict) {
		h := &n.w.hist.parts[o.partition]
		h.cited = max(h.cited, conflict.Current)
	}
	n.w.net.reply(n.id, func() { o.told(partition.Appended{}, err) })
}

// poll answers the appends that have an outcome.
func (n *node) poll() {
	kept := n.pending[:0]
	for _, a := range n.pending {
		select {
		case <-a.Done():
			a.decided()
		default:
			kept = append(kept, a)
		}
	}
	clear(n.pending[len(kept):])
	n.pending = kept
}

func (a *answer) decided() {
	o, w := a.o, a.n.w
	res, err := a.Wait(context.Background())
	if err != nil {
		a.n.refused(o, err)
		return
	}
	if o.kind != leaderOnly {
		for i := range o.count {
			w.acked(a.n.id, o.partition, res.LeaderEpoch, res.Offset+int64(i), o.record(i))
		}
	}
	switch {
	case res.LastOffset != res.Offset+int64(o.count)-1:
		w.fail("%q has %d records, the answer says %d to %d", o.value, o.count, res.Offset, res.LastOffset)
	case o.kind == expecting && res.Offset != o.expect:
		w.fail("%q was to get offset %d, and got %d", o.value, o.expect, res.Offset)
	case res.Duplicate && !o.repeats():
		w.fail("%q is called a duplicate", o.value)
	}
	w.net.reply(a.n.id, func() { o.told(res, nil) })
}

// record is the value of the i-th record.
func (o *op) record(i int32) string {
	if o.kind == batched {
		return fmt.Sprintf("%s/%d", o.value, i)
	}
	return o.value
}

// stored is what the record holds, padding included.
func (o *op) stored(i int32) []byte {
	b := make([]byte, 0, o.pad+24)
	b = append(b, o.record(i)...)
	b = append(b, ' ')
	for range o.pad {
		b = append(b, 'x')
	}
	return b
}

// begin hands the append to a replica.
func begin(r *replica.Replica, o *op) (*replica.Pending, error) {
	producer := int64(o.c.id + 1)
	if o.kind == batched {
		b := record.NewBuilder(record.CodecNone)
		b.Reset(0, 0)
		b.SetProducer(producer, 0, o.seq)
		for i := range o.count {
			b.Append(wallBase, nil, o.stored(i), nil)
		}
		batch := b.Build(nil)
		h, err := record.ParseHeader(batch)
		if err != nil {
			return nil, err
		}
		return r.BeginBatch(partition.BatchAppend{
			Batch: batch, Header: h, Acks: partition.AcksAll, Cond: partition.NoConditions,
		})
	}
	a := partition.RecordAppend{
		Value: o.stored(0), Timestamp: -1, Acks: partition.AcksAll, Cond: partition.NoConditions,
	}
	switch o.kind {
	case keyed:
		a.IdempotencyKey = o.value
	case sequenced:
		a.Producer = &partition.ProducerSeq{ID: producer, Seq: o.seq}
	case expecting:
		a.Cond.ExpectOffset = o.expect
	case leaderOnly:
		a.Acks = partition.AcksLeader
	}
	return r.BeginRecord(a)
}

// reader reads partitions, again and again from somewhere.
type reader struct {
	w    *world
	next []int64
}

func (w *world) newReader() *reader { return &reader{w: w, next: make([]int64, w.o.Partitions)} }

func (r *reader) read() {
	w := r.w
	p := int32(w.rng.IntN(w.o.Partitions))
	if w.chance(0.05) {
		r.next[p] = 0
	}
	to := int32(1 + w.rng.IntN(len(w.nodes)))
	w.net.send(0, to, func(n *node) { r.at(n, p) })
	w.after(between(w.rng, 5*time.Millisecond, 60*time.Millisecond), r.read)
}

// at reads on a node that leads the partition.
func (r *reader) at(n *node, p int32) {
	x := n.part(p)
	if x == nil || x.state.Leader != n.id {
		return
	}
	from := r.next[p]
	batches, offs, err := x.replica.Read(from, 2<<10, partition.ReadUncommitted)
	if errors.Is(err, partition.ErrOffsetTrimmed) {
		r.next[p] = offs.LogStart
		return
	}
	if err != nil {
		return
	}
	if next := r.w.saw(n.id, p, from, batches); len(batches) > 0 && next > offs.HighWatermark {
		r.w.fail("a reader of partition %d on node %d got offset %d, the watermark is %d",
			p, n.id, next-1, offs.HighWatermark)
	} else {
		r.next[p] = next
	}
}
