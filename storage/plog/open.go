package plog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"path"

	"github.com/chroniklog/chronik/storage/journal"
	"github.com/chroniklog/chronik/storage/record"
)

// Open locks the data directory and recovers every log in it. It never removes
// what it can't judge: ErrCorrupt names the log and the file, ErrFormat a
// directory of another version, vfs.ErrLocked that another process has it.
func Open(ctx context.Context, opts Options) (*Store, error) {
	opts.setDefaults()
	s := &Store{
		opts: opts, logs: map[ID]*Log{},
		wakeup: make(chan struct{}, 1), stopping: make(chan struct{}), committed: make(chan struct{}),
	}
	if err := s.open(ctx); err != nil {
		if s.journal != nil {
			err = errors.Join(err, s.journal.Close())
		}
		if s.lock != nil {
			err = errors.Join(err, s.lock.Close())
		}
		return nil, fmt.Errorf("open the data directory %s: %w", opts.Dir, err)
	}
	s.wg.Add(1)
	go s.commit()
	return s, nil
}

func (s *Store) open(ctx context.Context) (err error) {
	fs, dir := s.opts.FS, s.opts.Dir
	if err := fs.MkdirAll(dir); err != nil {
		return err
	}
	if s.lock, err = fs.Lock(path.Join(dir, "LOCK")); err != nil {
		return err
	}
	if err := s.format(); err != nil {
		return err
	}
	var rec journal.Recovered
	s.journal, rec, err = journal.Open(ctx, journal.Options{
		FS: fs, Dir: path.Join(dir, "journal"), Store: s.id, FileBytes: s.opts.JournalFileBytes,
		Logger: s.opts.Logger, NoSync: s.opts.NoSync,
	}, journal.Start{}, s.replay)
	if err != nil {
		return err
	}
	s.lsn.Store(rec.NextLSN)
	for _, l := range s.logs {
		l.flushed.Store(l.end.Load())
		l.taken, l.staged = l.end.Load(), 0
	}
	return nil
}

// replay applies a frame of the journal.
func (s *Store) replay(f *journal.Frame) error {
	id := ID{Topic: f.Topic, Partition: f.Partition}
	l := s.logs[id]
	if l == nil || l.incarnation != f.Incarnation {
		l = &Log{s: s, id: id, incarnation: f.Incarnation}
		s.logs[id] = l
	}
	if f.Kind == journal.Data {
		b := append([]byte(nil), f.Payload...)
		h, err := record.ParseHeader(b)
		if err != nil || h.Size() != len(b) || h.BaseOffset != l.end.Load() {
			return fmt.Errorf("%w: log %s: frame with LSN %d doesn't follow offset %d", ErrCorrupt, id, f.LSN, l.end.Load())
		}
		l.push(b, &h)
		return nil
	}
	arg := int64(binary.LittleEndian.Uint64(f.Payload))
	switch f.Kind {
	case journal.Trim:
		l.trimTo(arg)
	case journal.Truncate:
		l.cutTo(arg)
	case journal.Reset:
		l.resetTo(arg)
	case journal.Delete:
		l.remove()
		delete(s.logs, id)
	}
	return nil
}
