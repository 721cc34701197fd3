package chaos

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestRollingRestart stops (SIGTERM) and starts every node in turn, under
// load: no request fails beyond one repetition, readers miss nothing.
// CHRONIK_ROLLING=10 goes round ten times.
func TestRollingRestart(t *testing.T) {
	bin, rounds := built(t), 1
	if s := os.Getenv("CHRONIK_ROLLING"); s != "" {
		var err error
		if rounds, err = strconv.Atoi(s); err != nil {
			t.Fatalf("CHRONIK_ROLLING: %v", err)
		}
	}
	c, err := NewDirectCluster(bin, t.TempDir(), 3)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	load := NewLoad("t", 3, 6)
	load.client.Timeout = 20 * time.Second
	load.Target(c.URLs()...)
	createTopic(t, c.Members[0].URL, `{"name":"t","partitions":3,"replication_factor":3}`)
	polite, tail := &Polite{Load: load}, NewTail("events", load)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var writing, tailing sync.WaitGroup
	tailCtx, stopTail := context.WithCancel(t.Context())
	defer stopTail()
	writing.Go(func() { polite.Run(ctx) })
	tailing.Go(func() { tail.Events(tailCtx, 0) })

	for range rounds {
		for _, m := range c.Members {
			restart(t, c, m)
		}
	}
	stop()
	writing.Wait()
	awaitTail(t, c, tail)
	stopTail()
	tailing.Wait()

	records, faults := Check(load, c.Members[0].URL)
	asked, retried, slowest := polite.Counts()
	t.Logf("%d requests, %d repeated, the slowest took %v; %d records, %d streams",
		asked, retried, slowest, records, tail.Streams)
	if asked < 100 {
		t.Error("too little happened to prove anything")
	}
	// A stream ends with its node; the next node may be the next to go.
	if most := 1 + 2*rounds*len(c.Members); tail.Streams > most {
		t.Errorf("%d streams, want at most %d", tail.Streams, most)
	}
	if len(faults) > 0 {
		t.Errorf("promises broken:\n%s\n%s", strings.Join(faults, "\n"), c.Logs())
	}
}

// restart stops a node in good order, starts it again, and returns when its
// replicas are in sync and it leads what it should.
func restart(t *testing.T, c *Cluster, m *Member) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	began := time.Now()
	if err := c.StopNode(ctx, m); err != nil {
		t.Fatal(err)
	}
	stopped := time.Now()
	if err := c.StartNode(ctx, m); err != nil {
		t.Fatal(err)
	}
	if err := c.Healthy(ctx, "t"); err != nil {
		t.Fatalf("%v\n%s", err, c.Logs())
	}
	inSync := time.Now()
	if err := preferred(ctx, c, m); err != nil {
		t.Fatalf("%v\n%s", err, c.Logs())
	}
	t.Logf("node %d: stopped in %v, in sync after %v, preferred leaders after %v",
		m.ID, stopped.Sub(began), inSync.Sub(stopped), time.Since(inSync))
}

// preferred returns when every partition is led by its first replica, though
// nobody asked for it.
func preferred(ctx context.Context, c *Cluster, m *Member) error {
	return Await(ctx, func() error {
		parts, err := c.Partitions(ctx, m, "t")
		if err != nil {
			return err
		}
		for _, p := range parts {
			if p.Leader != p.Replicas[0] {
				return fmt.Errorf("t/%d is led by node %d of %v", p.Number, p.Leader, p.Replicas)
			}
		}
		return nil
	})
}

// awaitTail returns when a reader has seen everything.
func awaitTail(t *testing.T, c *Cluster, tail *Tail) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	parts, err := c.Partitions(ctx, c.Members[0], "t")
	if err != nil {
		t.Fatal(err)
	}
	var ends []int64
	for _, p := range parts {
		ends = append(ends, p.HighWatermark)
	}
	if err := Await(ctx, func() error { return tail.Reached(ends) }); err != nil {
		t.Error(err)
	}
}
