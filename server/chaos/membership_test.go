package chaos

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestMembersChange has a node join, another one give up everything and be
// removed, and a third die right after, under load: nothing is lost, and no
// request fails twice.
func TestMembersChange(t *testing.T) {
	bin, dir := built(t), t.TempDir()
	c, err := NewDirectCluster(bin, dir, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	if err := c.Start(ctx); err != nil {
		t.Fatal(err)
	}
	load := NewLoad("t", 3, 6)
	load.client.Timeout = 20 * time.Second
	load.Target(c.URLs()...)
	createTopic(t, c.Members[0].URL, `{"name":"t","partitions":3,"replication_factor":3}`)
	polite := &Polite{Load: load}
	loadCtx, stop := context.WithCancel(ctx)
	defer stop()
	var loading sync.WaitGroup
	loading.Go(func() { polite.Run(loadCtx) })

	fourth, err := c.Join(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.StartNode(ctx, fourth); err != nil {
		t.Fatal(err)
	}
	first, second, third := c.Members[0], c.Members[1], c.Members[2]
	leave(t, c, first, second, func() { load.Target(first.URL, third.URL, fourth.URL) })

	// What is left are three voters, of which one may die.
	load.Target(first.URL, fourth.URL)
	time.Sleep(100 * time.Millisecond) // for requests that are on their way to it
	c.Kill(third)
	_, before := load.History.Counts()
	progress := func() error {
		if _, now := load.History.Counts(); now < before+50 {
			return fmt.Errorf("%d records were acknowledged", now-before)
		}
		return nil
	}
	if err := Await(ctx, progress); err != nil {
		t.Fatalf("%v\n%s", err, c.Logs())
	}
	stop()
	loading.Wait()
	if err := c.StartNode(ctx, third); err != nil {
		t.Fatal(err)
	}
	c.Members = []*Member{first, third, fourth}
	if err := c.Healthy(ctx, "t"); err != nil {
		t.Fatal(err)
	}
	for _, m := range c.Members {
		records, faults := Check(load, m.URL)
		if len(faults) > 0 || records < 100 {
			t.Errorf("node %d: %d records, promises broken:\n%s\n%s",
				m.ID, records, strings.Join(faults, "\n"), c.Logs())
		}
	}
	asked, retried, slowest := polite.Counts()
	t.Logf("%d requests, %d repeated, the slowest took %v", asked, retried, slowest)
}

// leave drains a node, stops it and removes it, as an operator does through
// another one. before is called when it holds nothing any more.
func leave(t *testing.T, c *Cluster, through, m *Member, before func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	node := fmt.Sprintf("%s/v1/cluster/nodes/%d", through.URL, m.ID)
	drain := func() error {
		return c.post(ctx, node+"/drain", "application/json", `{"replicas":true,"throttle_bytes_per_second":10485760}`)
	}
	if err := Await(ctx, drain); err != nil { // once the new node is known
		t.Fatal(err)
	}
	remove := func() int {
		req, err := http.NewRequestWithContext(ctx, http.MethodDelete, node, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close() // it has no body, or a problem
		return resp.StatusCode
	}
	if status := remove(); status != http.StatusConflict {
		t.Errorf("removing a node that runs: %d", status)
	}
	empty := func() error {
		parts, err := c.Partitions(ctx, through, "t")
		for _, p := range parts {
			if slices.Contains(p.Replicas, m.ID) {
				return fmt.Errorf("t/%d is on %v", p.Number, p.Replicas)
			}
		}
		return err
	}
	if err := Await(ctx, empty); err != nil {
		t.Fatalf("%v\n%s", err, c.Logs())
	}
	before()
	if err := c.StopNode(ctx, m); err != nil {
		t.Fatal(err)
	}
	if err := Await(ctx, func() error {
		if status := remove(); status != http.StatusNoContent {
			return fmt.Errorf("remove node %d: %d", m.ID, status)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
