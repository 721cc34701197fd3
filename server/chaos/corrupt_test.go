package chaos

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestCorruptSegment flips a bit of a replica's sealed segment while its node
// is down. The replica is found out when it is read, never shown, and copied
// anew from the others.
func TestCorruptSegment(t *testing.T) {
	c := startCluster(t, 3)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	createTopic(t, c.Members[0].URL, `{"name":"t","replication_factor":3,"configs":{"segment.bytes":"65536"}}`)
	victim, err := c.Leader(ctx, "t", 0)
	if err != nil {
		t.Fatal(err)
	}
	load := NewLoad("t", 1, 1)
	t.Cleanup(load.client.CloseIdleConnections)
	load.Target(c.URLs()...)
	const records = 200
	for i := range records {
		value := fmt.Sprintf("%d %s", i, strings.Repeat("x", 2000))
		load.History.sent(value)
		if !load.record(c.Members[0].URL, value, 0, "").acked {
			t.Fatalf("record %d was not acknowledged", i)
		}
	}
	if err := c.StopNode(ctx, victim); err != nil {
		t.Fatal(err)
	}
	flipBit(t, victim.Dir)
	if err := c.StartNode(ctx, victim); err != nil {
		t.Fatal(err)
	}
	// It leads again, as the first of the replicas, and is read from its start.
	err = Await(ctx, func() error {
		if _, err := load.page(victim.URL, 0, 0, ""); err != nil {
			return err
		}
		if len(victim.proc.Logged("a corrupt replica is copied anew")) == 0 {
			return fmt.Errorf("node %d has not found the damage", victim.ID)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, c.Logs())
	}
	if err := Settle(ctx, c, load); err != nil {
		t.Fatal(err)
	}
	if _, faults := Check(load, victim.URL); len(faults) > 0 {
		t.Errorf("promises broken:\n%s", strings.Join(faults, "\n"))
	}
	expectEqualLogs(ctx, t, c)
}

// flipBit damages the middle of the first segment in a data directory.
func flipBit(t *testing.T, dir string) {
	t.Helper()
	var name string
	err := filepath.WalkDir(filepath.Join(dir, "logs"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".seg") && (name == "" || path < name) {
			name = path
		}
		return err
	})
	if err != nil || name == "" {
		t.Fatalf("no segment: %v", err)
	}
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/2] ^= 4
	if err := os.WriteFile(name, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Logf("flipped a bit in the middle of %s, %d bytes", filepath.Base(name), len(raw))
}
