package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// Polite drives clients that repeat a request once at most, at another node,
// and only where the answer, or the lack of one, says that they may. During a
// planned restart that is enough: a request that fails twice is a fault.
type Polite struct {
	Load    *Load // topic, targets and history
	mu      sync.Mutex
	asked   int
	retried int
	slowest time.Duration
}

// Run writes single records and reads every partition until ctx ends.
func (p *Polite) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for w := range p.Load.Writers {
		wg.Go(func() { p.write(ctx, w) })
	}
	for i := range p.Load.Partitions {
		wg.Go(func() { p.read(ctx, i) })
	}
	wg.Wait()
	p.Load.client.CloseIdleConnections()
}

// write sends values one after the other, each to the next node.
func (p *Polite) write(ctx context.Context, w int) {
	for n := 0; ctx.Err() == nil; n++ {
		value := fmt.Sprintf("w%d-%d", w, n)
		partition := int32(w+n) % p.Load.Partitions
		path := fmt.Sprintf("/v1/topics/%s/records?partition=%d", p.Load.Topic, partition)
		p.Load.History.sent(value)
		var answer struct {
			Partition int32 `json:"partition"`
			Offset    int64 `json:"offset"`
			Duplicate bool  `json:"duplicate"`
		}
		ok := p.ask(w+n, &answer, func(node string) (*http.Request, error) {
			req, err := http.NewRequest(http.MethodPost, node+path, bytes.NewReader([]byte(value)))
			if err == nil {
				req.Header.Set("Content-Type", "text/plain")
				req.Header.Set("Idempotency-Key", value)
			}
			return req, err
		})
		if ok {
			p.Load.History.acked(value, Place{answer.Partition, answer.Offset}, answer.Duplicate, true)
		}
		pause(ctx)
	}
}

// read follows one partition, each page from the next node.
func (p *Polite) read(ctx context.Context, partition int32) {
	offset := int64(0)
	for n := int(partition); ctx.Err() == nil; n++ {
		path := fmt.Sprintf("/v1/topics/%s/partitions/%d/records?offset=%d&limit=1000&wait=200ms",
			p.Load.Topic, partition, offset)
		var answer page
		ok := p.ask(n, &answer, func(node string) (*http.Request, error) {
			return http.NewRequest(http.MethodGet, node+path, nil)
		})
		if !ok {
			pause(ctx)
			continue
		}
		for _, r := range answer.Records {
			p.Load.History.saw(Place{partition, r.Offset}, r.Value)
		}
		offset = answer.NextOffset
	}
}

// ask makes a request of the n-th node, and once more of the next if that is
// allowed.
func (p *Polite) ask(n int, answer any, request func(node string) (*http.Request, error)) bool {
	began := time.Now()
	again, first := p.try(p.Load.node(n), answer, request)
	var second error
	if first != nil && again {
		_, second = p.try(p.Load.node(n+1), answer, request)
	}
	p.mu.Lock()
	p.asked++
	if first != nil {
		p.retried++
	}
	p.slowest = max(p.slowest, time.Since(began))
	p.mu.Unlock()
	switch {
	case first == nil, again && second == nil:
		return true
	case !again:
		p.Load.History.fault("a request failed and may not be repeated: %v", first)
	default:
		p.Load.History.fault("a request failed twice: %v; then: %v", first, second)
	}
	return false
}

// try makes one attempt, and tells whether another one is allowed.
func (p *Polite) try(node string, answer any, request func(string) (*http.Request, error)) (again bool, err error) {
	req, err := request(node)
	if err != nil {
		return false, err
	}
	resp, err := p.Load.client.Do(req)
	if err != nil {
		return true, err // both requests may be repeated: they read, or have a key
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 32<<20))
	if err != nil {
		return true, err
	}
	if resp.StatusCode < http.StatusMultipleChoices {
		return false, json.Unmarshal(body, answer)
	}
	var problem struct {
		Retryable bool `json:"retryable"`
	}
	if err := json.Unmarshal(body, &problem); err != nil {
		return false, fmt.Errorf("%s: %s is no problem document: %w", resp.Status, body, err)
	}
	return problem.Retryable, fmt.Errorf("%s %s: %s: %s", req.Method, req.URL, resp.Status, body)
}

// Counts are the requests, those that were repeated, and the longest time that
// a client waited, its repetition included.
func (p *Polite) Counts() (asked, retried int, slowest time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked, p.retried, p.slowest
}
