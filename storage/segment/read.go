package segment

import (
	"fmt"

	"github.com/chroniklog/chronik/storage/record"
)

// Seek returns a mark at or before the batch that holds offset. ErrIndex.
func (s *Segment) Seek(files *Files, offset int64) (Mark, error) {
	rel := offset - s.Base
	return s.seek(files, func(e Entry) bool { return int64(e.Offset) <= rel })
}

// SeekTime returns a mark at or before the first batch whose highest timestamp
// is at least ts. ErrIndex.
func (s *Segment) SeekTime(files *Files, ts int64) (Mark, error) {
	return s.seek(files, func(e Entry) bool { return e.MaxTs < ts })
}

func (s *Segment) seek(files *Files, before func(Entry) bool) (Mark, error) {
	e, ok, err := s.Index.last(func() (*Handle, error) { return files.Get(s.Index.Name) }, s.Base, before)
	if err != nil || !ok {
		return Start(s.Base), err
	}
	return Mark{Pos: int64(e.Pos), Next: s.Base + int64(e.Offset), MaxTs: e.MaxTs}, nil
}

// Read reads whole batches from the one that holds from, or the first after it
// (in a sparse segment): as many as fit in maxBytes, but at least one, and only
// those that end at or below limit. Every batch's CRC is checked: it costs a
// few percent of the copy. ErrCorrupt, ErrIndex.
func (s *Segment) Read(files *Files, from, limit int64, maxBytes int) ([]byte, error) {
	m, err := s.Seek(files, from)
	if err != nil {
		return nil, err
	}
	f, err := files.Get(s.Name)
	if err != nil {
		return nil, err
	}
	defer f.Release()
	size := min(int64(max(maxBytes, record.HeaderLen)), s.End.Pos-m.Pos)
	if m.Next < from { // the batches before from are read too
		size = min(size+IndexBytes, s.End.Pos-m.Pos)
	}
	buf := make([]byte, size)
	if err := readFull(f, buf, m.Pos); err != nil {
		return nil, err
	}
	c := cutter{s: s, f: f, from: from, limit: limit, maxBytes: maxBytes}
	return c.cut(m, buf)
}

// cutter finds the batches that a read wants in a buffer.
type cutter struct {
	s           *Segment
	f           *Handle
	from, limit int64
	maxBytes    int
}

// cut takes the bytes from m on; where they end before the first batch that is
// wanted does, it reads more.
func (c *cutter) cut(m Mark, buf []byte) ([]byte, error) {
	start, at, first := 0, 0, true
	for m.Pos < c.s.End.Pos {
		if len(buf)-at < record.HeaderLen || len(buf)-at < batchSize(buf[at:]) {
			if !first {
				break
			}
			more, err := c.grow(m, buf[at:])
			if err != nil {
				return nil, err
			}
			buf, start, at = more, 0, 0
			continue
		}
		h, err := record.ParseHeader(buf[at:])
		if err != nil {
			return nil, fmt.Errorf("%w: no batch at byte %d: %w", ErrCorrupt, m.Pos, err)
		}
		if h.BaseOffset != m.Next && !(c.s.Sparse && h.BaseOffset > m.Next) {
			return nil, fmt.Errorf("%w: offset %d at byte %d, expected %d", ErrCorrupt, h.BaseOffset, m.Pos, m.Next)
		}
		next := m.after(&h)
		if next.Next <= c.from {
			m, at = next, at+h.Size()
			start = at
			continue
		}
		if next.Next > c.limit || !first && at+h.Size()-start > c.maxBytes {
			break
		}
		if err := record.CheckCRC(buf[at : at+h.Size()]); err != nil {
			return nil, fmt.Errorf("%w: the batch at byte %d: %w", ErrCorrupt, m.Pos, err)
		}
		first, m, at = false, next, at+h.Size()
	}
	return buf[start:at:at], nil
}

// grow reads the whole batch at m, of which have holds the beginning.
func (c *cutter) grow(m Mark, have []byte) ([]byte, error) {
	size := int64(record.HeaderLen)
	if len(have) >= record.HeaderLen {
		h, err := record.ParseHeader(have)
		if err != nil {
			return nil, fmt.Errorf("%w: no batch at byte %d: %w", ErrCorrupt, m.Pos, err)
		}
		size = int64(h.Size())
	}
	size = max(size, int64(c.maxBytes))
	rest := c.s.End.Pos - m.Pos
	if rest <= int64(len(have)) {
		return nil, fmt.Errorf("%w: %d bytes at byte %d are no batch", ErrCorrupt, rest, m.Pos)
	}
	size = min(max(size, int64(len(have))+1), rest)
	buf := make([]byte, size)
	copy(buf, have)
	return buf, readFull(c.f, buf[len(have):], m.Pos+int64(len(have)))
}
