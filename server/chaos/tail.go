package chaos

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
)

// Tail reads a whole topic, whose partitions have several leaders, as it is
// written, and must see each record once, in the order of its partition,
// however often leaders change: Run is one of Pages and Events.
type Tail struct {
	Name string
	// Streams counts the requests that it took.
	Streams int

	load *Load
	mu   sync.Mutex
	next []int64 // of each partition: the offset that must come next
}

// NewTail makes a reader of the topic that a load writes. What is wrong goes
// to the load's history.
func NewTail(name string, l *Load) *Tail {
	return &Tail{Name: name, load: l, next: make([]int64, l.Partitions)}
}

// topicRecords is a page, or an event, of several partitions.
type topicRecords struct {
	Records []struct {
		Partition int32  `json:"partition"`
		Offset    int64  `json:"offset"`
		Value     string `json:"value"`
	} `json:"records"`
	Cursor string `json:"cursor"`
}

func (t *Tail) take(page *topicRecords) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range page.Records {
		if r.Offset != t.next[r.Partition] {
			t.load.History.fault("%s: partition %d: offset %d came, %d was next",
				t.Name, r.Partition, r.Offset, t.next[r.Partition])
		}
		t.next[r.Partition] = r.Offset + 1
		t.load.History.saw(Place{r.Partition, r.Offset}, r.Value)
	}
}

// Reached is nil when everything below ends was seen.
func (t *Tail) Reached(ends []int64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !slices.Equal(t.next, ends) {
		return fmt.Errorf("%s has read up to %v of %v", t.Name, t.next, ends)
	}
	return nil
}

// Pages reads page after page until ctx ends, each from another node, with the
// cursor of the one before.
func (t *Tail) Pages(ctx context.Context) {
	cursor := ""
	for ctx.Err() == nil {
		url := t.load.node(t.Streams) + "/v1/topics/" + t.load.Topic + "/records?limit=1000&wait=200ms"
		if cursor == "" {
			url += "&from=earliest"
		} else {
			url += "&cursor=" + cursor
		}
		t.Streams++
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			panic(err) // a URL of our own making
		}
		var page topicRecords
		if !t.load.exchange(req, &page, http.StatusOK).acked {
			pause(ctx)
			continue
		}
		t.take(&page)
		cursor = page.Cursor
	}
}

// Events follows the topic's event stream until ctx ends. As a browser does,
// it stays with a node as long as the stream lasts, and resumes with the last
// event's id; but at another node, beginning with the front-th.
func (t *Tail) Events(ctx context.Context, front int) {
	client := &http.Client{Transport: &http.Transport{}} // a stream has no time limit
	defer client.CloseIdleConnections()
	last := ""
	for ; ctx.Err() == nil; front++ {
		t.Streams++
		err := t.stream(ctx, client, t.load.node(front), &last)
		if errors.Is(err, errStream) {
			t.load.History.fault("%s: %v", t.Name, err)
		}
		pause(ctx)
	}
}

// errStream: a stream breaks a promise by itself.
var errStream = errors.New("event stream")

// stream follows one answer; the error tells why it ended. last is the id to
// resume from.
func (t *Tail) stream(ctx context.Context, client *http.Client, node string, last *string) error {
	url := node + "/v1/topics/" + t.load.Topic + "/records?from=earliest"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		panic(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	if *last != "" {
		req.Header.Set("Last-Event-ID", *last)
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: an EventSource gives up at %s", errStream, resp.Status)
	}
	lines := bufio.NewReaderSize(resp.Body, 64<<10)
	var e event
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return err // an event that was cut off does not count
		}
		if !e.add(bytes.TrimSuffix(line, []byte("\n"))) {
			continue
		}
		if err := t.event(&e, last); err != nil {
			return err
		}
		e = event{}
	}
}

// event is one server-sent event.
type event struct {
	name, id string
	data     []byte
}

// add takes a line and tells whether the event is complete.
func (e *event) add(line []byte) (complete bool) {
	field, value, _ := bytes.Cut(line, []byte(": "))
	switch string(field) {
	case "event":
		e.name = string(value)
	case "id":
		e.id = string(value)
	case "data":
		e.data = append(e.data, value...)
	case "":
		return e.name != ""
	}
	return false
}

func (t *Tail) event(e *event, last *string) error {
	switch e.name {
	case "records":
		var page topicRecords
		if err := json.Unmarshal(e.data, &page); err != nil {
			return fmt.Errorf("%w: %w", errStream, err)
		}
		t.take(&page)
	case "error":
		var problem struct {
			Retryable bool `json:"retryable"`
		}
		if err := json.Unmarshal(e.data, &problem); err != nil || !problem.Retryable {
			return fmt.Errorf("%w: %s", errStream, e.data)
		}
		return io.EOF
	}
	if e.id != "" {
		*last = e.id
	}
	if e.name == "end" {
		return io.EOF
	}
	return nil
}
