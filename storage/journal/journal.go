package journal

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/chroniklog/chronik/storage/vfs"
)

// Options makes a journal. FS, Dir and Store are required.
type Options struct {
	FS    vfs.FS
	Dir   string // exists
	Store [16]byte
	// FileBytes is the size of a file, rounded up to pages. A frame must fit
	// in a file: FileBytes - 2 pages bounds it. Default 64 MiB.
	FileBytes int64
	// FirstBytes is the size of a new store's first file, small so that a
	// node is ready at once. Default min(4 MiB, FileBytes).
	FirstBytes int64
	Logger     *slog.Logger
	// Random marks the lives of this Open; default crypto/rand.
	Random io.Reader
	// NoSync skips every sync: for tests that must fail then.
	NoSync bool
}

func (o *Options) setDefaults() {
	if o.FileBytes <= 0 {
		o.FileBytes = 64 << 20
	}
	o.FileBytes = (max(o.FileBytes, 4*PageBytes) + PageBytes - 1) &^ (PageBytes - 1)
	if o.FirstBytes <= 0 {
		o.FirstBytes = 4 << 20
	}
	o.FirstBytes = (min(max(o.FirstBytes, 4*PageBytes), o.FileBytes) + PageBytes - 1) &^ (PageBytes - 1)
	if o.Random == nil {
		o.Random = rand.Reader
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// maxSpares bounds the spare files that are kept.
const maxSpares = 2

var errStopped = errors.New("stopped")

// Journal is an open journal.
type Journal struct {
	opts Options
	mark uint16 // of the lives that begin

	// Of the goroutine that calls Write.
	pos   int64  // in cur, where the next cycle starts
	fresh []byte // first page of cur, until it is written
	buf   []byte

	mu      sync.Mutex // guards what follows; Write's goroutine reads them without
	cur     *file      // nil until the first Write
	lsn     uint64     // of the next frame
	seq     uint64     // of the next life
	cycle   uint64     // of the last Write
	live    []*file    // the chain, oldest first; the last may be cur
	spares  []*file
	names   uint64 // number of the next new file
	pending bool   // Prepare is making a spare

	bytes atomic.Int64 // of live files
}

// MaxPayload is the largest payload that a frame can have.
func (j *Journal) MaxPayload() int { return int(j.opts.FileBytes) - 2*PageBytes - FrameBytes }

// FileBytes is the size of a file.
func (j *Journal) FileBytes() int64 { return j.opts.FileBytes }

// Live tells the files that hold frames which some log still needs, and their
// bytes.
func (j *Journal) Live() (files int, bytes int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.live), j.bytes.Load()
}

// LiveBytes is the size of the live files.
func (j *Journal) LiveBytes() int64 { return j.bytes.Load() }

// Oldest is where recovery has to start if no log needs a frame below before.
// The file that Write goes on with stays, unless closed says that there will
// be no other Write.
func (j *Journal) Oldest(before uint64, closed bool) Start {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, f := range j.live {
		next := f.nextLSN
		if f == j.cur {
			next = j.lsn
		}
		if (f == j.cur && !closed || next > before) && !f.begun {
			return Start{Seq: f.seq, LSN: f.firstLSN, Cycle: f.firstCycle - 1}
		}
		if f == j.cur && !closed || next > before {
			return Start{Seq: f.seq, Begun: true}
		}
	}
	return Start{Seq: j.seq, LSN: j.lsn, Cycle: j.cycle}
}

// Release makes spares of the files before start. Call it only when a
// checkpoint that holds start is durable.
func (j *Journal) Release(start Start) {
	j.mu.Lock()
	var drop []*file
	for len(j.live) > 0 && j.live[0].seq < start.Seq && j.live[0] != j.cur {
		f := j.live[0]
		j.live = j.live[1:]
		j.bytes.Add(-f.bytes)
		if len(j.spares) < maxSpares && f.bytes == j.opts.FileBytes {
			j.spares = append(j.spares, f)
			continue
		}
		drop = append(drop, f)
	}
	j.mu.Unlock()
	for _, f := range drop {
		j.discard(f)
	}
}

// discard removes a file that is neither live nor a spare. That it fails only
// costs space: the next Open finds the file again.
func (j *Journal) discard(f *file) {
	err := errors.Join(f.f.Close(), j.opts.FS.Remove(f.name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		j.opts.Logger.Warn("journal file was not removed", "file", f.name, "error", err)
	}
}

// NeedsSpare tells whether Prepare has work to do: there is no spare of full
// size.
func (j *Journal) NeedsSpare() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return !j.hasSpare() && !j.pending
}

// hasSpare tells whether there is a spare of full size. Under mu.
func (j *Journal) hasSpare() bool {
	return slices.ContainsFunc(j.spares, func(f *file) bool { return f.bytes >= j.opts.FileBytes })
}

// Prepare makes a spare if there is none, so that Write doesn't have to. It
// writes FileBytes; it gives up when ctx ends.
func (j *Journal) Prepare(ctx context.Context) error {
	j.mu.Lock()
	if j.hasSpare() || j.pending {
		j.mu.Unlock()
		return nil
	}
	j.pending = true
	j.mu.Unlock()

	f, err := j.create(j.opts.FileBytes, func() bool { return ctx.Err() != nil })
	j.mu.Lock()
	j.pending = false
	if err == nil {
		j.spares = append(j.spares, f)
	}
	j.mu.Unlock()
	if errors.Is(err, errStopped) {
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("prepare a journal file: %w", err)
	}
	return nil
}

// create makes a new file with a durable name. With stop it is written full of
// zeros; without, its space is only reserved, which is done at once but makes
// the syncs of its first life slow.
func (j *Journal) create(bytes int64, stop func() bool) (*file, error) {
	j.mu.Lock()
	name := path.Join(j.opts.Dir, fileName(j.names))
	j.names++
	j.mu.Unlock()
	h, err := j.opts.FS.Create(name)
	if err != nil {
		return nil, err
	}
	f := &file{name: name, f: h, bytes: bytes}
	if stop != nil {
		err = f.zero(stop)
	} else if err = h.Preallocate(bytes); err == nil {
		err = h.Truncate(bytes)
	}
	if err == nil {
		err = j.opts.FS.SyncDir(j.opts.Dir)
	}
	if err != nil {
		j.discard(f)
		return nil, err
	}
	return f, nil
}

// Close closes the files. What was not synced by Write is not kept.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	var errs []error
	for _, f := range append(j.live, j.spares...) {
		errs = append(errs, f.f.Close())
	}
	j.live, j.spares, j.cur = nil, nil, nil
	return errors.Join(errs...)
}

func fileName(n uint64) string { return fmt.Sprintf("%08d.journal", n) }
