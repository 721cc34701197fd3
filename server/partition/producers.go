package partition

import "math"

// windowBatches is how many of its last batches are remembered of a producer
// (KIP-98 allows as many requests in flight).
const windowBatches = 5

// span is where a batch went.
type span struct {
	seq       int32 // of its first record
	count     int32
	base      int64 // offset of its first record
	timestamp int64 // largest of its records
}

func (s *span) last() int64 { return s.base + int64(s.count) - 1 }

// producer is the window of one idempotent producer: a ring of its last
// batches, of one epoch.
type producer struct {
	id         int64
	epoch      int16
	n, head    uint8 // batches held; index of the oldest
	window     [windowBatches]span
	seen       int64 // broker's clock at its last append
	prev, next *producer
}

func (p *producer) at(i uint8) *span { return &p.window[(p.head+i)%windowBatches] }

func (p *producer) newest() *span { return p.at(p.n - 1) }

func (p *producer) push(s span) {
	if p.n < windowBatches {
		p.window[(p.head+p.n)%windowBatches] = s
		p.n++
		return
	}
	p.window[p.head] = s
	p.head = (p.head + 1) % windowBatches
}

// producers are the windows, in a list by last append: root.next is the one
// that has been idle longest.
type producers struct {
	byID map[int64]*producer
	root *producer
	max  int
	idle int64 // milliseconds
}

func newProducers(limit int, idle int64) producers {
	root := &producer{}
	root.prev, root.next = root, root
	return producers{root: root, max: limit, idle: idle}
}

// get finds a producer that has not expired.
func (ps *producers) get(now, id int64) *producer {
	p := ps.byID[id]
	if p == nil || p.seen <= now-ps.idle {
		return nil
	}
	return p
}

// put remembers a batch as the producer's last one and forgets producers that
// are idle or too many.
func (ps *producers) put(now int64, seq *ProducerSeq, s span) {
	ps.expire(now)
	p := ps.byID[seq.ID]
	if p == nil {
		p = &producer{id: seq.ID, epoch: seq.Epoch}
		if ps.byID == nil {
			ps.byID = make(map[int64]*producer)
		}
		ps.byID[seq.ID] = p
	} else {
		p.unlink()
	}
	if p.epoch != seq.Epoch {
		p.epoch, p.n, p.head = seq.Epoch, 0, 0
	}
	s.seq = seq.Seq
	p.push(s)
	p.seen = max(now, ps.root.prev.seen) // the list stays ordered when the clock steps back
	p.link(ps.root)
	if len(ps.byID) > ps.max {
		ps.remove(ps.root.next)
	}
}

func (ps *producers) expire(now int64) {
	for p := ps.root.next; p != ps.root && p.seen <= now-ps.idle; p = ps.root.next {
		ps.remove(p)
	}
}

func (ps *producers) remove(p *producer) {
	p.unlink()
	delete(ps.byID, p.id)
}

func (p *producer) unlink() { p.prev.next, p.next.prev = p.next, p.prev }

// link makes p the newest.
func (p *producer) link(root *producer) {
	p.prev, p.next = root.prev, root
	root.prev.next, root.prev = p, p
}

// checkSequence decides on count records from seq on (KIP-98). A producer that
// is not known may begin anywhere: its window may have expired.
func (s *State) checkSequence(now int64, seq *ProducerSeq, count int32) Verdict {
	p := s.producers.get(now, seq.ID)
	if p == nil {
		return Verdict{}
	}
	cites := p.newest().last() + 1
	switch {
	case seq.Epoch < p.epoch:
		return refuse(ErrStaleEpoch, cites)
	case seq.Epoch > p.epoch:
		if seq.Seq != 0 {
			return refuse(&SequenceGapError{Expected: 0, Got: seq.Seq}, cites)
		}
		return Verdict{}
	}
	for i := range p.n {
		if b := p.at(i); b.seq == seq.Seq && b.count == count {
			return Verdict{Duplicate: true, Answer: s.answer(b), Cites: b.last() + 1}
		}
	}
	newest := p.newest()
	expected := nextSequence(newest.seq, newest.count)
	if seq.Seq == expected {
		return Verdict{}
	}
	if behind := (expected - seq.Seq) & math.MaxInt32; behind < 1<<30 && count <= behind {
		return refuse(ErrDuplicateSequence, cites)
	}
	return refuse(&SequenceGapError{Expected: expected, Got: seq.Seq}, cites)
}

// answer is the first answer to the batch.
func (s *State) answer(b *span) Appended {
	return Appended{
		Offset: b.base, LastOffset: b.last(), Timestamp: b.timestamp, Duplicate: true,
		LeaderEpoch: s.leaderEpoch, LogStart: s.logStart,
	}
}
