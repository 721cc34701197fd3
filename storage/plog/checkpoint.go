package plog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path"

	"github.com/chroniklog/chronik/storage/journal"
	"github.com/chroniklog/chronik/storage/segment"
)

// The checkpoint is one file for all logs, in two copies that are overwritten
// in turn: whatever happens to one, the other is whole, and no journal file is
// recycled before both say that nobody needs it.
const (
	checkpointMagic   = "CHRNCKPT"
	checkpointVersion = 1
	checkpointHeader  = 96
	maxCheckpoint     = 1 << 30
)

func (s *Store) checkpointName(copy int) string {
	return path.Join(s.opts.Dir, fmt.Sprintf("checkpoint.%d", copy))
}

// checkpoint is what the file holds.
type checkpoint struct {
	Seq   uint64 // of the checkpoint
	Store [16]byte
	LSN   uint64 // logs that are not listed need frames from here on
	Files uint64 // highest number of a file
	Clock int64  // retention's clock, Unix milliseconds
	Start journal.Start
	Logs  []logEntry
}

// logEntry is a log as its durable segments have it.
type logEntry struct {
	ID          ID
	Incarnation uint32
	LSN         uint64 // frames from here on are to be replayed
	Start       int64
	Empty       int64
	HW          int64
	Cleaned     int64
	Broken      string // why the log can't be used
	Epochs      epochs
	Segs        []segEntry

	log  *Log               // that was captured
	segs []*segment.Segment // likewise
}

// known notes that the checkpoint is durable: recovery knows what it lists.
func (c *checkpoint) known() {
	for i := range c.Logs {
		e := &c.Logs[i]
		e.log.mu.Lock()
		for j, seg := range e.segs {
			mark := e.Segs[j].End
			if mark.Pos > seg.End.Pos { // cut meanwhile
				mark = seg.End
			}
			if mark.Pos > seg.Known.Pos {
				seg.Known = mark
			}
		}
		e.log.mu.Unlock()
	}
}

// segEntry is a segment.
type segEntry struct {
	Number, Index  uint64 // of the files
	Base           int64
	End            segment.Mark
	Pages          int
	Sealed, Sparse bool
	Tombstones     bool
	Cleaned        int64
	Created        int64
	Scrubbed       int64
}

// checkpoint makes durable how far the segments are, so that recovery begins
// there. With flush it first moves everything into the segments; closed says
// that nothing follows.
func (s *Store) checkpoint(flush, closed bool) error {
	began := s.opts.Monotonic()
	grown := s.grown.Load()
	if flush {
		if err := s.flushAll(); err != nil {
			return err
		}
	}
	garbage, condemned := s.takeTrash() // before the logs are looked at: none of them knows these files
	defer s.trashGone()
	s.opts.pause("between")
	c, least := s.capture()
	s.opts.pause("between")
	c.Start = s.journal.Oldest(least, closed)
	s.opts.pause("between")
	bytes, err := s.writeCheckpoint(&c)
	if err != nil {
		s.trash(garbage...)
		s.quarantine(condemned...)
		return err
	}
	c.known()
	s.opts.pause("between")
	s.journal.Release(c.Start)
	s.emptyTrash(garbage)
	for _, x := range condemned {
		s.putAway(x)
	}
	if flush {
		s.grown.Add(-grown)
	}
	if m := s.opts.Metrics.Checkpoint; m != nil {
		m(s.opts.Monotonic()-began, int64(bytes))
	}
	if m := s.opts.Metrics.Journal; m != nil {
		m(s.journal.Live())
	}
	return nil
}

// capture collects the state of all logs, and the least LSN that one needs.
func (s *Store) capture() (c checkpoint, least uint64) {
	// Before the list of logs is taken: a log that is made later has no frame
	// below, so it needs no entry.
	least = s.journaled.Load()
	c = checkpoint{Store: s.id, LSN: least, Clock: s.clock.Load()}
	for _, l := range s.snapshot() {
		s.opts.pause("entry")
		if e, ok := l.entry(); ok {
			least = min(least, e.LSN)
			c.Logs = append(c.Logs, e)
		}
	}
	c.Files = s.files.Load()
	return c, least
}

