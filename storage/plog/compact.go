package plog

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/chroniklog/chronik/storage/record"
	"github.com/chroniklog/chronik/storage/segment"
)

// Compaction keeps the last record of each key among the sealed segments below
// the high watermark. A pass maps the keys of what is new since the last one,
// as many as fit in memory, to their last offsets, and rewrites the segments up
// to there without the records that a later one supersedes. Offsets stay, and
// so do control batches and records without a key.
//
// The new segments are complete and durable before the log lets go of the old
// ones, and the old files stay until a checkpoint lists the new: whichever of
// the two a crash leaves, the log reads the same.

// compactAll compacts the logs that want it.
func (s *Store) compactAll(ctx context.Context, now int64) error {
	return s.eachClaimed(ctx, func(l *Log) error {
		for {
			c := l.planCompaction(now)
			if c == nil {
				return nil
			}
			done, err := c.pass(ctx)
			if err != nil {
				return l.wrap("compact", err)
			}
			if done {
				return nil
			}
		}
	})
}

// compaction is one pass over a log.
type compaction struct {
	l     *Log
	cfg   Config
	now   int64
	gen   uint64
	start int64
	hw    int64
	segs  []segment.Segment // copies, those that may be rewritten
	from  int64             // keys are new from here
	keys  keyMap
	upto  int64 // keys are mapped below here
	// What rewriting did, in bytes.
	before, after int64
}

// planCompaction decides whether a log is worth a pass now.
func (l *Log) planCompaction(now int64) *compaction {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.cfg.Compact || l.gone != nil {
		return nil
	}
	c := &compaction{
		l: l, cfg: l.cfg, now: now, gen: l.gen, start: l.start.Load(), hw: l.hw.Load(),
		from: max(l.cleaned, l.start.Load()),
	}
	young := now - l.cfg.MinCompactionLag.Milliseconds()
	var clean, dirty int64
	overdue := false
	for _, seg := range l.segs {
		if !seg.Sealed || seg.Synced != seg.End || seg.Known != seg.End || seg.End.Next > c.hw {
			break
		}
		if l.cfg.MinCompactionLag > 0 && seg.End.Next > l.cleaned && newest(seg) > young {
			break
		}
		c.segs = append(c.segs, *seg)
		if seg.End.Next <= l.cleaned {
			clean += seg.End.Pos
		} else {
			dirty += seg.End.Pos
			// Of what was not compacted, the oldest was written no earlier.
			overdue = overdue || l.cfg.MaxCompactionLag > 0 && now-seg.Created >= l.cfg.MaxCompactionLag.Milliseconds()
		}
		overdue = overdue || c.expired(seg)
	}
	ratio := l.cfg.MinDirtyRatio
	if ratio <= 0 {
		ratio = 0.5
	}
	if len(c.segs) == 0 || !overdue && (dirty == 0 || float64(dirty) < ratio*float64(clean+dirty)) {
		return nil
	}
	return c
}

// expired tells whether a segment's tombstones have been kept long enough.
func (c *compaction) expired(seg *segment.Segment) bool {
	return seg.Tombstones && seg.CleanedAt > 0 && c.now-seg.CleanedAt >= c.cfg.DeleteRetention.Milliseconds()
}

// pass maps keys and rewrites. done: there is nothing left for another pass.
func (c *compaction) pass(ctx context.Context) (done bool, err error) {
	end := c.segs[len(c.segs)-1].End.Next
	if err := c.mapKeys(ctx); err != nil {
		return false, err
	}
	for _, group := range c.groups() {
		if err := c.rewrite(ctx, group); err != nil {
			return false, err
		}
	}
	l := c.l
	l.mu.Lock()
	same := l.gen == c.gen
	if same {
		l.cleaned = max(l.cleaned, c.upto)
	}
	l.mu.Unlock()
	if c.before > 0 {
		l.s.opts.Logger.Info("compacted", "log", l.id.String(), "upto", c.upto,
			"before_bytes", c.before, "after_bytes", c.after)
		if m := l.s.opts.Metrics.Compacted; m != nil {
			m(c.before, c.after)
		}
	}
	return !same || c.upto >= end, nil
}

// mapKeys maps the keys from c.from on, as far as memory allows, but of one
// batch at least.
func (c *compaction) mapKeys(ctx context.Context) error {
	c.keys, c.upto = keyMap{}, c.from
	var r record.Reader
	for i := range c.segs {
		view := &c.segs[i]
		if view.End.Next <= c.from {
			continue
		}
		err := c.walk(ctx, view, func(h *record.Header, batch []byte) error {
			if h.NextOffset() <= c.from {
				return nil
			}
			if c.keys.bytes >= c.l.s.opts.CompactionMemory {
				return errFound
			}
			if !h.Control() {
				if err := c.keys.add(&r, batch); err != nil {
					return err
				}
			}
			c.upto = h.NextOffset()
			return nil
		})
		if errors.Is(err, errFound) {
			return nil
		}
		if err != nil {
			return err
		}
		c.upto = view.End.Next
	}
	return nil
}

