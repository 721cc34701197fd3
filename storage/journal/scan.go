package journal

import (
	"context"
	"encoding/binary"
	"fmt"
)

// scanner walks a chain of files.
type scanner struct {
	j   *Journal
	ctx context.Context
	fn  func(*Frame) error
	rec *Recovered
	buf []byte // the file that is being read
}

// chain replays the files in order and judges where they end.
func (s *scanner) chain(files []*file, start Start) error {
	if len(files) == 0 || files[0].seq != start.Seq {
		if start.Begun || len(files) > 0 {
			return fmt.Errorf("%w: the file of sequence number %d is missing in %s", ErrCorrupt, start.Seq, s.j.opts.Dir)
		}
		s.rec.NextLSN, s.rec.LastCycle = start.LSN, start.Cycle
		return s.orphans(start.Seq)
	}
	if s.rec.NextLSN = files[0].firstLSN; !start.Begun && s.rec.NextLSN != start.LSN {
		return fmt.Errorf("%w: %s starts at LSN %d, the checkpoint says %d",
			ErrCorrupt, files[0].name, s.rec.NextLSN, start.LSN)
	}
	s.rec.LastCycle = files[0].firstCycle - 1
	for i, f := range files {
		if i > 0 && f.seq != files[i-1].seq+1 {
			return fmt.Errorf("%w: the file of sequence number %d is missing in %s",
				ErrCorrupt, files[i-1].seq+1, s.j.opts.Dir)
		}
		if f.firstLSN != s.rec.NextLSN {
			return fmt.Errorf("%w: %s ends before LSN %d, but %s starts at %d",
				ErrCorrupt, files[max(i-1, 0)].name, s.rec.NextLSN, f.name, f.firstLSN)
		}
		at, torn, err := s.file(f)
		if err != nil {
			return err
		}
		f.nextLSN = s.rec.NextLSN
		if i < len(files)-1 {
			continue // the next file's header judges this end
		}
		s.rec.Torn = torn
		bad := s.rec.LastCycle + 1
		if torn {
			bad = s.rec.LastCycle
		}
		if err := s.later(f, at, bad); err != nil {
			return err
		}
		if err := s.orphans(f.seq + 1); err != nil {
			return err
		}
	}
	return nil
}

// file replays one file, which is in s.buf then. It returns where it ends, and
// whether in the middle of a cycle.
func (s *scanner) file(f *file) (at int64, torn bool, err error) {
	if err := s.load(f); err != nil {
		return 0, false, err
	}
	at = PageBytes
	var fr Frame
	for at < int64(len(s.buf)) {
		n := decodeFrame(s.buf[at:], f.salt, &fr)
		if n == 0 || fr.mark != f.mark || fr.LSN != s.rec.NextLSN || fr.Cycle-s.rec.LastCycle > 1 {
			break
		}
		s.rec.NextLSN++
		s.rec.Frames++
		s.rec.LastCycle = fr.Cycle
		torn = !fr.Last
		at += int64(n)
		if fr.Last {
			at = (at + PageBytes - 1) &^ (PageBytes - 1)
		}
		if err := s.fn(&fr); err != nil {
			return 0, false, err
		}
		if s.rec.Frames%1024 == 0 && s.ctx.Err() != nil {
			return 0, false, context.Cause(s.ctx)
		}
	}
	return at, torn, nil
}

func (s *scanner) load(f *file) error {
	if int64(cap(s.buf)) < f.bytes {
		s.buf = make([]byte, f.bytes)
	}
	n, err := readFull(f.f, s.buf[:f.bytes], 0)
	if err != nil {
		return fmt.Errorf("read %s: %w", f.name, err)
	}
	s.buf = s.buf[:n]
	return nil
}

// later fails if a page of the loaded file from at on starts a cycle after
// bad: then what stands at at was synced once.
func (s *scanner) later(f *file, at int64, bad uint64) error {
	if cycle, page, ok := s.laterPage(f, at, bad); ok {
		return fmt.Errorf("%w: %s: no valid frame at byte %d (LSN %d), but cycle %d follows at byte %d",
			ErrCorrupt, f.name, at, s.rec.NextLSN, cycle, page)
	}
	return nil
}

func (s *scanner) laterPage(f *file, at int64, bad uint64) (cycle uint64, page int64, ok bool) {
	var fr Frame
	for at = (at + PageBytes - 1) &^ (PageBytes - 1); at < int64(len(s.buf)); at += PageBytes {
		n := decodeFrame(s.buf[at:], f.salt, &fr)
		if n > 0 && fr.mark == f.mark && fr.LSN > s.rec.NextLSN && fr.Cycle > bad {
			return fr.Cycle, at, true
		}
	}
	return 0, 0, false
}

// orphans looks at the files without a readable header for a life that
// followed the chain: if it got as far as a second cycle, its header was
// durable once.
func (s *scanner) orphans(seq uint64) error {
	head := make([]byte, PageBytes+FrameBytes)
	for _, f := range s.j.spares {
		n, err := readFull(f.f, head, 0)
		if err != nil {
			return fmt.Errorf("read %s: %w", f.name, err)
		}
		var h header
		if ok, err := decodeHeader(head[:n], &h); err != nil || ok || n < len(head) ||
			binary.LittleEndian.Uint64(head[PageBytes+atLSN:]) != s.rec.NextLSN {
			continue // another life's
		}
		orphan := &file{name: f.name, f: f.f, bytes: f.bytes, salt: saltOf(s.j.opts.Store, seq)}
		orphan.mark = binary.LittleEndian.Uint16(head[PageBytes+atMark:])
		if err := s.load(orphan); err != nil {
			return err
		}
		if _, _, ok := s.laterPage(orphan, PageBytes, s.rec.LastCycle+1); ok {
			return fmt.Errorf("%w: %s: the first page can't be read, but cycles follow it", ErrCorrupt, f.name)
		}
	}
	return nil
}