// A log whose deletion is under way is still in a checkpoint, with a text of
// its own in the place of why it can't be used: its files may go any time, so
// frames from before the deletion must not be replayed, whether the deletion's
// own frame is there or not.
const (
	deletedText = "deleted"
	wreckText   = "deleted; it was corrupt"
)

// entry is the log's part of a checkpoint; ok is false if it needs none: that
// is so of a log of which the journal never had a frame.
func (l *Log) entry() (e logEntry, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if errors.Is(l.gone, ErrDeleted) {
		e = logEntry{ID: l.id, Incarnation: l.incarnation, Broken: deletedText, log: l}
		e.LSN = min(l.removed, l.s.journaled.Load())
		if l.wreck {
			e.Broken = wreckText
		}
		return e, true
	}
	e = logEntry{
		ID: l.id, Incarnation: l.incarnation, LSN: l.recoveryLSN(), Start: l.start.Load(), Empty: l.empty,
		HW: l.hw.Load(), Cleaned: l.cleaned, log: l,
	}
	if l.gone != nil {
		e.Broken, e.LSN = l.gone.Error(), l.s.journaled.Load()
	}
	end := l.synced()
	for _, x := range l.epochs {
		if x.start < end || x.start == l.start.Load() {
			e.Epochs = append(e.Epochs, x)
		}
	}
	for _, seg := range l.segs {
		if seg.Synced == segment.Start(seg.Base) || !seg.Named {
			break
		}
		e.Segs = append(e.Segs, segmentEntry(seg))
		e.segs = append(e.segs, seg)
		if seg.Synced != seg.End {
			break
		}
	}
	return e, l.end.Load() > 0 || l.gen > 0 || l.gone != nil
}

func segmentEntry(seg *segment.Segment) segEntry {
	index, _ := parseName(baseName(seg.Index.Name))
	return segEntry{
		Number: seg.Number, Index: index.number, Base: seg.Base, End: seg.Synced, Pages: seg.SyncedPages,
		Sealed: seg.Sealed && seg.Synced == seg.End, Sparse: seg.Sparse,
		Tombstones: seg.Tombstones, Cleaned: seg.CleanedAt, Created: seg.Created, Scrubbed: seg.Scrubbed,
	}
}

func baseName(name string) string { return path.Base(name) }

// writeCheckpoint writes both copies, one after the other. It begins with the
// one that may not be whole: a write of it may have been cut off before.
func (s *Store) writeCheckpoint(c *checkpoint) (bytes int, err error) {
	s.seq++
	c.Seq = s.seq
	b := c.encode()
	for range 2 {
		if err := s.overwrite(s.checkpointName(s.weak), b); err != nil {
			return 0, fmt.Errorf("checkpoint: %w", err)
		}
		s.weak = 1 - s.weak
	}
	return len(b), nil
}

// overwrite writes b over a file, durably. A crash may leave a mixture.
func (s *Store) overwrite(name string, b []byte) error {
	f, err := s.opts.FS.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		if f, err = s.opts.FS.Create(name); err == nil {
			if err = s.opts.FS.SyncDir(path.Dir(name)); err != nil {
				_ = f.Close()
			}
		}
	}
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(b, 0); err == nil {
		err = s.sync(f)
	}
	return errors.Join(err, f.Close())
}

// settle makes a file durable as it is.
func (s *Store) settle(name string) error {
	f, err := s.opts.FS.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(s.sync(f), f.Close())
}

