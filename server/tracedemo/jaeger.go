package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	// jaegerWait is how long a trace may take to be whole, jaegerPause how long
	// until Jaeger is asked again: it tells nobody of a span that arrives.
	jaegerWait, jaegerPause = 30 * time.Second, 100 * time.Millisecond
	maxTrace                = 16 << 20
)

// jaegerTrace is a trace as Jaeger's query API answers it.
type jaegerTrace struct {
	TraceID   string                   `json:"traceID"`
	Spans     []jaegerSpan             `json:"spans"`
	Processes map[string]jaegerProcess `json:"processes"`
}

type jaegerSpan struct {
	SpanID     string            `json:"spanID"`
	Operation  string            `json:"operationName"`
	References []jaegerReference `json:"references"`
	Start      int64             `json:"startTime"` // microseconds
	Duration   int64             `json:"duration"`
	Process    string            `json:"processID"`
	Tags       []jaegerTag       `json:"tags"`
}

// jaegerReference is a parent (CHILD_OF) or a link (FOLLOWS_FROM).
type jaegerReference struct {
	Type    string `json:"refType"`
	TraceID string `json:"traceID"`
	SpanID  string `json:"spanID"`
}

type jaegerProcess struct {
	Service string      `json:"serviceName"`
	Tags    []jaegerTag `json:"tags"`
}

type jaegerTag struct {
	Key   string `json:"key"`
	Value any    `json:"value"`
}

func tag(tags []jaegerTag, key string) string {
	for i := range tags {
		if tags[i].Key == key {
			return fmt.Sprint(tags[i].Value)
		}
	}
	return ""
}

// node is the instance that made a span.
func (t *jaegerTrace) node(s *jaegerSpan) string {
	return tag(t.Processes[s.Process].Tags, "service.instance.id")
}

func (s *jaegerSpan) parent() string {
	for i := range s.References {
		if s.References[i].Type == "CHILD_OF" {
			return s.References[i].SpanID
		}
	}
	return ""
}

// links are the spans of other traces that a span refers to.
func (t *jaegerTrace) links(s *jaegerSpan) (list []jaegerReference) {
	for i := range s.References {
		if s.References[i].TraceID != t.TraceID {
			list = append(list, s.References[i])
		}
	}
	return list
}

// count is the number of spans of a name.
func (t *jaegerTrace) count(operation string) (n int) {
	for i := range t.Spans {
		if t.Spans[i].Operation == operation {
			n++
		}
	}
	return n
}

// walk calls fn for each span after its parent; those of one parent by name
// and node.
func (t *jaegerTrace) walk(fn func(depth int, s *jaegerSpan)) {
	known := map[string]bool{}
	for i := range t.Spans {
		known[t.Spans[i].SpanID] = true
	}
	children := map[string][]*jaegerSpan{}
	for i := range t.Spans {
		s := &t.Spans[i]
		parent := s.parent()
		if !known[parent] {
			parent = "" // the client's, which sends nothing here
		}
		children[parent] = append(children[parent], s)
	}
	var down func(parent string, depth int)
	down = func(parent string, depth int) {
		slices.SortFunc(children[parent], func(a, b *jaegerSpan) int {
			return cmp.Or(cmp.Compare(a.Operation, b.Operation), cmp.Compare(t.node(a), t.node(b)))
		})
		for _, s := range children[parent] {
			fn(depth, s)
			down(s.SpanID, depth+1)
		}
	}
	down("", 0)
}

// tree draws the trace for people.
func (t *jaegerTrace) tree() string {
	var b strings.Builder
	t.walk(func(depth int, s *jaegerSpan) {
		name := strings.Repeat("  ", depth) + s.Operation
		fmt.Fprintf(&b, "  %-54s node %s %8d µs", name, t.node(s), s.Duration)
		for _, l := range t.links(s) {
			fmt.Fprintf(&b, "   linked with trace %s", l.TraceID)
		}
		b.WriteByte('\n')
	})
	return b.String()
}

// await asks for a trace until it is whole.
func (d *demo) await(ctx context.Context, id string, whole func(*jaegerTrace) bool) (*jaegerTrace, error) {
	ctx, cancel := context.WithTimeout(ctx, jaegerWait)
	defer cancel()
	var t *jaegerTrace
	for {
		found, err := d.trace(ctx, id)
		if err == nil && whole(found) {
			return found, nil
		}
		if err == nil {
			t = found
		}
		select {
		case <-time.After(jaegerPause):
		case <-ctx.Done():
			if t != nil {
				return nil, fmt.Errorf("trace %s has not become whole in %s:\n%s", id, jaegerWait, t.tree())
			}
			return nil, fmt.Errorf("trace %s is not in Jaeger after %s: %w", id, jaegerWait, err)
		}
	}
}

func (d *demo) trace(ctx context.Context, id string) (*jaegerTrace, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.jaeger+"/api/traces/"+id, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxTrace))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %.200s", resp.Status, body)
	}
	var answer struct {
		Data []jaegerTrace `json:"data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, err
	}
	if len(answer.Data) != 1 {
		return nil, fmt.Errorf("%d traces of one id", len(answer.Data))
	}
	return &answer.Data[0], nil
}

// page is where Jaeger shows a trace to people.
func (d *demo) page(t *jaegerTrace) string { return d.jaeger + "/trace/" + t.TraceID }
