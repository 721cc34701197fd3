package servertest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// answer is a response read to its end.
type answer struct {
	*http.Response
	body []byte
}

// call sends a request, "METHOD /path"; header is "Name: value" lines.
func call(t testing.TB, n *Node, what, body string, header ...string) answer {
	t.Helper()
	method, path, _ := strings.Cut(what, " ")
	req, err := http.NewRequestWithContext(t.Context(), method, n.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range header {
		if h == wrong {
			req = req.WithContext(Bad(req.Context()))
			continue
		}
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Add(name, value)
	}
	resp, err := n.Client.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer{resp, raw}
}

const jsonType = "Content-Type: application/json"

// wrong stands among the headers of a request that breaks the description on
// purpose.
const wrong = "wrong on purpose"

// want fails the test unless the status is the given one.
func (a answer) want(t testing.TB, status int) answer {
	t.Helper()
	if a.StatusCode != status {
		t.Fatalf("%s %s: %s, want %d: %s", a.Request.Method, a.Request.URL, a.Status, status, a.body)
	}
	return a
}

// decode reads the body as JSON.
func (a answer) decode(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal(a.body, v); err != nil {
		t.Fatalf("%s: %v", a.body, err)
	}
}

// code is the problem's code.
func (a answer) code(t testing.TB) string {
	t.Helper()
	var p struct {
		Code    string `json:"code"`
		Outcome string `json:"outcome"`
	}
	a.decode(t, &p)
	if p.Outcome == "" {
		t.Errorf("the problem tells no outcome: %s", a.body)
	}
	return p.Code
}

func create(t testing.TB, n *Node, spec string) {
	t.Helper()
	call(t, n, "POST /v1/topics", spec, jsonType).want(t, http.StatusCreated)
}

type appended struct {
	Partition int32 `json:"partition"`
	Offset    int64 `json:"offset"`
	Timestamp int64 `json:"timestamp"`
	Duplicate bool  `json:"duplicate"`
}

// produce appends one record to "topic" or "topic?query".
func produce(t testing.TB, n *Node, target, value string, header ...string) appended {
	t.Helper()
	topic, query, _ := strings.Cut(target, "?")
	a := call(t, n, "POST /v1/topics/"+topic+"/records?"+query, value, append(header, "Content-Type: text/plain")...)
	if a.StatusCode != http.StatusCreated && a.StatusCode != http.StatusOK {
		t.Fatalf("produce: %s: %s", a.Status, a.body)
	}
	var r appended
	a.decode(t, &r)
	return r
}

type readPage struct {
	Records []struct {
		Offset  int64  `json:"offset"`
		Value   string `json:"value"`
		Headers []struct {
			Name  string `json:"name"`
			Value string `json:"value"`
		} `json:"headers"`
	} `json:"records"`
	NextOffset     int64 `json:"next_offset"`
	HighWatermark  int64 `json:"high_watermark"`
	LogStartOffset int64 `json:"log_start_offset"`
}

func read(t testing.TB, n *Node, topic string, p int32, query string) readPage {
	t.Helper()
	var page readPage
	call(t, n, "GET "+fmt.Sprintf("/v1/topics/%s/partitions/%d/records?%s", topic, p, query), "").
		want(t, http.StatusOK).decode(t, &page)
	return page
}

// values are the page's records, joined.
func (p readPage) values() string {
	var b bytes.Buffer
	for i, r := range p.Records {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(r.Value)
	}
	return b.String()
}
