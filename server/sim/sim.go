package sim

import (
	"fmt"
	"io"
	"math/rand/v2"
	"time"
)

// Options of a run. Zero fields take the default.
type Options struct {
	Seed uint64
	// Nodes and Partitions: default 3 and 2. Clients: default 4.
	Nodes, Partitions, Clients int
	// Faults is how long faults happen, in virtual time; default 12 s.
	Faults time.Duration
	// Heal bounds the time until everything works again; default 60 s.
	Heal time.Duration
	// Mutation switches safeguards off.
	Mutation Mutation
	// Trace is told every event; nil: nobody.
	Trace io.Writer
}

func (o *Options) setDefaults() {
	setInt(&o.Nodes, 3)
	setInt(&o.Partitions, 2)
	setInt(&o.Clients, 4)
	if o.Faults == 0 {
		o.Faults = 12 * time.Second
	}
	if o.Heal == 0 {
		o.Heal = 60 * time.Second
	}
}

func setInt(v *int, def int) {
	if *v == 0 {
		*v = def
	}
}

// Report is what a run was like.
type Report struct {
	Hash      uint64        // of the trace
	Events    int           // that happened
	Virtual   time.Duration // that passed
	Acked     int           // appends acknowledged with acks=all
	Reads     int           // records seen by readers
	Crashes   int
	Elections int // leader epochs that some node led in
}

// Chance is the reader that crypto/rand.Reader has to be while simulations
// run. It yields zeros: the nodes' clocks, not raft's timeouts, differ by chance.
type Chance struct{}

// Read implements io.Reader.
func (Chance) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// Run simulates one cluster. The error is the first violation.
func Run(o Options) (Report, error) {
	o.setDefaults()
	w := newWorld(o)
	w.begin()
	w.runUntil(o.Faults)
	w.heal()
	w.settle()
	w.check()
	w.close()
	r := w.report
	r.Hash, r.Events, r.Virtual, r.Elections = w.hash.Sum64(), w.events, w.now, len(w.hist.led)
	if w.failed != nil {
		return r, fmt.Errorf("seed %d at %v: %w", o.Seed, w.now, w.failed)
	}
	return r, nil
}

// wallBase is the wall clock at the beginning, Unix milliseconds.
const wallBase = 1_767_225_600_000

// between draws a duration from [low, high).
func between(rng *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(rng.Int64N(int64(high-low)))
}
