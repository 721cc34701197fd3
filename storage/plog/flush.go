package plog

import (
	"errors"
	"sync"

	"github.com/chroniklog/chronik/storage/segment"
)

// flushers is how many logs are written and synced at a time: on many small
// files a few syncs at once share the file system's own commits.
const flushers = 8

// behindBytes is what a log must have waiting for the background writer to
// write it between two checkpoints: a file costs the same for less.
const behindBytes = 32 << 10

// writeBehind writes what waits to segments, without a sync: of the logs where
// that is much, and of all of them if little remains until producers have to
// wait.
func (s *Store) writeBehind() error {
	least := int64(behindBytes)
	if s.unwritten.Load() >= s.opts.MaxUnwritten/2 || s.opts.WriteBehindBytes < behindBytes {
		least = 1
	}
	err := s.each(func(l *Log) error { return l.writeBack(least) })
	s.nextBehind.Store(s.unwritten.Load() + s.opts.WriteBehindBytes/4)
	return err
}

// isBehind tells whether there is enough to write behind; what the last look
// has left, because it was little for each log, doesn't count again.
func (s *Store) isBehind() bool {
	return s.unwritten.Load() >= max(s.opts.WriteBehindBytes, s.nextBehind.Load())
}

// writeBack writes what is journaled of a log, if that is at least so many
// bytes.
func (l *Log) writeBack(least int64) error {
	l.mu.Lock()
	idle := l.gone != nil || l.pending < least
	l.mu.Unlock()
	if idle {
		return nil
	}
	l.io.Lock()
	defer l.io.Unlock()
	err := l.flush(l.flushed.Load(), 0)
	l.s.wakeReservers()
	return err
}

// defaultTreeFiles is from how many files on one sync of everything on the disk
// is better than one for each. Measured on ext4, with 10,000 small files: 0.2 to
// 0.8 s against 0.8 to 1.9 s, and the journal's own syncs wait less meanwhile.
const defaultTreeFiles = 128

// flushAll writes everything that is journaled to segments, and makes it
// durable there.
func (s *Store) flushAll() error {
	if err := s.each(func(l *Log) error { return l.writeBack(1) }); err != nil {
		return err
	}
	s.nextBehind.Store(0)
	var todo []unsynced
	files := 0
	for _, l := range s.snapshot() {
		if u := l.unsyncedMarks(); len(u.segs) > 0 {
			todo = append(todo, u)
			files += len(u.segs)
		}
	}
	if s.tree != nil && files >= s.opts.treeFiles && !s.opts.NoSync {
		if err := s.tree.Sync(); err != nil {
			return err
		}
	} else if err := s.parallel(len(todo), func(i int) error { return todo[i].sync() }); err != nil {
		return err
	}
	var named [shards]bool
	for i := range todo {
		if shard := shardOf(todo[i].log.id); todo[i].unnamed && !named[shard] {
			if err := s.syncDir(shard); err != nil {
				return err
			}
			named[shard] = true
		}
	}
	for i := range todo {
		s.opts.pause("between")
		todo[i].publish()
	}
	return nil
}

// unsynced is what a log had written and not synced at some moment.
type unsynced struct {
	log     *Log
	gen     uint64
	segs    []*segment.Segment
	copies  []segment.Segment // as they were
	unnamed bool              // some file's name is not durable
}

func (l *Log) unsyncedMarks() unsynced {
	l.mu.Lock()
	defer l.mu.Unlock()
	u := unsynced{log: l, gen: l.gen}
	// A direct write ends with a sync of its own, and may be taken back before.
	if l.gone != nil || l.direct {
		return u
	}
	for _, seg := range l.unsyncedSegs() {
		u.segs = append(u.segs, seg)
		u.copies = append(u.copies, *seg)
		u.unnamed = u.unnamed || !seg.Named
	}
	return u
}

// sync syncs the files one by one.
func (u *unsynced) sync() error {
	for i := range u.copies {
		if err := u.log.s.syncSeg(&u.copies[i]); err != nil {
			return u.log.unlessGone(err)
		}
	}
	return nil
}

// publish notes that it is durable: of the segments that have not changed
// since, for of the others the log can't tell any more. They are unsynced
// until the next time.
func (u *unsynced) publish() {
	l := u.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone != nil || l.gen != u.gen || l.direct {
		return
	}
	for i, seg := range u.segs {
		seg.Named = true
		if seg.End == u.copies[i].End && seg.Index.Name == u.copies[i].Index.Name {
			seg.Synced, seg.SyncedPages = seg.End, u.copies[i].Index.Pages
		}
	}
}

// each calls do for every log, several at a time, until one fails.
func (s *Store) each(do func(*Log) error) error {
	logs := s.snapshot()
	return s.parallel(len(logs), func(i int) error { return do(logs[i]) })
}

// parallel calls do for 0 to n-1, several at a time, until one fails.
func (s *Store) parallel(n int, do func(int) error) error {
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		next int
		errs error
	)
	workers := min(flushers, n)
	if s.opts.Manual {
		workers = min(1, n)
	}
	for range workers {
		wg.Go(func() {
			for {
				mu.Lock()
				i := next
				next++
				stop := i >= n || errs != nil
				mu.Unlock()
				if stop {
					return
				}
				if err := do(i); err != nil {
					mu.Lock()
					errs = errors.Join(errs, err)
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	return errs
}
