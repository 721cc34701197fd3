package plog

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chroniklog/chronik/storage/vfs"
)

func TestCrashes(t *testing.T) {
	seeds := uint64(60)
	if testing.Short() {
		seeds = 20
	}
	const workers = 4 // a crasher mostly waits
	for i := range uint64(workers) {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			for seed := i; seed < seeds; seed += workers {
				runCrasher(t, seed)
			}
		})
	}
}

var soak = flag.Duration("soak", 0, "how long TestSoak looks for a seed that fails")

// TestSoak looks for a seed that fails, for hours if it is told so. What a seed
// does depends on the scheduler too: so a failure says everything that happened.
func TestSoak(t *testing.T) {
	if *soak == 0 {
		t.Skip("see make soak")
	}
	seed, began := uint64(time.Now().UnixNano()), time.Now()
	var runs atomic.Uint64
	t.Cleanup(func() { t.Logf("%d runs, from seed %d on", runs.Load(), seed) })
	for i := range 4 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			for time.Since(began) < *soak {
				n := runs.Add(1)
				if n%64 == 0 {
					runtime.GOMAXPROCS([]int{1, 2, 4, 8}[n/64%4])
				}
				if n%8 == 0 {
					crashCompaction(t, seed+n)
				} else {
					runCrasher(t, seed+n)
				}
			}
		})
	}
}

func runCrasher(t *testing.T, seed uint64) {
	c := newCrasher(t, seed)
	stuck := time.AfterFunc(time.Minute, func() {
		debug.SetTraceback("all")
		panic(fmt.Sprintf("seed %d hangs: %q", seed, c.trace))
	})
	defer stuck.Stop()
	c.open()
	defer func() { c.abort(c.s) }()
	for range 6 {
		for range 5 + c.rng.IntN(60) {
			c.step()
		}
		if c.rng.IntN(4) == 0 {
			c.close()
		} else {
			c.crash()
		}
		if t.Failed() {
			c.fatalf("failed")
		}
	}
}

// The mutation NoSync must be noticed by the very test that guards the syncs.
func TestCrashesNoticeNoSync(t *testing.T) {
	noticed := false
	for seed := uint64(0); seed < 20 && !noticed; seed++ {
		fs := vfs.NewMem()
		o := testOptions(t, fs)
		o.NoSync = true
		s, err := Open(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		l := createLog(t, s, testID(1), Config{})
		f := newFeeder(l)
		for i := range 30 {
			f.add(rec(1, "", value(i, 300)))
		}
		f.wait(t, 30)
		s.Abort()
		o.FS = fs.Crash(seed)
		if s, err = Open(context.Background(), o); err != nil {
			noticed = true
			continue
		}
		got, ok := s.Log(testID(1))
		noticed = !ok || got.EndOffset() < 30
		s.Abort()
	}
	if !noticed {
		t.Fatal("nothing was lost without syncs: the crash test proves nothing")
	}
}