// encode makes the file: a header with the length and checksum of the body,
// and the body, whose numbers are varints.
func (c *checkpoint) encode() []byte {
	b := make([]byte, checkpointHeader, checkpointHeader+64+len(c.Logs)*128)
	for i := range c.Logs {
		b = c.Logs[i].append(b)
	}
	body := b[checkpointHeader:]
	copy(b, checkpointMagic)
	binary.LittleEndian.PutUint32(b[8:], checkpointVersion)
	if c.Start.Begun {
		b[12] = 1
	}
	for i, v := range []uint64{
		c.Seq, c.LSN, c.Files, uint64(c.Clock), c.Start.Seq, c.Start.LSN, c.Start.Cycle,
	} {
		binary.LittleEndian.PutUint64(b[16+8*i:], v)
	}
	// The store's id is folded into the checksum: it tells strangers apart and
	// is known from FORMAT.
	binary.LittleEndian.PutUint64(b[72:], uint64(len(body)))
	binary.LittleEndian.PutUint32(b[80:], uint32(len(c.Logs)))
	binary.LittleEndian.PutUint32(b[84:], crc32.Checksum(body, castagnoli))
	sum := crc32.Update(crc32.Checksum(c.Store[:], castagnoli), castagnoli, b[:92])
	binary.LittleEndian.PutUint32(b[92:], sum)
	return b
}

// decodeCheckpoint reads what encode made for that store.
func decodeCheckpoint(b []byte, store [16]byte) (c checkpoint, err error) {
	if len(b) < checkpointHeader || string(b[:8]) != checkpointMagic ||
		crc32.Update(crc32.Checksum(store[:], castagnoli), castagnoli, b[:92]) != binary.LittleEndian.Uint32(b[92:]) {
		return c, errors.New("bad header")
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v != checkpointVersion {
		return c, fmt.Errorf("version %d is unknown", v)
	}
	v := func(i int) uint64 { return binary.LittleEndian.Uint64(b[16+8*i:]) }
	c = checkpoint{
		Store: store, Seq: v(0), LSN: v(1), Files: v(2), Clock: int64(v(3)),
		Start: journal.Start{Seq: v(4), Begun: b[12] == 1, LSN: v(5), Cycle: v(6)},
	}
	length, count := v(7), int(binary.LittleEndian.Uint32(b[80:]))
	if length > uint64(len(b)-checkpointHeader) {
		return c, errors.New("it is cut short")
	}
	body := b[checkpointHeader : checkpointHeader+length]
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(b[84:]) {
		return c, errors.New("bad checksum")
	}
	if count > len(body) {
		return c, errors.New("bad count")
	}
	d := decoder{b: body}
	c.Logs = make([]logEntry, 0, count)
	for range count {
		c.Logs = append(c.Logs, d.logEntry())
		if d.bad {
			return c, errors.New("malformed entry")
		}
	}
	if len(d.b) != 0 {
		return c, errors.New("bytes after the last entry")
	}
	return c, nil
}

// loadCheckpoint reads the newest copy that is whole. again: the other is not
// like it, and a new checkpoint should be written soon.
func (s *Store) loadCheckpoint() (c checkpoint, again bool, err error) {
	found, best := 0, 0
	var why []error
	for i := range 2 {
		b, err := readFile(s.opts.FS, s.checkpointName(i), maxCheckpoint)
		var x checkpoint
		if err == nil {
			x, err = decodeCheckpoint(b, s.id)
		}
		if err != nil {
			why = append(why, fmt.Errorf("%s: %w", s.checkpointName(i), err))
			continue
		}
		again = again || found > 0 && x.Seq != c.Seq
		found++
		if found == 1 || x.Seq > c.Seq {
			c, best = x, i
		}
	}
	if found == 0 {
		return c, false, fmt.Errorf("%w: no checkpoint can be read: %w", ErrCorrupt, errors.Join(why...))
	}
	if len(why) > 0 {
		s.opts.Logger.Warn("one copy of the checkpoint can't be read", "error", why[0])
		again = true
	}
	s.weak = 1 - best
	if again { // a process that was killed may have left it in the page cache
		err = s.settle(s.checkpointName(best))
	}
	return c, again, err
}
