package sim

import (
	"crypto/rand"
	"os"
	"strconv"
	"testing"
)

func TestMain(m *testing.M) {
	rand.Reader = Chance{}
	os.Exit(m.Run())
}

// TestSeed runs one seed, SIM_SEED, with a trace.
func TestSeed(t *testing.T) {
	text := os.Getenv("SIM_SEED")
	if text == "" {
		t.Skip("SIM_SEED is not set")
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Run(Options{Seed: seed, Trace: os.Stdout})
	t.Logf("%+v", r)
	if err != nil {
		t.Fatal(err)
	}
}

func TestSeeds(t *testing.T) {
	n, _ := strconv.ParseUint(os.Getenv("SIM_SEEDS"), 10, 64)
	if n == 0 {
		n = 20
	}
	for seed := range n {
		r, err := Run(Options{Seed: seed})
		if err != nil {
			t.Errorf("%v\n%+v", err, r)
		} else {
			t.Logf("%+v", r)
		}
	}
}
