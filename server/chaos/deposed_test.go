package chaos

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestDeposedLeader cuts a leader off until another one has been elected and
// has acknowledged a record. The old one does not know it is deposed, and its
// log ends where the client saw it end. It must neither refuse a condition that
// holds, nor say that the log ends there: both would be final to the client.
func TestDeposedLeader(t *testing.T) {
	c := startCluster(t, 3)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	createTopic(t, c.Members[0].URL, `{"name":"t","replication_factor":3}`)
	load := NewLoad("t", 1, 1)
	t.Cleanup(load.client.CloseIdleConnections)
	first := appendOne(ctx, t, load, c.Members[0], "first")
	old, err := c.Leader(ctx, "t", 0)
	if err != nil {
		t.Fatal(err)
	}
	var others []*Member
	for _, m := range c.Members {
		if m != old {
			others = append(others, m)
			c.Net.Cut(old.ID, m.ID)
			c.Net.Cut(m.ID, old.ID)
		}
	}
	second := appendOne(ctx, t, load, others[0], "second")
	if first != 0 || second != 1 {
		t.Fatalf("records at %d and %d", first, second)
	}

	asking, stop := context.WithTimeout(ctx, time.Second)
	defer stop()
	var wg sync.WaitGroup
	for _, q := range []string{
		"POST /v1/topics/t/records?partition=0&expect_offset=2",
		"GET /v1/topics/t/partitions/0/records?offset=2",
	} {
		wg.Go(func() {
			method, path, _ := strings.Cut(q, " ")
			req, err := http.NewRequestWithContext(asking, method, old.URL+path, strings.NewReader("third"))
			if err != nil {
				t.Error(err)
				return
			}
			resp, err := load.client.Do(req)
			if err != nil {
				return // it still waits for the next leader: right
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(resp.Body) // for the message only
			if resp.StatusCode < 500 {
				t.Errorf("the deposed leader answered %s: %s %s", q, resp.Status, body)
			}
		})
	}
	wg.Wait()
	c.Net.Heal(false)
	if err := c.Healthy(ctx, "t"); err != nil {
		t.Fatal(err)
	}
	load.Target(c.URLs()...)
	load.History.sent("first")
	load.History.sent("second")
	load.History.sent("third") // it may have been taken once it could be
	if _, faults := Check(load, old.URL); len(faults) > 0 {
		t.Error(strings.Join(faults, "\n"))
	}
}

// appendOne appends a record through a node, however long that takes, and
// returns its offset.
func appendOne(ctx context.Context, t *testing.T, l *Load, m *Member, value string) int64 {
	t.Helper()
	err := Await(ctx, func() error {
		if !l.record(m.URL, value, 0, value).acked {
			return fmt.Errorf("node %d takes no record", m.ID)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return l.History.Acked[value].Offset
}
