package plog

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/chroniklog/chronik/storage/journal"
	"github.com/chroniklog/chronik/storage/record"
	"github.com/chroniklog/chronik/storage/segment"
)

// recovery rebuilds the logs: from the checkpoint, then frame by frame, and
// judges at the end, when it is known which cycle was the last.
type recovery struct {
	s       *Store
	c       *checkpoint
	logs    map[life]*lost
	files   map[string]int64 // sizes of the files of logs, by path
	states  map[life][]stateRef
	strange []string // left-overs of writeFile
	again   bool     // a checkpoint must follow
}

// life is one incarnation of a log.
type life struct {
	id          ID
	incarnation uint32
}

// lost is a log that is being recovered.
type lost struct {
	*Log
	lsn    uint64 // frames below are reflected
	broken error
	// leaving says that it was being deleted when the checkpoint was made.
	leaving bool
	// doubt is an extent that can't be read. In the last cycle it is a torn
	// write; else the log is corrupt.
	doubt      error
	doubtCycle uint64
	adopted    []*segment.Segment // extents of the cycle adoptedIn
	adoptedIn  uint64
}

func newRecovery(s *Store, c *checkpoint) *recovery {
	r := &recovery{s: s, c: c, logs: map[life]*lost{}, files: map[string]int64{}, states: map[life][]stateRef{}}
	s.seq = c.Seq
	s.files.Store(c.Files)
	s.clock.Store(c.Clock)
	for i := range c.Logs {
		r.load(&c.Logs[i])
	}
	return r
}

// load makes a log as the checkpoint has it.
func (r *recovery) load(e *logEntry) {
	l := &lost{Log: &Log{s: r.s, id: e.ID, incarnation: e.Incarnation}, lsn: e.LSN}
	l.empty, l.cleaned, l.epochs = e.Empty, e.Cleaned, e.Epochs
	l.hw.Store(e.HW)
	for i := range e.Segs {
		x := &e.Segs[i]
		l.segs = append(l.segs, &segment.Segment{
			Header: l.header(x.Base, x.Number), Name: l.file(x.Base, x.Number, segmentExt),
			End: x.End, Synced: x.End, Known: x.End, SyncedPages: x.Pages, Named: true, Sealed: x.Sealed, Sparse: x.Sparse,
			CleanedAt: x.Cleaned, Tombstones: x.Tombstones, Created: x.Created, Scrubbed: x.Scrubbed,
			Index: segment.Index{Name: l.file(x.Base, x.Index, indexExt), Pages: x.Pages, Ready: x.Sealed},
		})
	}
	l.start.Store(e.Start)
	l.end.Store(l.written())
	switch e.Broken {
	case "":
	case deletedText, wreckText:
		l.leaving, l.broken = true, ErrDeleted
		if l.wreck = e.Broken == wreckText; l.wreck {
			l.broken = ErrCorrupt
		}
	default:
		l.broken = fmt.Errorf("%w: %s", ErrCorrupt, strings.TrimPrefix(e.Broken, ErrCorrupt.Error()+": "))
	}
	r.logs[life{e.ID, e.Incarnation}] = l
}

func (l *Log) header(base int64, number uint64) segment.Header {
	return segment.Header{
		Topic: l.id.Topic, Partition: l.id.Partition, Incarnation: l.incarnation, Base: base, Number: number,
	}
}

func (l *Log) file(base int64, number uint64, ext string) string {
	return l.s.path(fileName{id: l.id, incarnation: l.incarnation, base: base, number: number, ext: ext})
}

// list finds out which files there are, and hands the snapshots to their logs.
func (r *recovery) list() error {
	for n := range shards {
		dir := r.s.shard(n)
		infos, err := r.s.opts.FS.ReadDir(dir)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		for _, info := range infos {
			name := path.Join(dir, info.Name)
			if stem, found := strings.CutSuffix(info.Name, ".tmp"); found {
				if _, ok := parseName(stem); ok {
					r.strange = append(r.strange, name)
				}
				continue
			}
			f, ok := parseName(info.Name)
			if !ok || shardOf(f.id) != n {
				continue // not ours
			}
			r.files[name] = info.Size
			r.s.files.Store(max(r.s.files.Load(), f.number))
			if f.ext == stateExt {
				key := life{f.id, f.incarnation}
				r.states[key] = append(r.states[key], stateRef{offset: f.base, number: f.number})
			}
		}
	}
	for key, states := range r.states {
		slices.SortFunc(states, func(a, b stateRef) int { return cmp.Compare(a.number, b.number) })
		if l := r.logs[key]; l != nil {
			l.states = states
		}
	}
	return nil
}

