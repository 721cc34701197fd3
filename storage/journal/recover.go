package journal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/chroniklog/chronik/storage/vfs"
)

// Start is where recovery begins, as a checkpoint tells.
type Start struct {
	Seq   uint64 // of the first life that may hold frames which are needed
	Begun bool   // that life had begun, so its file must be there
	LSN   uint64 // if it had not: of its first frame
	Cycle uint64 // likewise: of the cycle before it
}

// Recovered is what recovery found out.
type Recovered struct {
	Frames    int
	NextLSN   uint64
	LastCycle uint64 // highest cycle of a valid frame
	// Torn says that the last cycle was cut off.
	Torn bool
}

// Open opens the journal and replays it: fn gets every frame of the chain that
// begins at start, in order. The frame's payload is valid during the call. An
// error of fn ends the recovery.
//
// What Open replays is durable, and nothing that it leaves out was ever
// reported as durable; where it can't vouch for that the error is ErrCorrupt.
func Open(ctx context.Context, opts Options, start Start, fn func(*Frame) error) (*Journal, Recovered, error) {
	opts.setDefaults()
	j := &Journal{opts: opts}
	rec, err := j.recover(ctx, start, fn)
	if err != nil {
		return nil, rec, errors.Join(err, j.Close())
	}
	return j, rec, nil
}

func (j *Journal) recover(ctx context.Context, start Start, fn func(*Frame) error) (rec Recovered, err error) {
	chain, err := j.list(start)
	if err != nil {
		return rec, err
	}
	s := scanner{j: j, ctx: ctx, fn: fn, rec: &rec}
	if err := s.chain(chain, start); err != nil {
		return rec, err
	}
	j.seq, j.cycle = start.Seq, rec.LastCycle
	if n := len(chain); n > 0 {
		j.seq = chain[n-1].seq + 1
		// A process that was killed may have left frames in the page cache:
		// they count from now on, so they must be durable.
		if !j.opts.NoSync {
			if err := chain[n-1].f.Sync(); err != nil {
				return rec, &SyncError{File: chain[n-1].name, Err: err}
			}
		}
	}
	j.lsn = rec.NextLSN
	if err := binary.Read(j.opts.Random, binary.LittleEndian, &j.mark); err != nil {
		return rec, fmt.Errorf("random number: %w", err)
	}
	for len(j.spares) > maxSpares+1 {
		j.discard(j.spares[0])
		j.spares = j.spares[1:]
	}
	if len(j.spares) == 0 {
		f, err := j.create(j.opts.FirstBytes, func() bool { return ctx.Err() != nil })
		switch {
		case errors.Is(err, syscall.ENOSPC): // what there is can be read
			j.opts.Logger.Error("no space for a journal file: nothing can be appended", "dir", j.opts.Dir, "error", err)
		case err != nil:
			return rec, fmt.Errorf("first journal file: %w", err)
		default:
			j.spares = append(j.spares, f)
		}
	}
	return rec, nil
}

// list opens the journal's files and sorts them into the chain and spares.
func (j *Journal) list(start Start) ([]*file, error) {
	infos, err := j.opts.FS.ReadDir(j.opts.Dir)
	if err != nil {
		return nil, fmt.Errorf("list the journal: %w", err)
	}
	page := make([]byte, PageBytes)
	for _, info := range infos {
		var n uint64
		if !strings.HasSuffix(info.Name, ".journal") || info.Dir {
			continue
		}
		if _, err := fmt.Sscanf(info.Name, "%d.journal", &n); err != nil || fileName(n) != info.Name {
			continue
		}
		j.names = max(j.names, n+1)
		f := &file{name: path.Join(j.opts.Dir, info.Name), bytes: info.Size &^ (PageBytes - 1)}
		if f.f, err = j.opts.FS.Open(f.name); err != nil {
			return nil, fmt.Errorf("open the journal: %w", err)
		}
		if err := j.sort(f, page, start); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(j.live, func(a, b *file) int {
		if a.seq < b.seq {
			return -1
		}
		return 1
	})
	return j.live, nil
}

// sort puts an opened file to the live ones or to the spares.
func (j *Journal) sort(f *file, page []byte, start Start) error {
	j.spares = append(j.spares, f) // Close finds it there
	n, err := readFull(f.f, page, 0)
	if err != nil {
		return fmt.Errorf("read %s: %w", f.name, err)
	}
	var h header
	ok, err := decodeHeader(page[:n], &h)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", f.name, err)
	case !ok || h.Seq < start.Seq:
		return nil
	case h.Store != j.opts.Store:
		return fmt.Errorf("%w: %s belongs to another store", ErrCorrupt, f.name)
	}
	j.spares = j.spares[:len(j.spares)-1]
	f.seq, f.firstLSN, f.firstCycle = h.Seq, h.FirstLSN, h.FirstCycle
	f.salt, f.mark, f.begun = saltOf(h.Store, h.Seq), h.Mark, true
	f.bytes = min(f.bytes, int64(h.FileBytes))
	j.live = append(j.live, f)
	j.bytes.Add(f.bytes)
	return nil
}

// readFull reads as much of b as the file has.
func readFull(f vfs.File, b []byte, at int64) (int, error) {
	size, err := f.Size()
	if err != nil {
		return 0, err
	}
	n := min(int64(len(b)), max(size-at, 0))
	if n == 0 {
		return 0, nil
	}
	got, err := f.ReadAt(b[:n], at)
	if int64(got) == n {
		err = nil
	}
	return got, err
}
