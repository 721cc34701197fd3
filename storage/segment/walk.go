package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/chroniklog/chronik/storage/record"
)

// Mark is a place in a segment, and what lies before it.
type Mark struct {
	Pos   int64 // byte in the file
	Next  int64 // offset after the last batch before Pos
	MaxTs int64 // highest timestamp before Pos, Unix milliseconds; NoTs if there is no batch
}

// NoTs is less than any timestamp.
const NoTs = int64(-1 << 63)

// Start is the mark before the first batch of a segment.
func Start(base int64) Mark { return Mark{Pos: HeaderBytes, Next: base, MaxTs: NoTs} }

// walkBytes is how much Walk reads at a time.
const walkBytes = 256 << 10

// Walk reads the batches of a file from a mark up to the position end, checks
// that each follows the one before (in a sparse segment offsets may be left
// out) and its CRC, and calls fn with where it starts; the batch is valid
// during the call. It returns the mark where it ended: at end, or at the batch
// that is wrong, with ErrCorrupt. Errors of the file are returned as they are.
func Walk(f io.ReaderAt, from Mark, end int64, sparse bool, fn func(at Mark, h *record.Header, batch []byte) error,
) (Mark, error) {
	w := walker{f: f, end: end, at: from.Pos}
	m := from
	for m.Pos < end {
		batch, h, err := w.next(m.Pos)
		if err != nil {
			return m, err
		}
		if h.BaseOffset != m.Next && !(sparse && h.BaseOffset > m.Next) || h.LastOffsetDelta < 0 {
			return m, fmt.Errorf("%w: offset %d at byte %d, expected %d", ErrCorrupt, h.BaseOffset, m.Pos, m.Next)
		}
		if fn != nil {
			if err := fn(m, &h, batch); err != nil {
				return m, err
			}
		}
		m = m.after(&h)
	}
	return m, nil
}

func (m Mark) after(h *record.Header) Mark {
	return Mark{Pos: m.Pos + int64(h.Size()), Next: h.NextOffset(), MaxTs: max(m.MaxTs, h.MaxTimestamp)}
}

// walker reads a file in large pieces.
type walker struct {
	f   io.ReaderAt
	end int64
	buf []byte // of the file from at on
	at  int64
	mem []byte
}

// next returns the batch at pos, which must not go backward.
func (w *walker) next(pos int64) ([]byte, record.Header, error) {
	if err := w.fill(pos, record.HeaderLen); err != nil {
		return nil, record.Header{}, err
	}
	h, err := record.ParseHeader(w.buf)
	if err != nil {
		return nil, h, fmt.Errorf("%w: no batch at byte %d: %w", ErrCorrupt, pos, err)
	}
	if pos+int64(h.Size()) > w.end {
		return nil, h, fmt.Errorf("%w: the batch at byte %d reaches beyond the end %d", ErrCorrupt, pos, w.end)
	}
	if err := w.fill(pos, h.Size()); err != nil {
		return nil, h, err
	}
	batch := w.buf[:h.Size()]
	if err := record.CheckCRC(batch); err != nil {
		return nil, h, fmt.Errorf("%w: the batch at byte %d: %w", ErrCorrupt, pos, err)
	}
	return batch, h, nil
}

// fill makes buf start at pos and hold at least n bytes.
func (w *walker) fill(pos int64, n int) error {
	skip := pos - w.at
	if skip <= int64(len(w.buf)) {
		w.buf = w.buf[skip:]
	} else {
		w.buf = nil
	}
	w.at = pos
	if len(w.buf) >= n {
		return nil
	}
	want := min(int64(max(n, walkBytes)), w.end-pos)
	if want < int64(n) {
		return fmt.Errorf("%w: %d bytes at byte %d are no batch", ErrCorrupt, want, pos)
	}
	if int64(cap(w.mem)) < want {
		w.mem = append(make([]byte, 0, want), w.buf...)
	} else {
		w.mem = append(w.mem[:0], w.buf...)
	}
	have := len(w.mem)
	w.mem = w.mem[:want]
	if err := readFull(w.f, w.mem[have:], pos+int64(have)); err != nil {
		return err
	}
	w.buf = w.mem
	return nil
}

// readFull reads all of b. A file that ends before is corrupt: callers ask for
// what was written.
func readFull(f io.ReaderAt, b []byte, at int64) error {
	n, err := f.ReadAt(b, at)
	if n == len(b) {
		return nil
	}
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: the file ends at byte %d, expected %d", ErrCorrupt, at+int64(n), at+int64(len(b)))
	}
	return err
}

// batchSize is the size of the batch whose first bytes are b.
func batchSize(b []byte) int { return int(binary.BigEndian.Uint32(b[8:])) + record.LogOverhead }
