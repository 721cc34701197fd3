package segment

import (
	"fmt"

	"github.com/chroniklog/chronik/storage/record"
)

// Build completes an index up to the mark end, which is at a batch boundary.
// It takes what it can from the pages of s.Index and reads the rest of the
// segment. With name the index is made anew in a file of that name; without,
// s.Index is completed in memory, and a page that can't be read is ErrIndex.
func (s *Segment) Build(files *Files, name string, end int64) (Index, error) {
	x := Index{Name: name, Ready: true}
	if name == "" {
		x.Name, x.Pages = s.Index.Name, s.Index.Pages
	}
	from, err := s.reuse(files, &x, name != "", end)
	if err != nil {
		return x, err
	}
	f, err := files.Get(s.Name)
	if err != nil {
		return x, err
	}
	defer f.Release()
	_, err = Walk(f, from, end, s.Sparse, func(at Mark, _ *record.Header, _ []byte) error {
		return s.note(files, &x, at)
	})
	if err == nil && s.Sealed {
		err = s.flushIndex(files, &x)
	}
	return x, err
}

// reuse takes over the entries of the index's pages below end, and returns the
// mark from where entries are missing.
func (s *Segment) reuse(files *Files, x *Index, anew bool, end int64) (Mark, error) {
	from := Start(s.Base)
	if s.Index.Pages == 0 {
		return from, nil
	}
	f, err := files.Get(s.Index.Name)
	if err != nil {
		if anew {
			return from, nil
		}
		return from, fmt.Errorf("%w: %w", ErrIndex, err)
	}
	defer f.Release()
	first := 0
	if !anew {
		first = s.Index.Pages - 1 // the others are as they are
	}
	for number := first; number < s.Index.Pages; number++ {
		entries, err := s.Index.page(f, s.Base, number)
		if err != nil {
			if anew {
				return from, nil
			}
			return from, err
		}
		for _, e := range entries {
			m := Mark{Pos: int64(e.Pos), Next: s.Base + int64(e.Offset), MaxTs: e.MaxTs}
			if m.Pos >= end {
				return from, nil
			}
			if anew {
				if err := s.note(files, x, m); err != nil {
					return from, err
				}
			}
			from, x.Last = m, m.Pos
		}
	}
	return from, nil
}
