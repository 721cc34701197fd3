package node

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// stallTime is how long a loop may be in the midst of one turn before it
	// counts as stuck. It is long: a sync may take many seconds on a disk that is
	// throttled or shared, and a node that is ended for it finds the same disk.
	// Leadership has gone to other nodes long before, see health.
	stallTime = time.Minute
	// looksPerStall is how often the loops are looked at within that time.
	looksPerStall = 60
)

// turns are a loop's count of turns, and whether it is in the midst of one: an
// idle loop owes none.
type turns func() (n uint64, busy bool)

// stillness is what is known of one loop after a look at it.
type stillness struct {
	seen uint64
	// lasts is for how long a turn has been seen not to end.
	lasts time.Duration
}

// look is what is known after another look. passed is the time since the last
// one; it counts for no more than atMost, since a process that was itself
// stopped must not take that time for a loop's.
func (s stillness) look(n uint64, busy bool, passed, atMost time.Duration) stillness {
	if !busy || n != s.seen {
		return stillness{seen: n}
	}
	return stillness{seen: n, lasts: s.lasts + min(max(passed, 0), atMost)}
}

// watchedLoop is a loop that the node can't do without.
type watchedLoop struct {
	name  string
	turns turns
	still stillness
	stuck bool // it was said
}

// progress looks whether the node's loops turn.
type progress struct {
	loops []watchedLoop
	limit time.Duration // a loop is stuck from here on
	now   func() time.Time
	last  time.Time
	log   *slog.Logger
	// stuck has the error of a loop that does not turn, nil if all do.
	stuck atomic.Pointer[error]

	wg   sync.WaitGroup
	stop context.CancelFunc
}

func newProgress(limit time.Duration, now func() time.Time, log *slog.Logger) *progress {
	return &progress{limit: limit, now: now, last: now(), log: log}
}

// add has one more loop looked at, from the next look on.
func (p *progress) add(name string, t turns) {
	n, _ := t()
	p.loops = append(p.loops, watchedLoop{name: name, turns: t, still: stillness{seen: n}})
}

// look looks at every loop, and says of which it stops and goes on.
func (p *progress) look() {
	now := p.now()
	passed := now.Sub(p.last)
	p.last = now
	var stuck error
	for i := range p.loops {
		l := &p.loops[i]
		n, busy := l.turns()
		l.still = l.still.look(n, busy, passed, 2*p.every())
		was := l.stuck
		if l.stuck = l.still.lasts >= p.limit; l.stuck {
			stuck = fmt.Errorf("%w: %s", errStuck, l.name)
		}
		switch {
		case l.stuck && !was:
			p.log.Error("a loop is stuck", "loop", l.name, "for", l.still.lasts.String())
		case was && !l.stuck:
			p.log.Info("a loop goes on", "loop", l.name)
		}
	}
	if stuck == nil {
		p.stuck.Store(nil)
		return
	}
	p.stuck.Store(&stuck)
}

// err is errStuck with the name of a loop that does not turn.
func (p *progress) err() error {
	if err := p.stuck.Load(); err != nil {
		return *err
	}
	return nil
}

func (p *progress) every() time.Duration { return p.limit / looksPerStall }

// start looks again and again until close.
func (p *progress) start() {
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	p.wg.Go(func() {
		t := time.NewTicker(p.every())
		defer t.Stop()
		for {
			select {
			case <-t.C:
				p.look()
			case <-ctx.Done():
				return
			}
		}
	})
}

// close ends the looking; without start, or again, it does nothing.
func (p *progress) close() {
	if p != nil && p.stop != nil {
		p.stop()
		p.wg.Wait()
	}
}

// watchProgress begins to look at what every acknowledgement needs: the
// metadata's driver, which ticks all the time, and the cycles of the logs.
func (n *Node) watchProgress() {
	limit := stallTime
	if n.o.StallTime > 0 {
		limit = n.o.StallTime
	}
	n.progress = newProgress(limit, n.o.Now, n.log.With("part", "progress"))
	n.progress.add("metadata", n.raft.Turns)
	n.progress.add("commit", n.store.Turns)
	n.progress.start()
}

// alive tells the service manager's watchdog whether to be content.
func (n *Node) alive() bool { return !n.fatal.Load() && n.progress.err() == nil }
