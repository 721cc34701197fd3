package plog

// cachedRef says that a log's tail holds batches below an offset that an
// earlier entry doesn't tell of.
type cachedRef struct {
	log  *Log
	upto int64
	cost int64
}

// refQueue is a queue of refs by age.
type refQueue struct {
	q    []cachedRef
	head int
}

func (r *refQueue) push(x cachedRef) { r.q = append(r.q, x) }

func (r *refQueue) empty() bool { return r.head == len(r.q) }

func (r *refQueue) first() *cachedRef { return &r.q[r.head] }

func (r *refQueue) pop() {
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

// evict forgets the oldest batches of all logs until the tails are within
// their budget. What is not yet in a segment is pinned: eviction stops there,
// and the background writer goes on with it.
func (s *Store) evict() {
	s.evicting.Lock()
	defer s.evicting.Unlock()
	for s.cached.Load() > s.opts.TailBytes && !s.cachedQueue.empty() {
		ref := s.cachedQueue.first()
		l := ref.log
		l.mu.Lock()
		written := l.written()
		s.cached.Add(-l.tail.dropBelow(min(ref.upto, written)))
		pinned := written < min(ref.upto, l.end.Load())
		l.mu.Unlock()
		if pinned {
			return
		}
		s.cachedQueue.pop()
	}
}
