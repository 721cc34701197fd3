package sim

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/chroniklog/chronik/server/partition"
)

// mutants are safeguards that are switched off, and among which seeds one finds
// that out.
var mutants = []struct {
	name     string
	mutation Mutation
	from, to uint64
}{
	{"sync before the answer", Mutation{NoSync: true}, 0, 20},
	{"raft's fence", Mutation{ForgetVotes: true}, 0, 200},
	{"min.insync.replicas", Mutation{Partition: partition.Mutation{NoMinISR: true}}, 0, 100},
	{"truncation by epoch", Mutation{Partition: partition.Mutation{NoTruncation: true}}, 0, 100},
	// One seed in several hundred gets a leader to fall between the proposal
	// of an in-sync replica and its commitment.
	{"maximal ISR", Mutation{Partition: partition.Mutation{CommittedISR: true}}, 600, 700},
}

// Every safeguard that is switched off is noticed.
func TestMutants(t *testing.T) {
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			err := search(m.from, m.to, Options{Mutation: m.mutation})
			if err == nil {
				t.Fatalf("seeds %d to %d notice nothing", m.from, m.to-1)
			}
			t.Log(err)
		})
	}
}

// search runs seeds on every core until one fails.
func search(from, to uint64, o Options) error {
	var next atomic.Uint64
	next.Store(from)
	var first error
	var once sync.Once
	var found atomic.Bool
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for !found.Load() {
				seed := next.Add(1) - 1
				if seed >= to {
					return
				}
				o := o
				o.Seed = seed
				if err := attempt(o); err != nil {
					found.Store(true)
					once.Do(func() { first = err })
				}
			}
		})
	}
	wg.Wait()
	return first
}

// attempt is Run; a panic is a violation, too.
func attempt(o Options) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("seed %d: panic: %v", o.Seed, p)
		}
	}()
	_, err = Run(o)
	return err
}