// replay applies a frame of the journal.
func (r *recovery) replay(f *journal.Frame) error {
	key := life{ID{Topic: f.Topic, Partition: f.Partition}, f.Incarnation}
	l := r.logs[key]
	if l == nil {
		if f.LSN < r.c.LSN {
			return nil // of a log that was gone when the checkpoint was made
		}
		l = &lost{Log: &Log{s: r.s, id: key.id, incarnation: key.incarnation, states: r.states[key]}}
		r.logs[key] = l
	}
	if f.LSN < l.lsn {
		return nil
	}
	if f.Kind == journal.Delete {
		r.remove(l)
		return nil
	}
	if l.doubt != nil && f.Cycle > l.doubtCycle && l.broken == nil {
		l.broken = l.doubt
	}
	if l.broken != nil {
		return nil
	}
	switch f.Kind {
	case journal.Data:
		l.broken = l.replayData(f)
	case journal.Extent:
		return r.extent(l, f)
	default:
		return l.replayOp(f)
	}
	return nil
}

// remove ends a log.
func (r *recovery) remove(l *lost) {
	if l.broken != nil && !errors.Is(l.broken, ErrDeleted) {
		l.gone = l.broken
	}
	l.Log.remove()
	delete(r.logs, life{l.id, l.incarnation})
}

func (l *lost) replayData(f *journal.Frame) error {
	h, err := record.ParseHeader(f.Payload)
	switch end := l.end.Load(); {
	case err != nil || h.Size() != len(f.Payload) || h.NextOffset() <= h.BaseOffset:
		return corrupt(l.id, "journal", "the frame with LSN %d holds no batch: %v", f.LSN, err)
	case h.BaseOffset != end:
		return corrupt(l.id, "journal", "the frame with LSN %d has offset %d, but the log ends at %d",
			f.LSN, h.BaseOffset, end)
	}
	l.push(bytes.Clone(f.Payload), &h)
	q := l.tail.batches()
	q[len(q)-1].lsn = f.LSN
	return nil
}

func (l *lost) replayOp(f *journal.Frame) error {
	if len(f.Payload) != 8 {
		return corrupt(l.id, "journal", "the frame with LSN %d is malformed", f.LSN)
	}
	arg := int64(binary.LittleEndian.Uint64(f.Payload))
	switch f.Kind {
	case journal.Trim: // segments go at the end: an extent may tell more of them
		if arg > l.start.Load() {
			l.start.Store(arg)
			l.epochs.trim(arg)
		}
	case journal.Truncate:
		if arg < l.end.Load() {
			c, err := l.planCut(arg)
			if err != nil {
				l.broken = err
				return nil
			}
			l.cutTo(arg, c)
		}
	case journal.Reset:
		l.resetTo(arg)
	} // snapshots that these made untrue were removed before the frame was written
	return nil
}

// extent takes a direct write over: what it says is in the segment, if it can
// be read there.
func (r *recovery) extent(l *lost, f *journal.Frame) error {
	x, index, err := decodeExtent(f.Payload)
	if err != nil {
		return corrupt(l.id, "journal", "the frame with LSN %d: %v", f.LSN, err)
	}
	if l.doubt != nil {
		return nil // the rest of a torn cycle
	}
	r.s.files.Store(max(r.s.files.Load(), x.Number, index))
	if l.knows(&x) {
		return nil
	}
	seg, err := l.segmentFor(&x, index)
	if err == nil {
		err = r.verify(l, seg, &x)
	}
	if err != nil {
		if !errors.Is(err, segment.ErrCorrupt) && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		l.doubt = corrupt(l.id, l.file(x.Base, x.Number, segmentExt), "%v", err)
		l.doubtCycle = f.Cycle
		return nil
	}
	if l.adoptedIn != f.Cycle {
		l.adopted, l.adoptedIn = nil, f.Cycle
	}
	l.adopted = append(l.adopted, seg)
	return nil
}

