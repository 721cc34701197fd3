package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestReference is the reference scenario: three nodes, fifty records, the
// leader killed, fifty more through another node, exactly a hundred read, the
// dead node back, three equal logs.
func TestReference(t *testing.T) {
	c := startCluster(t, 3)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()

	// 1. All three run the metadata log and have a controller.
	controller, err := c.Controller(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range c.Members {
		c.awaitLine(ctx, t, m, "applied committed entries")
	}

	// 2. A topic with three replicas: visible everywhere when it is answered.
	createTopic(t, c.Members[0].URL, `{"name":"t","partitions":1,"replication_factor":3}`)
	for _, m := range c.Members {
		parts, err := c.Partitions(ctx, m, "t")
		if err != nil {
			t.Fatal(err)
		}
		all := []int{1, 2, 3}
		if len(parts) != 1 || !slices.Equal(parts[0].Replicas, all) || !slices.Equal(parts[0].ISR, all) ||
			parts[0].Leader != 1 {
			t.Fatalf("node %d shows %+v", m.ID, parts)
		}
		c.awaitLine(ctx, t, m, "initializing partition metadata")
	}

	// 3., 4. Fifty records through node 1.
	acked := map[string]int64{}
	c.Members[0].produceThrough(ctx, t, acked, 0, 50)
	expectExactly(ctx, t, c, c.Members[0], acked)

	// 5., 6. The leader is killed; the others say so and elect one of the ISR.
	killed := time.Now()
	c.Kill(c.Members[0])
	for _, m := range c.Members[1:] {
		c.awaitLine(ctx, t, m, "leader timeout", `"topic":"t"`, `"partition":0`, `"leader":1`)
		c.awaitLine(ctx, t, m, "elected new leader", `"topic":"t"`, `"partition":0`, `"leader":2`, `"isr":[2,3]`)
	}
	t.Logf("controller was node %d; elected after %v", controller.ID, time.Since(killed))

	// 7., 8. Fifty more through node 2; exactly a hundred are there.
	c.Members[1].produceThrough(ctx, t, acked, 50, 100)
	for _, m := range c.Members[1:] {
		expectExactly(ctx, t, c, m, acked)
	}

	// 9. The killed node returns, catches up, and is in the ISR again.
	if err := c.StartNode(ctx, c.Members[0]); err != nil {
		t.Fatal(err)
	}
	if err := c.Healthy(ctx, "t"); err != nil {
		t.Fatalf("%v\n%s", err, c.Logs())
	}
	expectExactly(ctx, t, c, c.Members[0], acked)

	// 10. Three equal logs.
	expectEqualLogs(ctx, t, c)
}

// startCluster starts size nodes on empty directories; they are killed when
// the test ends.
func startCluster(t *testing.T, size int) *Cluster {
	t.Helper()
	return startClusterOn(t, size, "")
}

// startClusterOn is startCluster with the last node on a file system of its
// own, unless disk is "".
func startClusterOn(t *testing.T, size int, disk string, args ...string) *Cluster {
	t.Helper()
	return startClusterOf(t, built(t), size, disk, args...)
}

// startClusterOf is startClusterOn with nodes that run a binary.
func startClusterOf(t *testing.T, bin string, size int, disk string, args ...string) *Cluster {
	t.Helper()
	c, err := NewCluster(bin, clusterDir(t), size, args...)
	if err != nil {
		t.Fatal(err)
	}
	if disk != "" {
		m := c.Members[size-1]
		m.Disk, m.Dir = disk, filepath.Join(disk, "data")
	}
	t.Cleanup(c.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := c.Start(ctx); err != nil {
		t.Fatal(err)
	}
	return c
}

// awaitLine waits for a line of a node's log.
func (c *Cluster) awaitLine(ctx context.Context, t *testing.T, m *Member, msg string, attributes ...string) {
	t.Helper()
	err := Await(ctx, func() error {
		if len(m.proc.Logged(msg, attributes...)) == 0 {
			return fmt.Errorf("node %d did not log %q %v", m.ID, msg, attributes)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, c.Logs())
	}
}

// produceThrough posts the records from to to-1 one by one, with acks=all; all
// must be acknowledged at once.
func (m *Member) produceThrough(ctx context.Context, t *testing.T, acked map[string]int64, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		value := fmt.Sprintf("record %d", i)
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.URL+"/v1/topics/t/records?acks=all",
			strings.NewReader(value))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatalf("record %d of %d through node %d: %v", i, to, m.ID, err)
		}
		var answer struct{ Offset int64 }
		err = json.NewDecoder(resp.Body).Decode(&answer)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusCreated {
			t.Fatalf("record %d of %d through node %d: %s, %v", i, to, m.ID, resp.Status, err)
		}
		acked[value] = answer.Offset
	}
	http.DefaultClient.CloseIdleConnections()
}

// expectExactly reads the whole topic through a node: what was acknowledged,
// each once at its offset, and nothing else.
func expectExactly(ctx context.Context, t *testing.T, c *Cluster, m *Member, acked map[string]int64) {
	t.Helper()
	var page page
	if err := c.Get(ctx, m, "/v1/topics/t/partitions/0/records?offset=0&limit=1000", &page); err != nil {
		t.Fatal(err)
	}
	if len(page.Records) != len(acked) || page.HighWatermark != int64(len(acked)) {
		t.Fatalf("node %d: %d records below the watermark %d; %d were acknowledged",
			m.ID, len(page.Records), page.HighWatermark, len(acked))
	}
	for i, r := range page.Records {
		if offset, ok := acked[r.Value]; !ok || offset != r.Offset || r.Offset != int64(i) {
			t.Fatalf("node %d: record %d is %q at %d; it was acknowledged at %d", m.ID, i, r.Value, r.Offset, offset)
		}
	}
}

// expectEqualLogs stops all nodes and compares what is on their disks.
func expectEqualLogs(ctx context.Context, t *testing.T, c *Cluster) {
	t.Helper()
	if err := c.Stop(ctx); err != nil {
		t.Error(err)
	}
	dirs := make([]string, len(c.Members))
	for i, m := range c.Members {
		dirs[i] = m.Dir
	}
	same, faults, err := CompareReplicas(ctx, dirs...)
	if err != nil {
		t.Fatal(err)
	}
	if len(faults) > 0 {
		t.Errorf("replicas differ:\n%s", strings.Join(faults, "\n"))
	}
	t.Logf("%d bytes are the same on all %d nodes", same, len(dirs))
}

// clusterDir is a directory of the test, or, to look at afterwards, one under
// CHAOS_KEEP.
func clusterDir(t *testing.T) string {
	keep := os.Getenv("CHAOS_KEEP")
	if keep == "" {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(keep, strings.ReplaceAll(t.Name(), "/", "-")+"-")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("kept: %s", dir)
	return dir
}
