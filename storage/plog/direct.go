package plog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/chroniklog/chronik/storage/journal"
	"github.com/chroniklog/chronik/storage/segment"
)

// Direct writes. A part of a cycle that is large goes straight to the log's
// segments, which are synced in parallel with the journal; the journal gets
// one small frame per segment, an extent, that says what was written where.
// So the journal stays the only order of things: an extent supersedes the
// earlier frames of its log, which were written to the segment with it, and
// frames after it are replayed on top. That is what makes switching between
// the two ways safe at any cycle.

// maxDirect bounds the logs of one cycle that are written directly: each costs
// a sync of its own, and more than a few of them cost more than writing the
// bytes twice.
const maxDirect = 4

// reserveStep is how far ahead disk space is preallocated for a segment that
// is written directly: few extents, and a full disk is noticed before a write.
const reserveStep = 4 << 20

// wantsDirect tells whether a part is large enough to be worth a sync of its
// own. The journal's sync is the faster one at any size, for it overwrites
// blocks that exist where a segment grows: measured in turns on ext4
// (BenchmarkCrossover), 1.2 to 1.3 ms against 1.6 to 1.9 ms at 512 KiB to 1 MiB.
// But its bytes are written a second time: for seconds on end, 1 MiB per cycle
// went at 650 MB/s through the journal and at 930 MB/s directly (690 MB/s are
// the disk's plain append and sync), 400 KiB at 390 and 260 MB/s. So the
// default lies between those two.
func (s *Store) wantsDirect(p *part) bool {
	return s.opts.DirectBytes >= 0 && p.bytes >= s.opts.DirectBytes && p.bytes > 0 && s.directs < maxDirect
}

// writeDirect writes the direct parts to their segments, with what the log has
// left in the journal before, and adds their extents. A part that finds no
// space goes through the journal.
func (s *Store) writeDirect() error {
	for i := range s.parts {
		p := &s.parts[i]
		if !p.direct {
			continue
		}
		err := p.log.writeDirect(p)
		if isDiskFull(err) {
			s.noteDiskFull(err)
			s.viaJournal(p)
			continue
		}
		if err != nil {
			return err
		}
		s.addExtents(p.log)
	}
	return nil
}

// writeDirect writes a part, or nothing of it.
func (l *Log) writeDirect(p *part) error {
	err := l.flush(p.from, 0) // the journal has it
	var last *segment.Segment
	l.mu.Lock()
	n := len(l.segs)
	if n > 0 {
		last = l.segs[n-1]
	}
	l.mu.Unlock()
	if err == nil && last != nil && !last.Sealed {
		err = l.unlessGone(l.ready(last))
	}
	if err != nil {
		return err
	}
	var was segment.Segment
	if last != nil {
		l.mu.Lock()
		was = *last
		l.mu.Unlock()
	}
	if err = l.flush(p.end, reserveStep); isDiskFull(err) {
		l.takeBack(n, last, was)
	}
	return err
}

// takeBack undoes what a direct write has done before it found no space: its
// batches are still to be written, for they go through the journal now, and
// segments must not be ahead of that. n is how many segments there were, and
// was what the last one was.
func (l *Log) takeBack(n int, last *segment.Segment, was segment.Segment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone != nil {
		return
	}
	for _, seg := range l.segs[n:] {
		l.s.trash(seg.Name, seg.Index.Name)
	}
	l.segs = slices.Delete(l.segs, n, len(l.segs))
	if last != nil {
		was.Index.Rest = slices.Clip(was.Index.Rest) // readers may have what came after
		last.End, last.Index, last.Sealed, last.FirstLSN = was.End, was.Index, was.Sealed, was.FirstLSN
	}
	l.recount()
}

// viaJournal gives up writing a part directly.
func (s *Store) viaJournal(p *part) {
	p.log.mu.Lock()
	s.addData(p.log, p.from)
	p.log.direct = false
	p.log.mu.Unlock()
	p.direct, p.locked = false, false
	s.directs--
	p.log.io.Unlock()
}

