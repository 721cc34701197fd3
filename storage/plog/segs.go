package plog

import (
	"errors"
	"fmt"
	"slices"

	"github.com/chroniklog/chronik/storage/record"
	"github.com/chroniklog/chronik/storage/segment"
)

// written is the end of what is in segments. Under mu.
func (l *Log) written() int64 {
	if n := len(l.segs); n > 0 {
		return l.segs[n-1].End.Next
	}
	return l.empty
}

// synced is the end of what is durable in segments. Under mu.
func (l *Log) synced() int64 {
	for _, s := range l.segs {
		if s.Synced != s.End {
			return s.Synced.Next
		}
	}
	return l.written()
}

// recoveryLSN is where the replay of this log has to begin: the first frame
// that the durable segments do not reflect. It is never beyond what is durable
// in the journal, for after a crash other frames may get those LSNs. Under mu.
func (l *Log) recoveryLSN() uint64 {
	lsn := l.s.journaled.Load()
	if l.inflight != 0 {
		lsn = min(lsn, l.inflight)
	}
	for _, seg := range l.segs {
		if seg.Synced != seg.End && seg.FirstLSN != 0 {
			return min(lsn, seg.FirstLSN)
		}
	}
	q := l.tail.batches()
	if i := l.tail.from(l.written()); i < len(q) && q[i].lsn != 0 {
		lsn = min(lsn, q[i].lsn)
	}
	return lsn
}

// recount brings the accounts of unwritten bytes up to date. Under mu.
func (l *Log) recount() {
	pending := l.tail.bytesFrom(l.written())
	l.s.unwritten.Add(pending - l.pending)
	l.pending = pending
	l.staged = l.tail.bytesFrom(l.taken)
}

// begin makes a segment that starts at base; it has no file yet.
func (l *Log) begin(base int64) *segment.Segment {
	name := l.newName(base, segmentExt)
	return &segment.Segment{
		Header: segment.Header{
			Topic: l.id.Topic, Partition: l.id.Partition, Incarnation: l.incarnation,
			Base: base, Number: name.number,
		},
		Name: l.s.path(name), End: segment.Start(base), Synced: segment.Start(base), Known: segment.Start(base),
		Created: l.s.opts.Now().UnixMilli(),
		Index:   segment.Index{Name: l.s.path(l.newName(base, indexExt)), Ready: true},
	}
}

// writeBatches bounds what one step of flush takes.
const (
	flushBytes   = 4 << 20
	flushBatches = 4096
)

// flush writes what is staged below upto to segments, without a sync. Under
// io. A log that is deleted meanwhile is no error.
func (l *Log) flush(upto int64, reserve int64) error {
	var todo []segment.Batch
	for {
		if l.s.aborted.Load() {
			return ErrClosed
		}
		seg, full := l.collect(upto, &todo)
		if len(todo) == 0 {
			return nil
		}
		if full {
			if err := l.seal(seg); err != nil {
				return l.unlessGone(err)
			}
			continue
		}
		if err := l.ready(seg); err != nil {
			return l.unlessGone(err)
		}
		if err := l.write(seg, todo, reserve); err != nil {
			return l.unlessGone(err)
		}
	}
}

// unlessGone is err, or nil if the log was deleted: its files may be gone.
func (l *Log) unlessGone(err error) error {
	if errors.Is(l.usable(), ErrDeleted) {
		return nil
	}
	return err
}

// collect finds the batches to write next, and the segment for them, which it
// makes if need be. full: the segment has to be sealed first.
func (l *Log) collect(upto int64, todo *[]segment.Batch) (seg *segment.Segment, full bool) {
	*todo = (*todo)[:0]
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone != nil {
		return nil, false
	}
	written := l.written()
	q := l.tail.batches()
	i := l.tail.from(written)
	if i == len(q) || q[i].next > upto {
		return nil, false
	}
	if n := len(l.segs); n > 0 && !l.segs[n-1].Sealed {
		seg = l.segs[n-1]
	} else {
		seg = l.begin(written)
		l.segs = append(l.segs, seg)
	}
	m, limit := seg.End, l.cfg.segmentBytes()
	for bytes := 0; i < len(q) && q[i].next <= upto && bytes < flushBytes && len(*todo) < flushBatches; i++ {
		b := segment.Batch{B: q[i].b, Base: q[i].base, Next: q[i].next, Ts: q[i].maxTs, LSN: q[i].lsn}
		if !seg.Room(m, &b, limit) {
			break
		}
		m.Pos += int64(len(b.B))
		bytes += len(b.B)
		*todo = append(*todo, b)
	}
	if len(*todo) == 0 {
		*todo = append(*todo, segment.Batch{})
		return seg, true
	}
	return seg, false
}

