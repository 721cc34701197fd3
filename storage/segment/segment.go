package segment

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"github.com/chroniklog/chronik/storage/record"
)

// Segment is one segment of a log. See the package comment for its locking.
type Segment struct {
	Header
	Name   string // path of the file
	End    Mark   // of what is written; the file may go on with what nobody wants
	Synced Mark   // of what is durable
	Known  Mark   // of what recovery would know to be there
	// FirstLSN is that of the first batch after Synced; 0: there is none, or
	// it has no journal frame (yet).
	FirstLSN uint64
	// SyncedPages is Index.Pages when Synced was End.
	SyncedPages int
	Named       bool // the file's name is durable
	Sealed      bool // nothing will be appended
	Sparse      bool // compacted: offsets may be left out
	// CleanedAt is when the segment was first compacted, Unix milliseconds, 0:
	// never.
	CleanedAt  int64
	Tombstones bool // it may hold some, as of then
	// Created is when the segment was begun, Unix milliseconds.
	Created  int64
	Reserved int64 // disk space is preallocated up to here
	Index    Index
	Scrubbed int64 // when a scrub read it last, Unix milliseconds
}

// Blank tells whether nothing was ever written to the segment.
func (s *Segment) Blank() bool { return s.End == Start(s.Base) }

// Batch is a record batch to write.
type Batch struct {
	B    []byte
	Base int64
	Next int64
	Ts   int64  // highest timestamp
	LSN  uint64 // for the log; not looked at here
}

// Room tells whether a batch may be appended to a segment that should not
// exceed size bytes. An empty segment takes any batch.
func (s *Segment) Room(m Mark, b *Batch, size int64) bool {
	if m.Pos == HeaderBytes {
		return true
	}
	return m.Pos+int64(len(b.B)) <= size && b.Next-s.Base <= 1<<32-1
}

// gatherBytes is how much is gathered from small batches for one write; larger
// batches are written from where they are.
const (
	gatherBytes = 512 << 10
	largeBytes  = 64 << 10
)

// gather holds the buffers of writes under way.
var gather = sync.Pool{New: func() any {
	b := make([]byte, 0, gatherBytes+largeBytes)
	return &b
}}

// Write writes batches at the segment's end, without a sync, and returns the
// end and the index after them; the segment itself is not changed. The caller
// sees to it that nobody else writes, that Index.Ready is set, and that the
// batches follow End.
func (s *Segment) Write(files *Files, batches []Batch) (Mark, Index, error) {
	m, x := s.End, s.Index
	f, err := s.handle(files)
	if err != nil {
		return m, x, err
	}
	defer f.Release()
	w := writer{f: f, at: m.Pos, buf: gather.Get().(*[]byte)}
	defer gather.Put(w.buf)
	for i := range batches {
		b := &batches[i]
		if err := s.note(files, &x, m); err != nil {
			return s.End, s.Index, err
		}
		if err := w.write(b.B); err != nil {
			return s.End, s.Index, err
		}
		m = Mark{Pos: m.Pos + int64(len(b.B)), Next: b.Next, MaxTs: max(m.MaxTs, b.Ts)}
	}
	if err := w.flush(); err != nil {
		return s.End, s.Index, err
	}
	return m, x, nil
}

// note adds the batch at m to an index of the segment.
func (s *Segment) note(files *Files, x *Index, m Mark) error {
	if !x.wants(m) {
		return nil
	}
	return x.with(files, func(w func() (io.WriterAt, error)) error { return x.add(s.Base, m, w) })
}

// open opens the index file for writing, making it if need be: its name is
// nobody else's.
func (x *Index) open(files *Files) (*Handle, error) { return openOrCreate(files, x.Name) }

func openOrCreate(files *Files, name string) (*Handle, error) {
	f, err := files.Get(name)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = files.Create(name)
	}
	return f, err
}

