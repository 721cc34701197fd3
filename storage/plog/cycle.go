package plog

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/chroniklog/chronik/storage/journal"
)

// part is what a cycle writes of one log.
type part struct {
	log     *Log
	owner   Owner
	from    int64 // offset of the first batch
	end     int64
	bytes   int64
	batches int
	direct  bool // straight to the segments
	locked  bool // the log's io is held, for a direct write
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

// commit is the committer: it runs cycles until the store is closed. There is
// no timer: what becomes dirty while a cycle runs is the next one, which
// starts as soon as the sync has returned.
func (s *Store) commit() {
	defer s.committer.Done()
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
		// Whoever is ready to run may stage something first: the last cycle has
		// just woken its waiters, and one cycle for all costs less than two for
		// half of them. With nobody ready this returns at once.
		runtime.Gosched()
		s.turns.Add(1)
		err := s.cycle()
		s.turns.Add(1)
		if err != nil {
			if !errors.Is(err, ErrClosed) {
				s.fail(err)
			}
			s.tellFailed(firstErr(s.failure(), ErrClosed))
			return
		}
	}
}

// Turns is a number that grows whenever the committer begins or ends a cycle,
// or tries again on a full disk; busy: a cycle is under way. One that is busy
// for long at the same number is stuck in a write, a sync, or an owner.
func (s *Store) Turns() (n uint64, busy bool) {
	n = s.turns.Load()
	return n, n%2 == 1
}

func (s *Store) hasWork() bool {
	s.queueMu.Lock()
	defer s.queueMu.Unlock()
	return len(s.queue) > 0 || len(s.ops) > 0
}

// cycle makes durable what is staged when it starts: operations first, in
// their order, then what the owners of dirty logs append now. Small parts of
// any number of logs go through the journal; see direct.go for large ones.
func (s *Store) cycle() error { return s.complete(s.gather()) }

// underway is a cycle between gather and complete.
type underway struct {
	Cycle
	ops []*op
	err error
}

// gather collects what the cycle writes.
func (s *Store) gather() *underway {
	u := &underway{Cycle: Cycle{Start: s.opts.Now()}}
	var logs []*Log
	logs, u.ops = s.takeQueue()
	s.frames, s.parts, s.directs = s.frames[:0], s.parts[:0], 0
	for _, o := range u.ops {
		s.apply(o)
	}
	s.opts.pause("between")
	for _, l := range logs {
		s.take(l, &u.Cycle)
	}
	if s.directs > 0 {
		u.err = s.writeDirect()
	}
	return u
}

// complete makes it durable and tells everybody.
func (s *Store) complete(u *underway) error {
	if u.err == nil {
		u.err = s.run(&u.Cycle)
	}
	if u.err != nil {
		s.releaseParts()
		for _, o := range u.ops {
			o.finish(fmt.Errorf("%w: %w", ErrFailed, u.err))
		}
		return u.err
	}
	s.finish(&u.Cycle, u.ops)
	s.account()
	return nil
}

// run writes and syncs the cycle.
func (s *Store) run(c *Cycle) error {
	if len(s.frames) == 0 {
		s.releaseParts()
		return nil
	}
	s.opts.pause("between")
	c.ID, c.Journal = s.journal.NextCycle(), s.directs < len(s.parts)
	c.SyncStart = s.opts.Now()
	if err := s.persist(); err != nil {
		return err
	}
	c.End = s.opts.Now()
	return s.failure() // a sync failed elsewhere: vouch for nothing
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
	if l.gone != nil {
		return
	}
	p := part{log: l, owner: owner, from: l.taken, end: l.end.Load(), bytes: l.staged}
	p.direct = s.wantsDirect(&p) && l.io.TryLock()
	l.direct = p.direct
	if p.locked = p.direct; p.direct {
		s.directs++
		p.batches = len(l.tail.batches()) - l.tail.from(l.taken)
	} else {
		p.batches = s.addData(l, l.taken)
	}
	c.Batches += p.batches
	c.Bytes += l.staged
	l.taken, l.staged = p.end, 0
	s.parts = append(s.parts, p)
}

// addData adds the frames of a log's batches from an offset on. Under its lock.
func (s *Store) addData(l *Log, from int64) int {
	q := l.tail.batches()[l.tail.from(from):]
	for i := range q {
		q[i].lsn = s.addFrame(l, journal.Frame{Kind: journal.Data, Epoch: q[i].epoch, Payload: q[i].b})
	}
	return len(q)
}

// addFrame gives a frame of a log the next LSN.
func (s *Store) addFrame(l *Log, f journal.Frame) uint64 {
	f.Topic, f.Partition, f.Incarnation = l.id.Topic, l.id.Partition, l.incarnation
	f.LSN = s.lsn
	s.frames = append(s.frames, f)
	s.lsn++
	return f.LSN
}

// writeJournal writes the frames. A full disk is waited for: nothing is
// acknowledged meanwhile, and reads go on.
func (s *Store) writeJournal() error {
	for {
		err := s.journal.Write(s.frames)
		if err == nil {
			s.journaled.Store(s.lsn)
		}
		if !isDiskFull(err) {
			return err
		}
		if err := s.awaitSpace(err); err != nil {
			return err
		}
		s.turns.Add(2) // it waits, which is no standstill
	}
}

// finish tells everybody that the cycle is on disk.
func (s *Store) finish(c *Cycle, ops []*op) {
	s.opts.pause("between")
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
	if len(s.frames) > 0 && s.opts.Metrics.Cycle != nil {
		s.opts.Metrics.Cycle(c)
	}
}

// account notes what the cycle wrote, makes room in the tails, and wakes the
// background writer when it has something to do.
func (s *Store) account() {
	grown := int64(0)
	s.evicting.Lock()
	for i := range s.parts {
		p := &s.parts[i]
		if p.bytes > 0 {
			s.cachedQueue.push(cachedRef{log: p.log, upto: p.end, cost: cost(int(p.bytes), p.batches)})
		}
		if p.direct {
			grown += p.bytes
		}
	}
	s.evicting.Unlock()
	for i := range s.frames {
		grown += int64(s.frames[i].Size())
	}
	if len(s.frames) > 0 {
		grown = (grown + journal.PageBytes - 1) &^ (journal.PageBytes - 1)
	}
	s.grown.Add(grown)
	s.sinceSpace += grown
	clear(s.frames)
	clear(s.parts)
	s.evict()
	if s.sinceSpace >= spaceBytes {
		s.sinceSpace = 0
		s.checkSpace()
	}
	if m := s.opts.Metrics.Backlog; m != nil {
		m(s.unwritten.Load())
	}
	if s.writerHasWork() {
		s.kickWriter()
	}
}
