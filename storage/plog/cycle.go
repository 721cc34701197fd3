package plog

import (
	"github.com/chroniklog/chronik/storage/journal"
)

// part is what a cycle writes of one log.
type part struct {
	log   *Log
	owner Owner
	end   int64
	bytes int64
}

// enqueue puts a log into the next cycle.
func (s *Store) enqueue(l *Log) {
	s.queueMu.Lock()
	s.queue = append(s.queue, l)
	s.queueMu.Unlock()
	s.wake()
}

func (s *Store) wake() {
	select {
	case s.wakeup <- struct{}{}:
	default:
	}
}

// commit is the committer: it runs cycles until the store is closed.
func (s *Store) commit() {
	defer s.wg.Done()
	defer close(s.committed)
	for {
		select {
		case <-s.wakeup:
		case <-s.stopping:
			if s.aborted.Load() || !s.hasWork() {
				return
			}
		}
		if err := s.failure(); err != nil {
			s.tellFailed(err)
			return
		}
		if err := s.cycle(); err != nil {
			s.fail(err)
			s.tellFailed(s.failure())
			return
		}
	}
}

func (s *Store) hasWork() bool {
	s.queueMu.Lock()
	defer s.queueMu.Unlock()
	return len(s.queue) > 0 || len(s.ops) > 0
}

// cycle makes durable what is staged when it starts: operations first, in
// their order, then what the owners of dirty logs append now.
func (s *Store) cycle() error {
	c := &Cycle{Start: s.opts.Now()}
	logs, ops := s.takeQueue()
	s.frames = s.frames[:0]
	for _, o := range ops {
		s.apply(o)
	}
	s.parts = s.parts[:0]
	for _, l := range logs {
		s.take(l, c)
	}
	if len(s.frames) > 0 {
		c.ID, c.Journal = s.journal.NextCycle(), true
		c.SyncStart = s.opts.Now()
		if err := s.journal.Write(s.frames); err != nil {
			return err
		}
		if err := s.failure(); err != nil {
			return err
		}
		c.End = s.opts.Now()
	}
	s.finish(c, ops)
	clear(s.frames)
	clear(s.parts)
	return nil
}

func (s *Store) takeQueue() ([]*Log, []*op) {
	s.queueMu.Lock()
	defer s.queueMu.Unlock()
	logs, ops := s.queue, s.ops
	s.queue, s.ops = s.spareQueue[:0], nil
	s.spareQueue = logs
	return logs, ops
}

// take seals a log and collects what is staged in it.
func (s *Store) take(l *Log, c *Cycle) {
	l.dirty.Store(false) // before Seal: what comes later is for the next cycle
	l.mu.Lock()
	owner := l.owner
	l.mu.Unlock()
	if owner != nil {
		owner.Seal()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	p := part{log: l, owner: owner, end: l.end.Load(), bytes: l.staged}
	q := l.tail.batches()
	for i := l.tail.from(l.taken); i < len(q); i++ {
		q[i].lsn = s.lsn.Load()
		s.addFrame(journal.Frame{
			Kind: journal.Data, Epoch: q[i].epoch,
			Topic: l.id.Topic, Partition: l.id.Partition, Incarnation: l.incarnation, Payload: q[i].b,
		})
		c.Batches++
	}
	c.Bytes += l.staged
	l.taken, l.staged = p.end, 0
	s.parts = append(s.parts, p)
}

// addFrame gives a frame the next LSN.
func (s *Store) addFrame(f journal.Frame) {
	f.LSN = s.lsn.Load()
	s.frames = append(s.frames, f)
	s.lsn.Store(f.LSN + 1)
}

// finish tells everybody that the cycle is on disk.
func (s *Store) finish(c *Cycle, ops []*op) {
	for i := range s.parts {
		p := &s.parts[i]
		p.log.mu.Lock()
		if p.log.gone == nil {
			p.log.flushed.Store(p.end)
		}
		p.log.mu.Unlock()
		if p.owner != nil {
			p.owner.Flushed(p.end, c)
		}
	}
	for _, o := range ops {
		if o.kind == journal.Delete && o.err == nil {
			s.drop(o.log)
			o.log.orphan(ErrDeleted)
		}
		o.finish(nil)
	}
	if c.Journal && s.opts.Metrics.Cycle != nil {
		s.opts.Metrics.Cycle(c)
	}
}