// handle opens the file. An empty segment gets its file, or its header again.
func (s *Segment) handle(files *Files) (*Handle, error) {
	if s.End.Pos > HeaderBytes {
		return files.Get(s.Name)
	}
	f, err := openOrCreate(files, s.Name)
	if err != nil {
		return nil, err
	}
	if _, err := f.WriteAt(s.Header.Encode(), 0); err != nil {
		f.Release()
		return nil, err
	}
	return f, nil
}

type writer struct {
	f   *Handle
	at  int64
	buf *[]byte
}

func (w *writer) write(b []byte) error {
	if len(b) < largeBytes {
		*w.buf = append(*w.buf, b...)
		if len(*w.buf) < gatherBytes {
			return nil
		}
		return w.flush()
	}
	if err := w.flush(); err != nil {
		return err
	}
	_, err := w.f.WriteAt(b, w.at)
	w.at += int64(len(b))
	return err
}

func (w *writer) flush() error {
	if len(*w.buf) == 0 {
		return nil
	}
	_, err := w.f.WriteAt(*w.buf, w.at)
	w.at += int64(len(*w.buf))
	*w.buf = (*w.buf)[:0]
	return err
}

// Seal ends a segment: it cuts off what the file has beyond End and writes the
// last page of the index, which it returns. The segment must be synced then.
func (s *Segment) Seal(files *Files) (Index, error) {
	f, err := s.handle(files)
	if err != nil {
		return s.Index, err
	}
	defer f.Release()
	if err := f.Truncate(s.End.Pos); err != nil {
		return s.Index, err
	}
	x := s.Index
	if err := s.flushIndex(files, &x); err != nil {
		return s.Index, err
	}
	return x, nil
}

// flushIndex writes the last page of an index.
func (s *Segment) flushIndex(files *Files, x *Index) error {
	return x.with(files, func(w func() (io.WriterAt, error)) error { return x.flush(s.Base, w) })
}

// with lets do open the index file if it wants to, and releases it.
func (x *Index) with(files *Files, do func(w func() (io.WriterAt, error)) error) error {
	var h *Handle
	err := do(func() (io.WriterAt, error) {
		var err error
		h, err = x.open(files)
		return h, err
	})
	if h != nil {
		h.Release()
	}
	return err
}

// Reserve makes sure that there is disk space for more bytes after End, in
// steps, and returns up to where.
func (s *Segment) Reserve(files *Files, more, step int64) (int64, error) {
	if s.End.Pos+more <= s.Reserved {
		return s.Reserved, nil
	}
	f, err := s.handle(files)
	if err != nil {
		return s.Reserved, err
	}
	defer f.Release()
	to := s.End.Pos + more + step
	return to, f.Preallocate(to)
}

// Sync makes what is written durable, but not the file's name.
func (s *Segment) Sync(files *Files) error {
	f, err := s.handle(files)
	if err != nil {
		return err
	}
	defer f.Release()
	return f.Sync()
}

// Check compares the file's header and size with what the segment should be.
func (s *Segment) Check(files *Files) error {
	f, err := files.Get(s.Name)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	defer f.Release()
	b := make([]byte, HeaderBytes)
	if err := readFull(f, b, 0); err != nil {
		return err
	}
	h, err := DecodeHeader(b)
	if err != nil {
		return err
	}
	if h != s.Header {
		return fmt.Errorf("%w: the header is another segment's", ErrCorrupt)
	}
	size, err := f.Size()
	if err != nil {
		return err
	}
	if size < s.End.Pos {
		return fmt.Errorf("%w: the file has %d bytes, %d were durable", ErrCorrupt, size, s.End.Pos)
	}
	return nil
}

// Walk walks the segment from a mark to its end; see the function Walk.
func (s *Segment) Walk(files *Files, from Mark, fn func(at Mark, h *record.Header, batch []byte) error) (Mark, error) {
	f, err := files.Get(s.Name)
	if err != nil {
		return from, err
	}
	defer f.Release()
	return Walk(f, from, s.End.Pos, s.Sparse, fn)
}
