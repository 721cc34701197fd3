package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Place is where a record lies.
type Place struct {
	Partition int32
	Offset    int64
}

// History is what clients were told. It is written by Load's clients and read
// by Check once they have ended.
type History struct {
	mu sync.Mutex
	// Acked maps acknowledged values to where they were said to lie.
	Acked map[string]Place
	// Sent are all values that were ever sent.
	Sent map[string]bool
	// Seen is what readers saw, by place.
	Seen map[Place]string
	// Duplicates counts answers that said "duplicate".
	Duplicates int
	// Faults are answers that break a promise by themselves.
	Faults []string
}

// NewHistory is empty.
func NewHistory() *History {
	return &History{Acked: map[string]Place{}, Sent: map[string]bool{}, Seen: map[Place]string{}}
}

// Load drives clients against a node whose address changes with each restart.
type Load struct {
	Topic      string
	Partitions int32
	Writers    int
	History    *History

	url    atomic.Pointer[string]
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

// Target tells the clients where the node is now.
func (l *Load) Target(url string) { l.url.Store(&url) }

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
	for n := 0; ctx.Err() == nil; n++ {
		value := fmt.Sprintf("w%d-%d", w, n)
		partition := int32(w+n) % l.Partitions
		switch w % 3 {
		case 0:
			l.History.sent(value)
			for ctx.Err() == nil && !l.record(value, partition, value) {
				pause(ctx)
			}
		case 1:
			if !l.batch(value, partition) {
				pause(ctx)
			}
		default:
			l.History.sent(value)
			if !l.record(value, partition, "") {
				pause(ctx)
			}
		}
	}
}

// record posts one value and tells whether it was acknowledged.
func (l *Load) record(value string, p int32, idempotencyKey string) bool {
	url := fmt.Sprintf("%s/v1/topics/%s/records?partition=%d", *l.url.Load(), l.Topic, p)
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
	if !l.exchange(req, &answer, http.StatusCreated, http.StatusOK) {
		return false
	}
	l.History.acked(value, Place{answer.Partition, answer.Offset}, answer.Duplicate, idempotencyKey != "")
	return true
}

// batch posts ten values at once and tells whether there was an answer.
func (l *Load) batch(value string, p int32) bool {
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
	req, err := http.NewRequest(http.MethodPost, *l.url.Load()+"/v1/topics/"+l.Topic+"/batches", bytes.NewReader(raw))
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
	if !l.exchange(req, &answer, http.StatusCreated, http.StatusOK, http.StatusMultiStatus) {
		return false
	}
	for i, r := range answer.Results {
		if r.Offset != nil {
			l.History.acked(body.Records[i].Value, Place{r.Partition, *r.Offset}, false, false)
		}
	}
	return true
}

// read follows one partition from its start and notes what it sees.
func (l *Load) read(ctx context.Context, p int32) {
	for offset := int64(0); ctx.Err() == nil; {
		page, err := l.page(*l.url.Load(), p, offset, "&wait=200ms")
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
	if !l.exchange(req, &answer, http.StatusOK) {
		return page{}, fmt.Errorf("read %s/%d from %d failed", l.Topic, p, offset)
	}
	return answer, nil
}

// exchange sends a request and decodes the answer if its status is one of
// those; false otherwise.
func (l *Load) exchange(req *http.Request, answer any, statuses ...int) bool {
	resp, err := l.client.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 32<<20))
	if err != nil {
		return false
	}
	for _, s := range statuses {
		if resp.StatusCode == s {
			return json.Unmarshal(body, answer) == nil
		}
	}
	if resp.StatusCode < http.StatusInternalServerError && resp.StatusCode != http.StatusTooManyRequests {
		l.History.fault("%s %s: %s: %s", req.Method, req.URL, resp.Status, body)
	}
	return false
}

func (h *History) sent(value string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.Sent[value] = true
}

func (h *History) acked(value string, at Place, duplicate, mayRepeat bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.Acked[value] = at
	if duplicate {
		h.Duplicates++
		if !mayRepeat {
			h.Faults = append(h.Faults, value+" was called a duplicate though it was sent once")
		}
	}
}

func (h *History) saw(at Place, value string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if before, ok := h.Seen[at]; ok && before != value {
		h.Faults = append(h.Faults, fmt.Sprintf("%v changed from %q to %q", at, before, value))
	}
	h.Seen[at] = value
}

func (h *History) fault(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.Faults) < 100 {
		h.Faults = append(h.Faults, fmt.Sprintf(format, args...))
	}
}

// pause is the client's wait before it tries a dead node again.
func pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(5 * time.Millisecond):
	}
}
