package api_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/chroniklog/chronik/server/servertest"
	"github.com/chroniklog/chronik/storage/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// answer is a response, read to its end.
type answer struct {
	t testing.TB
	*http.Response
	body []byte
}

type header = [2]string

var asJSON = header{"Content-Type", "application/json"}

// call sends "METHOD /path" with a body and headers.
func call(t testing.TB, n *servertest.Node, what string, body []byte, headers ...header) answer {
	t.Helper()
	return roundTrip(t, n, request(t, n, what, body, headers...))
}

// bad is call for a request that breaks openapi.yaml on purpose.
func bad(t testing.TB, n *servertest.Node, what string, body []byte, headers ...header) answer {
	t.Helper()
	r := request(t, n, what, body, headers...)
	return roundTrip(t, n, r.WithContext(servertest.Bad(r.Context())))
}

func request(t testing.TB, n *servertest.Node, what string, body []byte, headers ...header) *http.Request {
	t.Helper()
	method, path, _ := strings.Cut(what, " ")
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, n.URL+path, reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		r.Header.Add(h[0], h[1])
	}
	return r
}

func roundTrip(t testing.TB, n *servertest.Node, r *http.Request) answer {
	t.Helper()
	resp, err := n.Client.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	return answer{t, resp, body}
}

func (a answer) want(status int) answer {
	a.t.Helper()
	if a.StatusCode != status {
		a.t.Fatalf("%s %s: %s, want %d: %s", a.Request.Method, a.Request.URL, a.Status, status, a.body)
	}
	return a
}

// problem wants a problem of that status and code, and returns it.
func (a answer) problem(status int, code string) problem {
	a.t.Helper()
	a.want(status)
	var p problem
	a.decode(&p)
	if p.Code != code {
		a.t.Errorf("%s %s: code %s, want %s: %s", a.Request.Method, a.Request.URL, p.Code, code, p.Detail)
	}
	return p
}

func (a answer) decode(v any) {
	a.t.Helper()
	if err := json.Unmarshal(a.body, v); err != nil {
		a.t.Fatalf("%s: %v", a.body, err)
	}
}

type problem struct {
	Code           string
	Detail         string
	Outcome        string
	Parameter      string
	Field          string
	CurrentOffset  *int64 `json:"current_offset"`
	LogStartOffset *int64 `json:"log_start_offset"`
	HighWatermark  *int64 `json:"high_watermark"`
	ExpectedSeq    *int64 `json:"expected_seq"`
}

type produced struct {
	Partition int32
	Offset    int64
	Timestamp int64
	Duplicate bool
	Error     *problem
	Line      int64
}

func (a answer) produced() produced {
	a.t.Helper()
	var p produced
	a.decode(&p)
	return p
}

// wire is a record as JSON shows it.
type wire struct {
	Partition   int32           `json:"partition"`
	Offset      int64           `json:"offset"`
	Timestamp   int64           `json:"timestamp"`
	Key         *string         `json:"key"`
	KeyEncoding string          `json:"key_encoding"`
	Value       *string         `json:"value"`
	Encoding    string          `json:"encoding"`
	JSON        json.RawMessage `json:"json"`
	Headers     []struct {
		Name     string  `json:"name"`
		Value    *string `json:"value"`
		Encoding string  `json:"encoding"`
	} `json:"headers"`

	// What an NDJSON line can be beside a record.
	Heartbeat *position `json:"heartbeat"`
	End       *position `json:"end"`
	Error     *problem  `json:"error"`
}

type position struct {
	Reason     string
	NextOffset int64 `json:"next_offset"`
	Cursor     string
	Partitions []struct {
		Partition  int32
		NextOffset int64 `json:"next_offset"`
	}
	HighWatermark int64 `json:"high_watermark"`
}

type page struct {
	position
	Records        []wire
	LogStartOffset int64 `json:"log_start_offset"`
}

// record decodes the bytes.
func (w *wire) record(t testing.TB) record.Record {
	t.Helper()
	r := record.Record{
		Offset: w.Offset, Timestamp: w.Timestamp,
		Key: decoded(t, w.Key, w.KeyEncoding), Value: decoded(t, w.Value, w.Encoding),
	}
	for _, h := range w.Headers {
		r.Headers = append(r.Headers, record.HeaderKV{Key: h.Name, Value: decoded(t, h.Value, h.Encoding)})
	}
	return r
}

func decoded(t testing.TB, s *string, encoding string) []byte {
	t.Helper()
	switch {
	case s == nil:
		return nil
	case encoding == "utf8":
		return []byte(*s)
	case encoding != "base64":
		t.Errorf("encoding %q of %q", encoding, *s)
	}
	b, err := base64.StdEncoding.DecodeString(*s)
	if err != nil {
		t.Errorf("%q: %v", *s, err)
	}
	return append([]byte{}, b...)
}

// same tells whether two records have equal content.
func same(a, b record.Record) bool {
	if !equal(a.Key, b.Key) || !equal(a.Value, b.Value) || a.Timestamp != b.Timestamp || len(a.Headers) != len(b.Headers) {
		return false
	}
	for i := range a.Headers {
		if a.Headers[i].Key != b.Headers[i].Key || !equal(a.Headers[i].Value, b.Headers[i].Value) {
			return false
		}
	}
	return true
}

func equal(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }

// create makes a topic and returns its id.
func create(t testing.TB, n *servertest.Node, spec string) string {
	t.Helper()
	var topic struct{ ID string }
	call(t, n, "POST /v1/topics", []byte(spec), asJSON).want(http.StatusCreated).decode(&topic)
	return topic.ID
}

// produce writes records as text, in order, to partition 0.
func produce(t testing.TB, n *servertest.Node, topic string, values ...string) {
	t.Helper()
	for _, v := range values {
		call(t, n, "POST /v1/topics/"+topic+"/records?partition=0", []byte(v)).want(http.StatusCreated)
	}
}

func values(records []wire) (list []string) {
	for _, r := range records {
		if r.Value != nil {
			list = append(list, *r.Value)
		}
	}
	return list
}

// lines decodes an NDJSON answer.
func (a answer) lines() (records []wire) {
	a.t.Helper()
	for line := range bytes.Lines(a.body) {
		var w wire
		if err := json.Unmarshal(line, &w); err != nil {
			a.t.Fatalf("%s: %v", line, err)
		}
		records = append(records, w)
	}
	return records
}