// addExtents adds a frame for each segment of a log of which recovery doesn't
// know all that it holds.
func (s *Store) addExtents(l *Log) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, seg := range l.segs {
		if seg.Known == seg.End {
			continue
		}
		x := extent{
			Number: seg.Number, Base: seg.Base, Created: seg.Created,
			From: seg.Known, To: seg.End, Sealed: seg.Sealed, Index: seg.Index.Name,
		}
		lsn := s.addFrame(l, journal.Frame{Kind: journal.Extent, Payload: x.encode()})
		if l.inflight == 0 {
			l.inflight = lsn
		}
	}
}

// persist writes the journal and syncs the direct parts' segments, at once.
func (s *Store) persist() error {
	if s.directs == 0 {
		return s.writeJournal()
	}
	var wg sync.WaitGroup
	errs := make([]error, len(s.parts))
	for i := range s.parts {
		switch p := &s.parts[i]; {
		case p.direct && s.opts.Manual:
			errs[i] = p.log.syncSegs()
		case p.direct:
			wg.Go(func() { errs[i] = p.log.syncSegs() })
		}
	}
	err := s.writeJournal()
	wg.Wait()
	if err := errors.Join(append(errs, err)...); err != nil {
		return err
	}
	s.known()
	s.opts.pause("between")
	s.releaseParts()
	return nil
}

// releaseParts ends the direct writes.
func (s *Store) releaseParts() {
	for i := range s.parts {
		p := &s.parts[i]
		if !p.locked {
			continue
		}
		p.locked = false
		p.log.mu.Lock()
		p.log.inflight, p.log.direct = 0, false
		p.log.mu.Unlock()
		p.log.io.Unlock()
	}
}

// known notes that the extents of the direct parts are durable.
func (s *Store) known() {
	for i := range s.parts {
		if p := &s.parts[i]; p.direct {
			p.log.mu.Lock()
			for _, seg := range p.log.segs {
				seg.Known = seg.End
			}
			p.log.mu.Unlock()
		}
	}
}

// extent is the payload of a frame: offsets that were written to a segment.
type extent struct {
	Number   uint64 // of the segment's file
	Base     int64
	Created  int64
	From, To segment.Mark
	Sealed   bool
	Index    string // path of the index; only its number is stored
}

const extentBytes = 85

func (x *extent) encode() []byte {
	b := make([]byte, 0, extentBytes)
	b = binary.LittleEndian.AppendUint64(b, x.Number)
	f, _ := parseName(baseName(x.Index))
	b = binary.LittleEndian.AppendUint64(b, f.number)
	for _, v := range []int64{x.Base, x.Created, x.From.Pos, x.From.Next, x.From.MaxTs, x.To.Pos, x.To.Next, x.To.MaxTs} {
		b = binary.LittleEndian.AppendUint64(b, uint64(v))
	}
	flags := byte(0)
	if x.Sealed {
		flags = 1
	}
	b = append(b, flags)
	return binary.LittleEndian.AppendUint32(b, 0) // reserved
}

// decodeExtent reads what encode made; the index's name stays open, its number
// is returned.
func decodeExtent(b []byte) (x extent, index uint64, err error) {
	if len(b) != extentBytes {
		return x, 0, fmt.Errorf("extent of %d bytes, expected %d", len(b), extentBytes)
	}
	v := func(i int) int64 { return int64(binary.LittleEndian.Uint64(b[8*i:])) }
	x = extent{
		Number: uint64(v(0)), Base: v(2), Created: v(3),
		From:   segment.Mark{Pos: v(4), Next: v(5), MaxTs: v(6)},
		To:     segment.Mark{Pos: v(7), Next: v(8), MaxTs: v(9)},
		Sealed: b[80]&1 != 0,
	}
	if x.Base < 0 || x.From.Pos < segment.HeaderBytes || x.To.Pos < x.From.Pos ||
		x.From.Next < x.Base || x.To.Next < x.From.Next {
		return x, 0, errors.New("extent is not in order")
	}
	return x, uint64(v(1)), nil
}
