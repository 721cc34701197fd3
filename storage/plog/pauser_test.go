package plog

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chroniklog/chronik/storage/vfs"
)

// pauser makes a store's goroutines wait where they call the disk, and where
// Options.pause is called: mostly not at all, now and then until the others
// have done a good deal. So they interleave in ways that a machine would show
// once in a year.
type pauser struct {
	often  float64
	events atomic.Int64
	off    atomic.Bool

	mu   sync.Mutex
	rng  *rand.Rand
	at   int64  // take is called at this event
	take func() // nil: not, or no more
}

func newPauser(seed uint64, often float64) *pauser {
	return &pauser{often: often, rng: rand.New(rand.NewPCG(seed, 7))}
}

// over is the disk whose calls are such places.
func (p *pauser) over(disk vfs.FS) vfs.FS {
	f := vfs.NewFault(disk)
	f.Watch(func(op vfs.Op, _ string) { p.pause(string(op)) })
	return f
}

// arm has take called at one of the next events, in the middle of whatever
// comes to it.
func (p *pauser) arm(in int64, take func()) {
	p.mu.Lock()
	p.at, p.take = p.events.Load()+in, take
	p.mu.Unlock()
}

// disarm tells whether take was not called; it won't be any more.
func (p *pauser) disarm() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	armed := p.take != nil
	p.take = nil
	return armed
}

func (p *pauser) pause(string) {
	n := p.events.Add(1)
	p.mu.Lock()
	take := p.take
	if take != nil && n >= p.at {
		p.take = nil
	} else {
		take = nil
	}
	dice, turns := p.rng.Float64(), 1+p.rng.Int64N(40)
	p.mu.Unlock()
	if take != nil {
		take()
	}
	switch {
	case p.off.Load():
	case dice < p.often/8:
		for i := 0; i < 8 && p.events.Load() < n+turns && !p.off.Load(); i++ {
			time.Sleep(10 * time.Microsecond)
		}
	case dice < p.often:
		for range turns {
			runtime.Gosched()
		}
	}
}

// moved waits until so many events have passed, or for a while.
func (p *pauser) moved(events int64) {
	until := p.events.Load() + events
	for i := 0; i < 20 && p.events.Load() < until; i++ {
		time.Sleep(10 * time.Microsecond)
	}
}
