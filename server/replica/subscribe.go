package replica

// subscription is one channel that wants to hear of changes.
type subscription struct {
	ch chan<- struct{}
	at int // its place in Replica.subs, -1 once cancelled
}

// Subscribe signals ch whenever the high watermark, the log's start or the
// leadership changes, or the replica closes. The signal never blocks: give ch
// a buffer of one, and look at Offsets after each signal and once after
// Subscribe. cancel ends it; it may be called repeatedly.
func (r *Replica) Subscribe(ch chan<- struct{}) (cancel func()) {
	s := &subscription{ch: ch}
	r.subMu.Lock()
	s.at = len(r.subs)
	r.subs = append(r.subs, s)
	r.nsubs.Store(int32(len(r.subs)))
	r.subMu.Unlock()
	return func() { r.unsubscribe(s) }
}

func (r *Replica) unsubscribe(s *subscription) {
	r.subMu.Lock()
	defer r.subMu.Unlock()
	if s.at < 0 {
		return
	}
	last := len(r.subs) - 1
	moved := r.subs[last]
	r.subs[s.at], moved.at = moved, s.at
	r.subs[last] = nil
	r.subs = r.subs[:last]
	if last == 0 {
		r.subs = nil
	}
	s.at = -1
	r.nsubs.Store(int32(last))
}

// notify signals every subscriber. Call it without the replica's lock, after
// the change: who subscribed before the change is seen here, who did later
// sees the change.
func (r *Replica) notify() {
	if r.nsubs.Load() == 0 {
		return
	}
	r.subMu.Lock()
	defer r.subMu.Unlock()
	for _, s := range r.subs {
		select {
		case s.ch <- struct{}{}:
		default: // it has a signal that it has not taken yet
		}
	}
}