// knows tells whether the checkpoint has all of an extent: it may have been
// made while the extent was being written.
func (l *lost) knows(x *extent) bool {
	for _, seg := range l.segs {
		if seg.Number == x.Number {
			return seg.End.Pos >= x.To.Pos
		}
	}
	return false
}

// segmentFor finds the segment of an extent, or makes a new one, which is not
// in the log's list yet.
func (l *lost) segmentFor(x *extent, index uint64) (*segment.Segment, error) {
	if n := len(l.segs); n > 0 && l.segs[n-1].Number == x.Number {
		// A checkpoint may know more than the extent's writer thought.
		if seg := l.segs[n-1]; x.From.Pos <= seg.End.Pos && seg.End.Pos <= x.To.Pos {
			return seg, nil
		}
		return nil, fmt.Errorf("%w: the extent has bytes %d to %d, the segment ends at %d",
			segment.ErrCorrupt, x.From.Pos, x.To.Pos, l.segs[n-1].End.Pos)
	}
	if x.Base > l.written() && x.Base <= l.start.Load() {
		// All below had been trimmed, and was let go of.
		l.dropSegs(x.Base)
		l.s.forget(l.tail.dropBelow(x.Base))
		l.empty = x.Base
		l.end.Store(max(l.end.Load(), x.Base))
	}
	if x.From != segment.Start(x.Base) || x.Base != l.written() {
		return nil, fmt.Errorf("%w: the extent starts a segment at offset %d, the log is written up to %d",
			segment.ErrCorrupt, x.Base, l.written())
	}
	return &segment.Segment{
		Header: l.header(x.Base, x.Number), Name: l.file(x.Base, x.Number, segmentExt),
		End: x.From, Synced: x.From, Created: x.Created,
		Index: segment.Index{Name: l.file(x.Base, index, indexExt)},
	}, nil
}

// verify reads the range of an extent, and takes it over.
func (r *recovery) verify(l *lost, seg *segment.Segment, x *extent) error {
	grown := *seg
	grown.End = x.To
	if err := grown.Check(r.s.segFiles); err != nil {
		return err
	}
	var found epochs
	m, err := grown.Walk(r.s.segFiles, seg.End, func(at segment.Mark, h *record.Header, _ []byte) error {
		found.add(h.LeaderEpoch, at.Next)
		return nil
	})
	if err != nil {
		return err
	}
	if m != x.To {
		return fmt.Errorf("%w: the extent ends at %+v, the batches at %+v", segment.ErrCorrupt, x.To, m)
	}
	for _, e := range found {
		l.epochs.add(e.epoch, e.start)
	}
	if n := len(l.segs); n == 0 || l.segs[n-1] != seg {
		if n > 0 {
			l.segs[n-1].Sealed = true
		}
		l.segs = append(l.segs, seg)
	}
	r.files[seg.Name] = max(r.files[seg.Name], x.To.Pos)
	seg.End, seg.Synced, seg.Known, seg.Named, seg.Sealed = x.To, x.To, x.To, true, x.Sealed
	seg.Index.Ready, seg.Index.Rest = false, nil
	seg.SyncedPages = seg.Index.Pages
	l.end.Store(max(l.end.Load(), x.To.Next))
	l.s.forget(l.tail.dropBelow(x.To.Next)) // the tail must have no gap
	l.recount()
	return nil
}

// finish judges what is in doubt and hands the logs to the store.
func (r *recovery) finish(rec journal.Recovered) error {
	r.s.lsn = rec.NextLSN
	r.s.journaled.Store(rec.NextLSN)
	for _, key := range r.order() {
		if l := r.logs[key]; l.leaving {
			r.remove(l)
			r.again = true // before the same life can have other frames
			continue
		}
		if err := r.judge(r.logs[key], rec.LastCycle); err != nil {
			return err
		}
	}
	r.install()
	r.sweep()
	return nil
}

