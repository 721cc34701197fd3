package replica

import (
	"sync"
	"sync/atomic"
)

// listener is called at changes.
type listener struct {
	call func() // never blocks
	at   int    // its place in the list, -1 once cancelled
}

// listeners are called in no order. An empty list costs one atomic load per
// change.
type listeners struct {
	n    atomic.Int32
	mu   sync.Mutex
	list []*listener
}

func (l *listeners) add(call func()) (cancel func()) {
	s := &listener{call: call}
	l.mu.Lock()
	s.at = len(l.list)
	l.list = append(l.list, s)
	l.n.Store(int32(len(l.list)))
	l.mu.Unlock()
	return func() { l.remove(s) }
}

func (l *listeners) remove(s *listener) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.at < 0 {
		return
	}
	last := len(l.list) - 1
	moved := l.list[last]
	l.list[s.at], moved.at = moved, s.at
	l.list[last] = nil
	l.list = l.list[:last]
	if last == 0 {
		l.list = nil
	}
	s.at = -1
	l.n.Store(int32(last))
}

// notify calls every listener. It is called without the replica's lock, after
// the change: who listened before the change is seen here, who listens later
// sees the change.
func (l *listeners) notify() {
	if l.n.Load() == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.list {
		s.call()
	}
}

// Subscribe signals ch whenever the high watermark, the log's start or the
// leadership changes, or the replica closes. The signal never blocks: give ch
// a buffer of one, and look at Offsets after each signal and once after
// Subscribe. cancel ends it; it may be called repeatedly.
func (r *Replica) Subscribe(ch chan<- struct{}) (cancel func()) {
	return r.subs.add(func() {
		select {
		case ch <- struct{}{}:
		default: // it has a signal that it has not taken yet
		}
	})
}

// Watch calls fn whenever the log grew in memory, a follower's on disk too, and
// whenever a subscriber is signalled: what a follower's fetch depends on. fn may
// neither block nor call the replica. cancel ends it; it may be called
// repeatedly.
func (r *Replica) Watch(fn func()) (cancel func()) { return r.watchers.add(fn) }

// changed tells everybody of a change.
func (r *Replica) changed() {
	r.subs.notify()
	r.watchers.notify()
}

// grew tells of staged or synced bytes.
func (r *Replica) grew() { r.watchers.notify() }
