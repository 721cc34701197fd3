package sim

import (
	"bytes"
	"fmt"
	"time"

	"github.com/chroniklog/chronik/storage/plog"
	"github.com/chroniklog/chronik/storage/record"
)

// settle lets time pass until the healed cluster works: liveness.
func (w *world) settle() {
	end := w.now + w.o.Heal
	why := error(nil)
	for w.failed == nil {
		w.runUntil(w.now + 100*time.Millisecond)
		if why = w.unsettled(); why == nil {
			return
		}
		if w.now >= end {
			w.fail("not healed after %v: %w", w.o.Heal, why)
		}
	}
}

// unsettled is why the cluster is not healthy and at rest, nil if it is.
func (w *world) unsettled() error {
	controllers := 0
	for _, n := range w.nodes {
		switch {
		case !n.up || !n.started:
			return fmt.Errorf("%v has not registered", n)
		case n.controller.Leading():
			controllers++
		}
	}
	if controllers != 1 {
		return fmt.Errorf("%d controllers", controllers)
	}
	for _, c := range w.clients {
		if c.op != nil && !c.op.over {
			return fmt.Errorf("client %d waits for the answer to %+v", c.id, *c.op)
		}
		if c.op != nil {
			return fmt.Errorf("client %d goes on", c.id)
		}
	}
	for p := range w.o.Partitions {
		if err := w.unsettledPart(int32(p)); err != nil {
			return fmt.Errorf("partition %d: %w", p, err)
		}
	}
	return nil
}

func (w *world) unsettledPart(p int32) error {
	first := w.nodes[0].part(p)
	if first == nil {
		return fmt.Errorf("not there")
	}
	leader := w.node(first.state.Leader)
	switch {
	case leader == nil:
		return fmt.Errorf("no leader: %+v", first.state)
	case len(first.state.ISR) != len(w.nodes):
		return fmt.Errorf("in sync: %v", first.state.ISR)
	}
	for _, n := range w.nodes {
		x := n.part(p)
		if x == nil || x.state.PartitionEpoch != first.state.PartitionEpoch {
			return fmt.Errorf("%v has not heard of %+v", n, first.state)
		}
		o := x.replica.Offsets()
		if end := leader.part(p).log.EndOffset(); o.HighWatermark != end || o.LogEnd != end || x.log.FlushedOffset() != end {
			return fmt.Errorf("%v is at %+v, the leader ends at %d", n, o, end)
		}
	}
	return nil
}

// check compares the logs at the end with each other and with history.
func (w *world) check() {
	for p := range w.o.Partitions {
		if w.failed == nil {
			w.checkPart(int32(p))
		}
	}
}

func (w *world) checkPart(p int32) {
	var first []byte
	start := int64(0)
	for _, n := range w.nodes {
		start = max(start, n.part(p).log.StartOffset())
	}
	for _, n := range w.nodes {
		log := n.part(p).log
		b, err := readAll(log, start)
		if err != nil {
			w.fail("read partition %d of %v: %w", p, n, err)
			return
		}
		if n == w.nodes[0] {
			first = b
		} else if !bytes.Equal(first, b) {
			w.fail("partition %d has %d other bytes on %v: %d", p, len(first), n, len(b))
		}
	}
	stored, times := map[int64]string{}, map[string]int{}
	next := start
	err := eachRecord(first, func(rec *record.Record, control bool) {
		if rec.Offset < start {
			return
		}
		if rec.Offset != next {
			w.fail("partition %d: offset %d follows %d", p, rec.Offset, next-1)
		}
		next = rec.Offset + 1
		v := digest(rec, control)
		stored[rec.Offset] = v
		times[v]++
	})
	if err != nil {
		w.fail("partition %d: %w", p, err)
	}
	w.checkHistory(p, start, next, stored, times)
}

// readAll is the batches of a log from an offset on.
func readAll(log *plog.Log, from int64) (all []byte, err error) {
	for end := log.EndOffset(); from < end; {
		b, err := log.Read(from, end, 1<<20)
		if err != nil {
			return nil, err
		}
		if len(b) == 0 {
			return nil, fmt.Errorf("nothing at offset %d, the end is %d", from, end)
		}
		all = append(all, b...)
		for rest := b; len(rest) > 0; {
			h, err := record.ParseHeader(rest)
			if err != nil {
				return nil, err
			}
			from, rest = h.NextOffset(), rest[h.Size():]
		}
	}
	return all, nil
}

func (w *world) checkHistory(p int32, start, end int64, stored map[int64]string, times map[string]int) {
	h := &w.hist.parts[p]
	for _, o := range sortedOffsets(h.acked) {
		if o >= start && stored[o] != h.acked[o] {
			w.fail("partition %d: %q was acknowledged at %d, there is %q", p, h.acked[o], o, stored[o])
		}
	}
	for _, o := range sortedOffsets(h.seen) {
		if o >= start && stored[o] != h.seen[o] {
			w.fail("partition %d: a reader saw %q at %d, there is %q", p, h.seen[o], o, stored[o])
		}
	}
	for o := start; o < end; o++ {
		if v := stored[o]; times[v] > 1 {
			w.fail("partition %d: %q is there %d times, at %d too", p, v, times[v], o)
		}
	}
	if h.cited > end {
		w.fail("partition %d: an answer told of an end at %d, the log ends at %d", p, h.cited, end)
	}
}

// close ends what is left of the nodes.
func (w *world) close() {
	for _, n := range w.nodes {
		if n.up {
			n.disk.dead = true
			n.store.Abort()
		}
	}
}
