package replica

import (
	"slices"

	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/storage/record"
)

// traced are a leader's sampled appends, in the order of their offsets, that
// followers may not have yet. The replica's lock guards it. It is empty, and
// costs a comparison, while nothing is sampled.
type traced struct {
	epoch int32
	list  []partition.Traced
}

// note remembers a sampled append until the watermark has passed it; beyond
// partition.MaxTraced the oldest goes.
func (r *Replica) note(offset int64, c *partition.TraceContext) {
	if c == nil {
		return
	}
	t, hw := &r.traced, r.st.HighWatermark()
	if epoch := r.st.LeaderEpoch(); t.epoch != epoch {
		t.epoch, t.list = epoch, nil
	}
	drop := 0
	for drop < len(t.list) && (t.list[drop].Offset < hw || len(t.list)-drop >= partition.MaxTraced) {
		drop++
	}
	t.list = append(slices.Delete(t.list, 0, drop), partition.Traced{Offset: offset, Context: *c})
}

// tracedFrom are the sampled appends of this epoch from an offset on.
func (r *Replica) tracedFrom(epoch int32, offset int64) []partition.Traced {
	t := &r.traced
	if len(t.list) == 0 || t.epoch != epoch {
		return nil
	}
	i := 0
	for i < len(t.list) && t.list[i].Offset < offset {
		i++
	}
	return slices.Clone(t.list[i:])
}

// tracedIn keeps those that whole batches hold.
func tracedIn(list []partition.Traced, batches []byte) []partition.Traced {
	if len(list) == 0 {
		return nil
	}
	end := int64(0)
	for rest := batches; len(rest) > 0; {
		batch, more, err := record.Split(rest)
		if err != nil {
			break
		}
		if h, err := record.ParseHeader(batch); err == nil {
			end = h.NextOffset()
		}
		rest = more
	}
	for i := range list {
		if list[i].Offset >= end {
			return list[:i]
		}
	}
	return list
}

// Synced is done when the record at an offset of this log is on this node's
// disk, or never will be. Its answer tells no more than which of the two.
func (r *Replica) Synced(offset int64) *Pending {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down != nil {
		return &Pending{err: r.down, done: opened}
	}
	for _, g := range r.gates.q[r.gates.synced:] {
		if g.end > offset {
			return &Pending{gate: g, own: true, done: g.flushedCh()}
		}
	}
	return &Pending{done: opened}
}