// judge ends the recovery of one log.
func (r *recovery) judge(l *lost, lastCycle uint64) error {
	if l.doubt != nil && l.doubtCycle != lastCycle && l.broken == nil {
		l.broken = l.doubt
	}
	if l.broken == nil {
		l.dropSegs(min(l.start.Load(), l.end.Load()))
		l.broken = r.missing(l)
	}
	if l.broken != nil {
		if r.s.opts.OnCorrupt == nil {
			return l.broken
		}
		r.s.forget(l.tail.cut(-1))
		r.s.unwritten.Add(-l.pending)
		l.pending, l.tail, l.gone = 0, tail{}, l.broken
		r.again = true
		r.s.report(l.id, l.broken)
		return nil
	}
	if l.adoptedIn == lastCycle {
		// What a killed process left in the page cache counts from now on.
		for _, seg := range l.adopted {
			if err := errors.Join(r.s.syncSeg(seg), r.s.syncDir(shardOf(l.id))); err != nil {
				return err
			}
		}
	}
	end := l.end.Load()
	l.start.Store(min(l.start.Load(), end)) // a trim of what was not durable yet
	l.flushed.Store(end)
	l.taken, l.staged = end, 0
	if l.doubt != nil {
		// The torn extent must not be judged again when later cycles follow
		// it, so the log's replay has to begin after it.
		r.again = true
		if err := l.flush(end, 0); err != nil {
			return err
		}
		return l.syncSegs()
	}
	return nil
}

// missing tells of a segment that is not there, or too short.
func (r *recovery) missing(l *lost) error {
	for _, seg := range l.segs {
		size, ok := r.files[seg.Name]
		switch {
		case !ok:
			return corrupt(l.id, seg.Name, "the segment is missing")
		case size < seg.Synced.Pos:
			return corrupt(l.id, seg.Name, "the segment has %d bytes, %d were durable", size, seg.Synced.Pos)
		}
	}
	return nil
}

// order is the lives that were found, by id and then by age.
func (r *recovery) order() []life {
	return slices.SortedFunc(maps.Keys(r.logs), func(a, b life) int {
		return cmp.Or(compareIDs(a.id, b.id), cmp.Compare(a.incarnation, b.incarnation))
	})
}

// install puts the newest life of each log into the store; the others end.
func (r *recovery) install() {
	for _, key := range r.order() {
		l := r.logs[key]
		if n := l.tail.bytesFrom(-1); n > 0 {
			price := cost(int(n), len(l.tail.batches()))
			r.s.cachedQueue.push(cachedRef{log: l.Log, upto: l.end.Load(), cost: price})
		}
		other := r.s.logs[key.id]
		switch {
		case other == nil:
			r.s.logs[key.id] = l.Log
			continue
		case other.incarnation > key.incarnation:
			other = l.Log
		default:
			r.s.logs[key.id] = l.Log
		}
		r.s.replaced[other] = struct{}{}
		r.s.ops = append(r.s.ops, r.s.deletion(other))
	}
	if len(r.s.ops) > 0 {
		r.s.wake()
	}
}

// sweep lets go of the files that no log knows: the process ended before they
// were needed, or before they could be removed. They go after the next
// checkpoint, for until then the next recovery would look for them. A corrupt
// log keeps its files.
func (r *recovery) sweep() {
	known := map[string]bool{}
	broken := map[life]bool{}
	for key, l := range r.logs {
		broken[key] = l.gone != nil
		for _, seg := range l.segs {
			known[seg.Name], known[seg.Index.Name] = true, true
		}
		for _, ref := range l.states {
			known[l.s.path(l.stateName(ref))] = true
		}
	}
	_, condemned := r.s.takeTrash() // the garbage is among the unknown
	r.s.quarantine(condemned...)
	r.s.trashGone()
	for _, x := range condemned {
		broken[x] = true
	}
	for _, name := range append(slices.Sorted(maps.Keys(r.files)), r.strange...) {
		f, ok := parseName(path.Base(name))
		if !ok || !known[name] && !broken[life{f.id, f.incarnation}] {
			r.s.trash(name)
		}
	}
}