// walk reads a segment at the rate of maintenance.
func (c *compaction) walk(ctx context.Context, view *segment.Segment, fn func(*record.Header, []byte) error) error {
	_, err := view.Walk(c.l.s.segFiles, segment.Start(view.Base),
		func(_ segment.Mark, h *record.Header, batch []byte) error {
			if err := c.l.s.pace(ctx, int64(h.Size())); err != nil {
				return err
			}
			return fn(h, batch)
		})
	if err == nil || errors.Is(err, errFound) || !errors.Is(err, segment.ErrCorrupt) {
		return err
	}
	if c.l.changed(view, c.gen) {
		return fmt.Errorf("%w: %s", ErrDeleted, view.Name)
	}
	return c.l.corrupted(view, err)
}

// keyMap has the last offset of each key.
type keyMap struct {
	last  map[string]int64
	bytes int64 // about what it takes
}

// keyOverhead is about what a key takes in the map beside its bytes.
const keyOverhead = 56

func (m *keyMap) add(r *record.Reader, batch []byte) error {
	if _, err := r.Reset(batch, maxDecompressed); err != nil {
		return err
	}
	if m.last == nil {
		m.last = map[string]int64{}
	}
	var rec record.Record
	for r.Next(&rec) {
		if rec.Key == nil {
			continue
		}
		n := len(m.last)
		m.last[string(rec.Key)] = rec.Offset
		if len(m.last) > n {
			m.bytes += int64(len(rec.Key)) + keyOverhead
		}
	}
	return r.Err()
}

// groups joins neighbours that fit in one segment together. Only segments that
// hold something below upto are rewritten, and those whose tombstones go.
func (c *compaction) groups() [][]segment.Segment {
	var groups [][]segment.Segment
	size, limit := int64(0), c.cfg.segmentBytes()
	for i := range c.segs {
		seg := &c.segs[i]
		if seg.Base >= c.upto && !c.expired(seg) {
			continue
		}
		if n := len(groups); n > 0 {
			last := groups[n-1]
			if last[len(last)-1].End.Next == seg.Base && size+seg.End.Pos <= limit &&
				seg.End.Next-last[0].Base < 1<<32 && c.alike(last, seg) {
				groups[n-1] = append(last, *seg)
				size += seg.End.Pos
				continue
			}
		}
		groups = append(groups, []segment.Segment{*seg})
		size = seg.End.Pos
	}
	return groups
}

// alike tells whether a segment may join a group: the time that tombstones
// have left must not change by that.
func (c *compaction) alike(group []segment.Segment, seg *segment.Segment) bool {
	for i := range group {
		a, b := c.cleanedAt(&group[i]), c.cleanedAt(seg)
		if a != b && a >= 0 && b >= 0 {
			return false
		}
	}
	return true
}

// cleanedAt is when a segment's tombstones began to expire: 0, they have not,
// for it was not cleaned to its end before; -1, it has none.
func (c *compaction) cleanedAt(seg *segment.Segment) int64 {
	if seg.CleanedAt > 0 && !seg.Tombstones {
		return -1
	}
	return seg.CleanedAt
}

// rewrite replaces a group of segments by one without superseded records.
func (c *compaction) rewrite(ctx context.Context, group []segment.Segment) error {
	w := rewriter{c: c, seg: c.l.begin(group[0].Base)}
	w.seg.Sparse = true
	last := &group[len(group)-1]
	whole := last.End.Next <= c.upto // else it has records that wait for the next pass
	for i := range group {
		view := &group[i]
		w.drop = c.expired(view)
		if err := c.walk(ctx, view, w.batch); err != nil {
			w.abandon()
			return err
		}
		w.seg.CleanedAt = max(w.seg.CleanedAt, c.cleanedAt(view))
	}
	if w.seg.CleanedAt == 0 && whole {
		w.seg.CleanedAt = c.now
	}
	if err := w.flush(); err != nil {
		w.abandon()
		return c.l.s.orFatal(err)
	}
	w.seg.Tombstones = w.tombstones
	if w.dropped == 0 && len(group) == 1 {
		w.abandon()
		c.mark(&group[0], w.seg)
		return nil
	}
	w.seg.End.Next, w.seg.Created = last.End.Next, last.Created
	if err := w.complete(); err != nil {
		w.abandon()
		return c.l.s.orFatal(err)
	}
	if !c.swap(group, w.seg) {
		w.abandon()
		return nil
	}
	for i := range group {
		c.before += group[i].End.Pos
	}
	c.after += w.seg.End.Pos
	return nil
}

// mark notes that a segment was cleaned, though it stays as it is.
func (c *compaction) mark(view, cleaned *segment.Segment) {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	if seg := c.l.original(view); seg != nil && c.l.gen == c.gen {
		seg.Tombstones, seg.CleanedAt = cleaned.Tombstones, cleaned.CleanedAt
	}
}

// swap puts a new segment in the place of a group, if the log still has that.
func (c *compaction) swap(group []segment.Segment, seg *segment.Segment) bool {
	l := c.l
	l.io.Lock()
	defer l.io.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	at := slices.IndexFunc(l.segs, func(s *segment.Segment) bool { return s.Name == group[0].Name })
	if l.gone != nil || l.gen != c.gen || at < 0 || at+len(group) > len(l.segs) {
		return false
	}
	for i := range group {
		if l.segs[at+i].Name != group[i].Name {
			return false
		}
	}
	for _, old := range l.segs[at : at+len(group)] {
		l.s.trash(old.Name, old.Index.Name)
	}
	l.segs = slices.Replace(l.segs, at, at+len(group), seg)
	// What is in memory still has the records that are gone.
	l.s.forget(l.tail.dropBelow(seg.End.Next))
	return true
}
