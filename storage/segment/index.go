package segment

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"sort"
)

const (
	// IndexBytes is about how many bytes of the segment one index entry
	// stands for.
	IndexBytes = 16 << 10
	// PageBytes is the size of a page of an index file.
	PageBytes   = 4096
	pageHeader  = 32
	entryBytes  = 16
	pageEntries = (PageBytes - pageHeader) / entryBytes
	pageMagic   = 0x58444943 // "CIDX"
	pageVersion = 1
)

// Entry is a batch that the index knows.
type Entry struct {
	Offset uint32 // of the batch, from the segment's base
	Pos    uint32 // where it starts
	MaxTs  int64  // highest timestamp before it
}

// Index is a segment's index. It is a value: a copy stays true of the bytes
// that the segment had when it was made.
type Index struct {
	Name  string // of the file; it is there once Pages > 0
	Pages int    // full pages in the file; of a sealed segment the last may not be full
	// Rest are the entries after them. Readers' copies share its memory.
	Rest []Entry
	Last int64 // position of the last entry
	// Ready says that Rest is complete. After a restart it is not known.
	Ready bool
}

// wants tells whether the batch at m gets an entry.
func (x *Index) wants(m Mark) bool { return m.Pos-max(x.Last, HeaderBytes) >= IndexBytes }

// add notes the batch at m; full pages are written to w.
func (x *Index) add(base int64, m Mark, w func() (io.WriterAt, error)) error {
	if !x.wants(m) {
		return nil
	}
	x.Rest = append(x.Rest, Entry{Offset: uint32(m.Next - base), Pos: uint32(m.Pos), MaxTs: m.MaxTs})
	x.Last = m.Pos
	if len(x.Rest) < pageEntries {
		return nil
	}
	return x.flush(base, w)
}

// flush writes Rest as a page.
func (x *Index) flush(base int64, w func() (io.WriterAt, error)) error {
	if len(x.Rest) == 0 {
		return nil
	}
	f, err := w()
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(encodePage(base, x.Pages, x.Rest), int64(x.Pages)*PageBytes); err != nil {
		return err
	}
	x.Pages++
	x.Rest = nil // readers may hold the old ones
	return nil
}

func encodePage(base int64, number int, entries []Entry) []byte {
	b := make([]byte, PageBytes)
	binary.LittleEndian.PutUint32(b[4:], pageMagic)
	binary.LittleEndian.PutUint16(b[8:], pageVersion)
	binary.LittleEndian.PutUint16(b[10:], uint16(len(entries)))
	binary.LittleEndian.PutUint32(b[12:], uint32(number))
	binary.LittleEndian.PutUint64(b[16:], uint64(base))
	for i, e := range entries {
		at := b[pageHeader+i*entryBytes:]
		binary.LittleEndian.PutUint32(at, e.Offset)
		binary.LittleEndian.PutUint32(at[4:], e.Pos)
		binary.LittleEndian.PutUint64(at[8:], uint64(e.MaxTs))
	}
	binary.LittleEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli))
	return b
}

// decodePage reads what encodePage made; entries ascend. ErrIndex.
func decodePage(b []byte, base int64, number int) ([]Entry, error) {
	if len(b) != PageBytes || crc32.Checksum(b[4:], castagnoli) != binary.LittleEndian.Uint32(b) ||
		binary.LittleEndian.Uint32(b[4:]) != pageMagic || binary.LittleEndian.Uint16(b[8:]) != pageVersion ||
		binary.LittleEndian.Uint32(b[12:]) != uint32(number) || int64(binary.LittleEndian.Uint64(b[16:])) != base {
		return nil, fmt.Errorf("%w: page %d", ErrIndex, number)
	}
	n := int(binary.LittleEndian.Uint16(b[10:]))
	if n == 0 || n > pageEntries {
		return nil, fmt.Errorf("%w: page %d has %d entries", ErrIndex, number, n)
	}
	entries := make([]Entry, n)
	for i := range entries {
		at := b[pageHeader+i*entryBytes:]
		entries[i] = Entry{
			Offset: binary.LittleEndian.Uint32(at), Pos: binary.LittleEndian.Uint32(at[4:]),
			MaxTs: int64(binary.LittleEndian.Uint64(at[8:])),
		}
		if i > 0 && (entries[i].Pos <= entries[i-1].Pos || entries[i].Offset <= entries[i-1].Offset ||
			entries[i].MaxTs < entries[i-1].MaxTs) {
			return nil, fmt.Errorf("%w: page %d is not in order", ErrIndex, number)
		}
	}
	return entries, nil
}

// page reads a page.
func (x *Index) page(f io.ReaderAt, base int64, number int) ([]Entry, error) {
	b := make([]byte, PageBytes)
	if n, err := f.ReadAt(b, int64(number)*PageBytes); n < len(b) {
		return nil, fmt.Errorf("%w: page %d: %v", ErrIndex, number, err)
	}
	return decodePage(b, base, number)
}

// last finds the last entry for which before is true, which must be so for the
// entries up to some place and not after it. ok is false if there is none.
func (x *Index) last(open func() (*Handle, error), base int64, before func(Entry) bool) (e Entry, ok bool, err error) {
	if i := sort.Search(len(x.Rest), func(i int) bool { return !before(x.Rest[i]) }); i > 0 {
		return x.Rest[i-1], true, nil
	}
	if x.Pages == 0 {
		return Entry{}, false, nil
	}
	f, err := open()
	if err != nil {
		return Entry{}, false, fmt.Errorf("%w: %w", ErrIndex, err)
	}
	defer f.Release()
	var best []Entry
	lo, hi := 0, x.Pages // the first page that starts beyond is in [lo,hi]
	for lo < hi {
		mid := (lo + hi) / 2
		entries, err := x.page(f, base, mid)
		if err != nil {
			return Entry{}, false, err
		}
		if before(entries[0]) {
			lo, best = mid+1, entries
		} else {
			hi = mid
		}
	}
	if best == nil {
		return Entry{}, false, nil
	}
	i := sort.Search(len(best), func(i int) bool { return !before(best[i]) })
	return best[i-1], true, nil
}
