package chaos

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// deposeLeader cuts a leader off until another one has been elected and has
// acknowledged a record. The old one does not know it is deposed, and its log
// ends where the client saw it end. It must neither refuse a condition that
// holds, nor say that the log ends there: both would be final to the client.
// What it takes and can't replicate must be gone from its log afterwards.
func deposeLeader(ctx context.Context, c *Cluster) (faults []string, err error) {
	load := NewLoad("t", 1, 1)
	defer load.client.CloseIdleConnections()
	load.Target(c.URLs()...)
	first := appendOne(ctx, load, c.Members[0], "first")
	old, err := c.Leader(ctx, "t", 0)
	if err != nil {
		return nil, err
	}
	others := (&Scene{Cluster: c}).without(old)
	for _, m := range others {
		c.Net.Cut(old.ID, m.ID)
		c.Net.Cut(m.ID, old.ID)
	}
	second := appendOne(ctx, load, others[0], "second")
	if first != 0 || second != 1 {
		return nil, fmt.Errorf("records at %d and %d", first, second)
	}
	for _, value := range []string{"third", "stray"} { // they may be taken once they can be
		load.History.sent(value)
	}
	faults = askDeposed(ctx, load, old,
		"POST /v1/topics/t/records?partition=0&expect_offset=2", "GET /v1/topics/t/partitions/0/records?offset=2")
	short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	faults = append(faults, ask(short, load, old, "POST /v1/topics/t/records?partition=0", "stray")...)

	c.Net.Heal(false)
	if err := c.Healthy(ctx, "t"); err != nil {
		return faults, err
	}
	_, broken := Check(load, old.URL)
	faults = append(faults, broken...)
	if err := c.Stop(ctx); err != nil {
		return faults, err
	}
	_, differ, err := CompareReplicas(ctx, c.Members[0].Dir, c.Members[1].Dir, c.Members[2].Dir)
	for _, d := range differ {
		faults = append(faults, "replicas differ: "+d)
	}
	return faults, err
}

// askDeposed asks a leader that was deposed, for a second, at the same time.
func askDeposed(ctx context.Context, l *Load, old *Member, questions ...string) (faults []string) {
	ctx, stop := context.WithTimeout(ctx, time.Second)
	defer stop()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, q := range questions {
		wg.Go(func() {
			found := ask(ctx, l, old, q, "third")
			mu.Lock()
			defer mu.Unlock()
			faults = append(faults, found...)
		})
	}
	wg.Wait()
	return faults
}

// ask sends a request that can't be answered but with an error of the server's.
func ask(ctx context.Context, l *Load, m *Member, question, body string) (faults []string) {
	method, path, _ := strings.Cut(question, " ")
	req, err := http.NewRequestWithContext(ctx, method, m.URL+path, strings.NewReader(body))
	if err != nil {
		panic(err) // a URL of our own making
	}
	resp, err := l.client.Do(req)
	if err != nil {
		return nil // it still waits for the next leader: right
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body) // for the message only
	if resp.StatusCode < http.StatusInternalServerError {
		return []string{fmt.Sprintf("the deposed leader answered %s: %s %s", question, resp.Status, text)}
	}
	return nil
}

// appendOne appends a record through a node, as long as ctx lasts, and returns
// its offset, -1 if there is none.
func appendOne(ctx context.Context, l *Load, m *Member, value string) int64 {
	l.History.sent(value)
	err := Await(ctx, func() error {
		if !l.record(m.URL, value, 0, value).acked {
			return fmt.Errorf("node %d takes no record", m.ID)
		}
		return nil
	})
	if err != nil {
		return -1
	}
	return l.History.Acked[value].Offset
}
