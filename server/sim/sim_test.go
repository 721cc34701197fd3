package sim

import (
	"bufio"
	"crypto/rand"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	rand.Reader = Chance{}
	os.Exit(m.Run())
}

// number is an environment variable's value.
func number(t *testing.T, name string, def uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return def
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// TestSeed runs one seed, SIM_SEED, with a trace.
func TestSeed(t *testing.T) {
	if os.Getenv("SIM_SEED") == "" {
		t.Skip("SIM_SEED names no seed: make sim SIM_SEED=…")
	}
	r, err := Run(Options{Seed: number(t, "SIM_SEED", 0), Trace: os.Stdout})
	t.Logf("%+v", r)
	if err != nil {
		t.Fatal(err)
	}
}

// TestSeeds runs SIM_SEEDS seeds from SIM_FROM on, or for as long as SIM_TIME
// says. A seed that fails belongs into testdata/seeds.txt.
func TestSeeds(t *testing.T) {
	from, n := number(t, "SIM_FROM", 0), number(t, "SIM_SEEDS", 150)
	var limit time.Duration
	if text := os.Getenv("SIM_TIME"); text != "" {
		var err error
		if limit, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	began, ran := time.Now(), uint64(0)
	for again := true; again; again = time.Since(began) < limit {
		if err := search(from+ran, from+ran+n, Options{}); err != nil {
			t.Fatalf("%v\nsee what happens with: make sim SIM_SEED=…", err)
		}
		ran += n
		perMinute := float64(ran) / time.Since(began).Minutes()
		fmt.Printf("seeds %d to %d hold, %.0f a minute\n", from, from+ran-1, perMinute)
	}
}

// Seeds that once failed do so no more.
func TestSavedSeeds(t *testing.T) {
	f, err := os.Open("testdata/seeds.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		text, reason, _ := strings.Cut(sc.Text(), " ")
		if text == "" || text == "#" {
			continue
		}
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil || reason == "" {
			t.Fatalf("testdata/seeds.txt: %q is not SEED WHAT IT FOUND", sc.Text())
		}
		if err := attempt(Options{Seed: seed}); err != nil {
			t.Errorf("%v (%s)", err, reason)
		}
	}
}

// A seed determines everything: two runs have one trace, and other seeds other
// traces.
func TestDeterminism(t *testing.T) {
	hashes := map[uint64]uint64{}
	for seed := range uint64(10) {
		var first Report
		for nth := range 2 {
			r, err := Run(Options{Seed: seed})
			if err != nil {
				t.Fatal(err)
			}
			if nth == 0 {
				first = r
			} else if r != first {
				t.Errorf("seed %d: %+v and %+v", seed, first, r)
			}
		}
		if other, ok := hashes[first.Hash]; ok {
			t.Errorf("seeds %d and %d have one trace", other, seed)
		}
		hashes[first.Hash] = seed
	}
}

// The runs are not idle: faults happen, and so does work in spite of them.
func TestRunsAreEventful(t *testing.T) {
	var sum Report
	for seed := range uint64(20) {
		r, err := Run(Options{Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		sum.Acked += r.Acked
		sum.Reads += r.Reads
		sum.Crashes += r.Crashes
		sum.Elections += r.Elections
	}
	t.Logf("20 seeds: %+v", sum)
	if sum.Acked < 20*50 || sum.Reads < 20*50 || sum.Crashes < 20*3 || sum.Elections < 20*4 {
		t.Errorf("too little happens in 20 seeds: %+v", sum)
	}
}
