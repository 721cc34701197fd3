package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"
)

// patience is how long a cluster may take from a strike's begin until all its
// replicas are in sync again.
const patience = 60 * time.Second

// TestVictims kills a node of each kind, again and again, under load.
// CHAOS_ROUNDS says how often; "make chaos-reference" does it 20 times.
func TestVictims(t *testing.T) {
	rounds := 1
	if s := os.Getenv("CHAOS_ROUNDS"); s != "" {
		if _, err := fmt.Sscan(s, &rounds); err != nil {
			t.Fatalf("CHAOS_ROUNDS: %v", err)
		}
	}
	for _, n := range []Nemesis{Kill(LeaderOf), Kill(FollowerOf), Kill(Controls)} {
		t.Run(strings.ReplaceAll(n.Name, " ", "-"), func(t *testing.T) {
			suffer(t, seedFromEnv(t), func(_ *Scene, round int) (Nemesis, bool) { return n, round < rounds })
		})
	}
}

// TestNemeses lets nemeses strike, in random order, until CHAOS_TIME is over:
// "make chaos" takes five minutes. Every minute a fresh cluster takes over.
// CHAOS_ONLY, parts of names with commas between them, chooses among them.
func TestNemeses(t *testing.T) {
	duration := 8 * time.Second
	if s := os.Getenv("CHAOS_TIME"); s != "" {
		d, err := time.ParseDuration(s)
		if err != nil {
			t.Fatalf("CHAOS_TIME: %v", err)
		}
		duration = d
	}
	var all []Nemesis
	for _, n := range Nemeses() {
		for part := range strings.SplitSeq(os.Getenv("CHAOS_ONLY"), ",") {
			if strings.Contains(n.Name, part) {
				all = append(all, n)
				break
			}
		}
	}
	seed, end := seedFromEnv(t), time.Now().Add(duration)
	var left []Nemesis // of the deck
	for i := uint64(0); time.Now().Before(end); i++ {
		fresh := time.Now().Add(time.Minute)
		t.Run(fmt.Sprintf("cluster-%d", i+1), func(t *testing.T) {
			suffer(t, seed+i, func(s *Scene, _ int) (n Nemesis, more bool) {
				if now := time.Now(); now.After(end) || now.After(fresh) {
					return n, false
				}
				if len(left) == 0 {
					left = append(left, all...)
					s.Random.Shuffle(len(left), func(i, j int) { left[i], left[j] = left[j], left[i] })
				}
				n, left = left[0], left[1:]
				return n, true
			})
		})
		if t.Failed() {
			return
		}
	}
}

// suffer runs a cluster under load, lets the nemeses that next chooses strike,
// and checks what the clients were told against what the logs hold.
func suffer(t *testing.T, seed uint64, next func(s *Scene, round int) (Nemesis, bool)) {
	c := startCluster(t, 3)
	createTopic(t, c.Members[0].URL, `{"name":"t","partitions":3,"replication_factor":3}`)
	t.Logf("CHRONIK_CHAOS_SEED=%d", seed)
	s := &Scene{Cluster: c, Random: rand.New(rand.NewPCG(seed, 0)), Topic: "t"}

	load := NewLoad("t", 3, 12)
	load.Target(c.URLs()...)
	loadCtx, stopLoad := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		load.Run(loadCtx)
	}()
	defer func() { stopLoad(); <-ended }()

	for round := 0; ; round++ {
		n, more := next(s, round)
		if !more {
			break
		}
		if err := s.wait(t.Context(), 200*time.Millisecond, time.Second); err != nil {
			t.Fatal(err)
		}
		load.History.Gap()
		_, before := load.History.Counts()
		recovered, err := s.Run(t.Context(), n, patience)
		if err != nil {
			t.Fatalf("round %d: %v\n%s", round, err, c.Logs())
		}
		_, after := load.History.Counts()
		t.Logf("%-28s %6d acknowledged meanwhile, longest silence %5d ms, in sync %4d ms after it ended",
			n.Name, after-before, load.History.Gap().Milliseconds(), recovered.Milliseconds())
	}
	stopLoad()
	<-ended

	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	settle(ctx, t, c, load)
	records, faults := Check(load, c.URLs()[0])
	sent, acked := load.History.Counts()
	t.Logf("%d sent, %d acknowledged, %d in the log, %d said not to be applied, %d duplicates answered, %d read meanwhile",
		sent, acked, records, len(load.History.Refused), load.History.Duplicates, len(load.History.Seen))
	if len(faults) > 0 {
		t.Errorf("promises broken:\n%s\n%s", strings.Join(faults, "\n"), c.Logs())
	}
	expectEqualLogs(ctx, t, c)
}

// settle appends a last record to every partition. Its acknowledgement tells
// that all replicas, which are in sync, have synced all before it.
func settle(ctx context.Context, t *testing.T, c *Cluster, l *Load) {
	t.Helper()
	for p := range l.Partitions {
		value := fmt.Sprintf("last of %d", p)
		l.History.sent(value)
		err := Await(ctx, func() error {
			if !l.record(c.URLs()[0], value, p, value).acked {
				return fmt.Errorf("%s/%d takes no record", l.Topic, p)
			}
			return nil
		})
		if err != nil {
			t.Fatalf("%v\n%s", err, c.Logs())
		}
	}
	l.client.CloseIdleConnections()
	if err := c.Healthy(ctx, l.Topic); err != nil {
		t.Fatal(err)
	}
}
