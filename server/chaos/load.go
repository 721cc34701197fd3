package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Load drives clients against a node whose address changes with each restart.
type Load struct {
	Topic      string
	Partitions int32
	Writers    int
	History    *History

	urls   atomic.Pointer[[]string]
	client *http.Client
}

// NewLoad makes a load for the topic.
func NewLoad(topic string, partitions int32, writers int) *Load {
	return &Load{
		Topic: topic, Partitions: partitions, Writers: writers, History: NewHistory(),
		client: &http.Client{
			Timeout:   5 * time.Second,
			Transport: &http.Transport{MaxIdleConnsPerHost: writers + 4},
		},
	}
}

// Target tells the clients where the nodes are now. With several, each attempt
// goes to another one than the last.
func (l *Load) Target(urls ...string) { l.urls.Store(&urls) }

// node is the URL for the n-th attempt.
func (l *Load) node(n int) string {
	urls := *l.urls.Load()
	return urls[n%len(urls)]
}

// Run drives writers and one reader per partition until ctx ends, and returns
// when all have ended.
func (l *Load) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for w := range l.Writers {
		wg.Go(func() { l.write(ctx, w) })
	}
	for p := range l.Partitions {
		wg.Go(func() { l.read(ctx, p) })
	}
	wg.Wait()
	l.client.CloseIdleConnections()
}

// write sends values one after the other. Every third writer repeats a value,
// under its Idempotency-Key, until it is acknowledged; every third sends
// batches; the others send each value once.
func (l *Load) write(ctx context.Context, w int) {
	attempt := w
	for n := 0; ctx.Err() == nil; n++ {
		value := fmt.Sprintf("w%d-%d", w, n)
		partition := int32(w+n) % l.Partitions
		attempt++
		switch w % 3 {
		case 0:
			l.History.sent(value)
			for ctx.Err() == nil && !l.record(l.node(attempt), value, partition, value).acked {
				attempt++
				pause(ctx)
			}
		case 1:
			if !l.batch(l.node(attempt), value, partition) {
				pause(ctx)
			}
		default:
			l.History.sent(value)
			switch answer := l.record(l.node(attempt), value, partition, ""); {
			case answer.notApplied:
				l.History.refused(value)
				pause(ctx)
			case !answer.acked:
				pause(ctx)
			}
		}
	}
}

// answered is how a request ended; the zero value means that nobody knows.
type answered struct {
	acked, notApplied bool
	status            int
}

// record posts one value to a node.
func (l *Load) record(node, value string, p int32, idempotencyKey string) answered {
	url := fmt.Sprintf("%s/v1/topics/%s/records?partition=%d", node, l.Topic, p)
	req, err := http.NewRequest(http.MethodPost, url, bytes.NewReader([]byte(value)))
	if err != nil {
		panic(err) // a URL of our own making
	}
	req.Header.Set("Content-Type", "text/plain")
	if idempotencyKey != "" {
		req.Header.Set("Idempotency-Key", idempotencyKey)
	}
	var answer struct {
		Partition int32 `json:"partition"`
		Offset    int64 `json:"offset"`
		Duplicate bool  `json:"duplicate"`
	}
	a := l.exchange(req, &answer, http.StatusCreated, http.StatusOK)
	if a.acked {
		l.History.acked(value, Place{answer.Partition, answer.Offset}, answer.Duplicate, idempotencyKey != "")
	}
	return a
}

// batch posts ten values at once and tells whether all were acknowledged.
func (l *Load) batch(node, value string, p int32) bool {
	type item struct {
		Value     string `json:"value"`
		Partition int32  `json:"partition"`
	}
	var body struct {
		Records []item `json:"records"`
	}
	for i := range 10 {
		v := value + "." + strconv.Itoa(i)
		l.History.sent(v)
		body.Records = append(body.Records, item{v, p})
	}
	raw, err := json.Marshal(body)
	if err != nil {
		panic(err) // strings and numbers
	}
	req, err := http.NewRequest(http.MethodPost, node+"/v1/topics/"+l.Topic+"/batches", bytes.NewReader(raw))
	if err != nil {
		panic(err)
	}
	req.Header.Set("Content-Type", "application/json")
	var answer struct {
		Results []struct {
			Partition int32  `json:"partition"`
			Offset    *int64 `json:"offset"`
		} `json:"results"`
	}
	a := l.exchange(req, &answer, http.StatusCreated, http.StatusOK, http.StatusMultiStatus)
	if a.notApplied {
		for i := range body.Records {
			l.History.refused(body.Records[i].Value)
		}
	}
	all := a.acked
	for i, r := range answer.Results {
		if r.Offset == nil {
			all = false
			continue
		}
		l.History.acked(body.Records[i].Value, Place{r.Partition, *r.Offset}, false, false)
	}
	return all
}

// read follows one partition from its start and notes what it sees.
func (l *Load) read(ctx context.Context, p int32) {
	attempt := int(p)
	for offset := int64(0); ctx.Err() == nil; attempt++ {
		page, err := l.page(l.node(attempt), p, offset, "&wait=200ms")
		if err != nil {
			pause(ctx)
			continue
		}
		for _, r := range page.Records {
			l.History.saw(Place{p, r.Offset}, r.Value)
		}
		offset = page.NextOffset
	}
}

// page is one answer to a read.
type page struct {
	Records []struct {
		Offset int64  `json:"offset"`
		Value  string `json:"value"`
	} `json:"records"`
	NextOffset    int64 `json:"next_offset"`
	HighWatermark int64 `json:"high_watermark"`
}

func (l *Load) page(url string, p int32, offset int64, more string) (page, error) {
	req, err := http.NewRequest(http.MethodGet,
		fmt.Sprintf("%s/v1/topics/%s/partitions/%d/records?offset=%d&limit=1000%s", url, l.Topic, p, offset, more), nil)
	if err != nil {
		return page{}, err
	}
	var answer page
	if !l.exchange(req, &answer, http.StatusOK).acked {
		return page{}, fmt.Errorf("read %s/%d from %d failed", l.Topic, p, offset)
	}
	return answer, nil
}

// exchange sends a request and decodes the answer if its status is one of
// those.
func (l *Load) exchange(req *http.Request, answer any, statuses ...int) answered {
	resp, err := l.client.Do(req)
	if err != nil {
		return answered{}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 32<<20))
	if err != nil {
		return answered{}
	}
	if slices.Contains(statuses, resp.StatusCode) {
		return answered{acked: json.Unmarshal(body, answer) == nil, status: resp.StatusCode}
	}
	if resp.StatusCode < http.StatusInternalServerError && resp.StatusCode != http.StatusTooManyRequests {
		l.History.fault("%s %s: %s: %s", req.Method, req.URL, resp.Status, body)
	}
	var problem struct {
		Outcome string `json:"outcome"`
	}
	if json.Unmarshal(body, &problem) != nil || problem.Outcome != "not_applied" && problem.Outcome != "unknown" {
		l.History.fault("%s %s: %s says no outcome: %s", req.Method, req.URL, resp.Status, body)
	}
	return answered{notApplied: problem.Outcome == "not_applied", status: resp.StatusCode}
}

// pause is the client's wait before it tries a dead node again.
func pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(5 * time.Millisecond):
	}
}
