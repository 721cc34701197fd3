package plog

// cachedRef says that a log's tail may hold batches below an offset of which
// an earlier ref doesn't tell.
type cachedRef struct {
	log  *Log
	upto int64
	cost int64 // of those batches when the ref was made
}

// refQueue is a queue of refs by age.
type refQueue struct {
	q    []cachedRef
	head int
	cost int64 // of all in it
}

func (r *refQueue) push(x cachedRef) {
	r.q = append(r.q, x)
	r.cost += x.cost
}

func (r *refQueue) empty() bool { return r.head == len(r.q) }

func (r *refQueue) first() cachedRef { return r.q[r.head] }

func (r *refQueue) pop() {
	r.cost -= r.q[r.head].cost
	r.q[r.head] = cachedRef{}
	r.head++
	switch {
	case r.head == len(r.q):
		r.q, r.head = r.q[:0], 0
		if cap(r.q) > 1<<16 {
			r.q = nil
		}
	case r.head > 1024 && r.head > len(r.q)/2:
		r.q = append([]cachedRef(nil), r.q[r.head:]...)
		r.head = 0
	}
}

// maxPinned bounds the refs that one eviction passes over.
const maxPinned = 64

// evict forgets the oldest batches of all logs until the tails are within
// their budget. What is not yet in a segment is pinned, and gets a second
// chance at the queue's end: the few bytes of a quiet log, which nobody writes
// before the next checkpoint, must not keep what is younger in memory.
//
// Trims and deletions take batches out of tails and leave their refs. So refs
// that tell of nothing any more go when they are the oldest, and all refs
// together may tell of twice the budget at most: a queue that outgrows what it
// is about would be a leak of its own.
func (s *Store) evict() {
	s.evicting.Lock()
	defer s.evicting.Unlock()
	q := &s.cachedQueue
	for pinned := 0; !q.empty() && pinned < maxPinned; {
		ref := q.first()
		full := s.cached.Load() > s.opts.TailBytes || q.cost > 2*s.opts.TailBytes
		used, kept := ref.evict(full)
		if used && !full {
			return
		}
		q.pop()
		if kept {
			q.push(ref)
			pinned++
		}
	}
}

// evict forgets, if it shall, what the ref tells of and is in a segment. It
// tells whether there was anything, and whether some of it had to be kept.
func (r cachedRef) evict(forget bool) (used, kept bool) {
	l := r.log
	l.mu.Lock()
	defer l.mu.Unlock()
	q := l.tail.batches()
	if used = len(q) > 0 && q[0].base < r.upto; !used || !forget {
		return used, used
	}
	written := l.written()
	l.s.forget(l.tail.dropBelow(min(r.upto, written)))
	return used, written < min(r.upto, l.end.Load())
}