// write writes batches to a segment and publishes that.
func (l *Log) write(seg *segment.Segment, batches []segment.Batch, reserve int64) error {
	var bytes int64
	for i := range batches {
		bytes += int64(len(batches[i].B))
	}
	reserved := seg.Reserved
	if reserve > 0 {
		var err error
		if reserved, err = seg.Reserve(l.s.segFiles, bytes, reserve); err != nil {
			return err
		}
	}
	end, index, err := seg.Write(l.s.segFiles, batches)
	if err != nil {
		return fmt.Errorf("write %s: %w", seg.Name, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	seg.Reserved = reserved
	if l.gone == nil {
		if seg.Synced == seg.End {
			seg.FirstLSN = batches[0].LSN
		}
		seg.End, seg.Index = end, index
		l.pending -= bytes
		l.s.unwritten.Add(-bytes)
	}
	return nil
}

// seal ends the active segment. Under io.
func (l *Log) seal(seg *segment.Segment) error {
	if err := l.ready(seg); err != nil {
		return err
	}
	index, err := seg.Seal(l.s.segFiles)
	if err != nil {
		return fmt.Errorf("seal %s: %w", seg.Name, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	seg.Index, seg.Sealed = index, true
	return nil
}

// ready completes a segment's index where that was put off. Under io.
func (l *Log) ready(seg *segment.Segment) error {
	if seg.Index.Ready {
		return nil
	}
	index, err := seg.Build(l.s.segFiles, "", seg.End.Pos)
	if errors.Is(err, segment.ErrIndex) {
		return l.reindex(seg)
	}
	if err != nil {
		return l.corrupted(seg, err)
	}
	l.mu.Lock()
	seg.Index = index
	l.mu.Unlock()
	return nil
}

// reindex makes a new index. Under io.
func (l *Log) reindex(seg *segment.Segment) error {
	name := l.s.path(l.newName(seg.Base, indexExt))
	index, err := seg.Build(l.s.segFiles, name, seg.End.Pos)
	if err != nil {
		return l.corrupted(seg, err)
	}
	l.s.opts.Logger.Warn("index was rebuilt", "log", l.id.String(), "segment", seg.Name)
	l.mu.Lock()
	old := seg.Index.Name
	seg.Index, seg.SyncedPages = index, 0
	l.mu.Unlock()
	l.s.trash(old)
	return nil
}

// corrupted turns a segment's ErrCorrupt into the log's, and reports it.
func (l *Log) corrupted(seg *segment.Segment, err error) error {
	if !errors.Is(err, segment.ErrCorrupt) {
		return err
	}
	err = corrupt(l.id, seg.Name, "%v", err)
	l.s.report(l.id, err)
	return err
}

// report tells of corruption that was found.
func (s *Store) report(id ID, err error) {
	s.opts.Logger.Error("corruption found", "log", id.String(), "error", err)
	if s.opts.Metrics.Corrupt != nil {
		s.opts.Metrics.Corrupt()
	}
	if s.opts.OnCorrupt != nil {
		s.opts.OnCorrupt(id, err)
	}
}

// unsyncedSegs are the segments that have something that is not durable. Under
// mu.
func (l *Log) unsyncedSegs() []*segment.Segment {
	var list []*segment.Segment
	for _, s := range l.segs {
		if s.Synced != s.End || !s.Named && !s.Blank() {
			list = append(list, s)
		}
	}
	return list
}

// syncSegs makes durable what is written to segments. Under io, so that
// nothing is written meanwhile.
func (l *Log) syncSegs() error {
	l.mu.Lock()
	list := l.unsyncedSegs()
	named := true
	for _, seg := range list {
		named = named && seg.Named
	}
	l.mu.Unlock()
	for _, seg := range list {
		if err := l.s.syncSeg(seg); err != nil {
			return l.unlessGone(err)
		}
	}
	if !named {
		if err := l.s.syncDir(shardOf(l.id)); err != nil {
			return l.unlessGone(err)
		}
	}
	l.mu.Lock()
	for _, seg := range list { // at once: recoveryLSN tells of all of them
		seg.Named, seg.Synced, seg.SyncedPages = true, seg.End, seg.Index.Pages
	}
	l.mu.Unlock()
	return nil
}

func (s *Store) syncSeg(seg *segment.Segment) error {
	if s.opts.NoSync {
		return nil
	}
	if err := seg.Sync(s.segFiles); err != nil {
		return fmt.Errorf("sync %s: %w", seg.Name, err)
	}
	return nil
}

func (s *Store) syncDir(shard int) error {
	if s.opts.NoSync {
		return nil
	}
	return s.opts.FS.SyncDir(s.shard(shard))
}

// dropSegs lets go of the segments that end at or below before. Under io and
// mu.
func (l *Log) dropSegs(before int64) (segments int, bytes int64) {
	for len(l.segs) > 0 && l.segs[0].End.Next <= before && !l.segs[0].Blank() {
		seg := l.segs[0]
		l.empty = seg.End.Next
		l.segs = slices.Delete(l.segs, 0, 1)
		l.s.trash(seg.Name, seg.Index.Name)
		segments++
		bytes += seg.End.Pos
	}
	return segments, bytes
}

// find returns a copy of the segment that holds offset, or the first after it.
// Under mu.
func (l *Log) find(offset int64) (segment.Segment, bool) {
	i, _ := slices.BinarySearchFunc(l.segs, offset, func(s *segment.Segment, offset int64) int {
		if s.End.Next <= offset {
			return -1
		}
		return 1
	})
	if i == len(l.segs) {
		return segment.Segment{}, false
	}
	return *l.segs[i], true
}

// original is the segment that view is a copy of, if the log still has it.
// Under mu.
func (l *Log) original(view *segment.Segment) *segment.Segment {
	for _, s := range l.segs {
		if s.Name == view.Name {
			return s
		}
	}
	return nil
}

// cut is where a truncation ends in a segment.
type cut struct {
	seg   *segment.Segment
	at    segment.Mark
	index segment.Index // up to there
}

// planCut finds where a truncation to an offset cuts the segments; nil: not at
// all. It does the reading that the truncation needs. Under io.
func (l *Log) planCut(to int64) (*cut, error) {
	l.mu.Lock()
	view, ok := l.find(to)
	if !ok {
		l.mu.Unlock()
		return nil, nil
	}
	c := &cut{seg: l.original(&view), at: segment.Start(view.Base)}
	l.mu.Unlock()
	if to <= view.Base {
		return c, nil
	}
	if err := l.ready(c.seg); err != nil {
		return nil, err
	}
	from, err := c.seg.Seek(l.s.segFiles, to)
	if errors.Is(err, segment.ErrIndex) {
		if err = l.reindex(c.seg); err == nil {
			from, err = c.seg.Seek(l.s.segFiles, to)
		}
	}
	if err != nil {
		return nil, err
	}
	c.at, err = c.seg.Walk(l.s.segFiles, from, func(_ segment.Mark, h *record.Header, _ []byte) error {
		if h.NextOffset() > to {
			to = min(to, h.BaseOffset)
			return errFound
		}
		return nil
	})
	if err != nil && !errors.Is(err, errFound) {
		return nil, l.corrupted(c.seg, err)
	}
	c.at.Next = to // compaction may have left a hole before it
	if c.at.Pos == segment.HeaderBytes {
		return c, nil
	}
	l.mu.Lock()
	sealed := *c.seg // a checkpoint may note meanwhile what it knows of it
	l.mu.Unlock()
	sealed.Sealed = true
	c.index, err = sealed.Build(l.s.segFiles, l.s.path(l.newName(view.Base, indexExt)), c.at.Pos)
	return c, err
}

// errFound ends a walk.
var errFound = errors.New("found")

// cutSegs lets go of what is behind a cut. The segment that was cut is sealed,
// and keeps its bytes: they are not overwritten, because a frame of the journal
// that is still to be replayed may tell of them. Under io and mu.
func (l *Log) cutSegs(c *cut) {
	if c == nil {
		return
	}
	i := slices.Index(l.segs, c.seg)
	if i < 0 {
		return
	}
	keep := i
	if c.at.Pos > segment.HeaderBytes {
		keep = i + 1
		l.s.trash(c.seg.Index.Name)
		c.seg.End, c.seg.Index, c.seg.Sealed = c.at, c.index, true
		if c.seg.Known.Pos > c.at.Pos {
			c.seg.Known = c.at
		}
		if c.seg.Synced.Pos >= c.at.Pos {
			c.seg.Synced, c.seg.SyncedPages = c.at, c.index.Pages
		} else {
			c.seg.SyncedPages = 0 // its pages may know what is not durable
		}
	} else if i == 0 {
		l.empty = c.seg.Base
	}
	for _, s := range l.segs[keep:] {
		l.s.trash(s.Name, s.Index.Name)
	}
	l.segs = slices.Delete(l.segs, keep, len(l.segs))
}
