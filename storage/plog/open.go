package plog

import (
	"context"
	"errors"
	"fmt"
	"path"

	"github.com/chroniklog/chronik/storage/journal"
	"github.com/chroniklog/chronik/storage/segment"
	"github.com/chroniklog/chronik/storage/vfs"
)

// Open locks the data directory and recovers every log in it: the checkpoint
// says what the segments hold, and the journal what has happened since. Sealed
// segments are not read. It never removes what it can't judge: ErrCorrupt names
// the log and the file, ErrFormat a directory of another version,
// vfs.ErrLocked that another process has it.
func Open(ctx context.Context, opts Options) (*Store, error) {
	opts.setDefaults()
	s := &Store{
		opts: opts, logs: map[ID]*Log{}, replaced: map[*Log]struct{}{},
		wakeup: make(chan struct{}, 1), writerWake: make(chan struct{}, 1), stopping: make(chan struct{}),
	}
	if err := s.open(ctx); err != nil {
		errs := []error{err}
		if s.segFiles != nil {
			errs = append(errs, s.closeFiles())
		}
		if s.journal != nil {
			errs = append(errs, s.journal.Close())
		}
		if s.lock != nil {
			errs = append(errs, s.lock.Close())
		}
		return nil, fmt.Errorf("open the data directory %s: %w", opts.Dir, errors.Join(errs...))
	}
	s.start()
	return s, nil
}

// start starts the goroutines.
func (s *Store) start() {
	s.running, s.stop = context.WithCancel(context.Background())
	if s.opts.Manual {
		s.kickWriter()
		return
	}
	s.wg.Add(2)
	s.committer.Add(1)
	go s.commit()
	go s.write(s.running)
	go s.maintain(s.running)
	s.kickWriter()
}

func (s *Store) open(ctx context.Context) (err error) {
	fsys, dir := s.opts.FS, s.opts.Dir
	if err := fsys.MkdirAll(dir); err != nil {
		return err
	}
	if s.lock, err = fsys.Lock(path.Join(dir, "LOCK")); err != nil {
		return err
	}
	if err := s.format(); err != nil {
		return err
	}
	if s.tree, err = vfs.OpenTree(fsys, path.Join(dir, "logs")); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	s.segFiles = segment.NewFiles(fsys, s.opts.MaxOpenFiles, s.tree != nil, s.fail)
	c, again, err := s.loadCheckpoint()
	if err != nil {
		return err
	}
	r := newRecovery(s, &c)
	if err := r.list(); err != nil {
		return err
	}
	var rec journal.Recovered
	s.journal, rec, err = journal.Open(ctx, journal.Options{
		FS: fsys, Dir: path.Join(dir, "journal"), Store: s.id, FileBytes: s.opts.JournalFileBytes,
		Logger: s.opts.Logger, Random: s.opts.Random, NoSync: s.opts.NoSync,
	}, c.Start, r.replay)
	if err != nil {
		return asCorrupt(err)
	}
	if err := r.finish(rec); err != nil {
		return err
	}
	if again || r.again {
		if err := s.checkpoint(false, false); err != nil {
			return err
		}
	}
	s.grown.Store(s.journal.LiveBytes())
	s.checkSpace()
	return nil
}

// asCorrupt gives the journal's ErrCorrupt this package's class too.
func asCorrupt(err error) error {
	if errors.Is(err, journal.ErrCorrupt) && !errors.Is(err, ErrCorrupt) {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return err
}
