package api

import (
	"encoding/json"
	"errors"
	"maps"
	"net/url"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/storage/record"
)

// collected is a sink that keeps what it is given.
type collected struct {
	known  []string
	values map[string]string
}

func (c *collected) names() []string { return c.known }

func (c *collected) set(name, value string) error {
	c.values[name] = value
	return nil
}

// FuzzQuery holds the parser against net/url: what it accepts, net/url reads
// the same, each name once.
func FuzzQuery(f *testing.F) {
	for _, seed := range []string{
		"", "key=u1&partition=0", "offset=5&end=6&limit=1", "key=%00%ff+a", "clamp", "key=%zz", "key=a&key=b", "a;b=c", "&&key=1&",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got := collected{known: append(recordParams, readParamNames...), values: map[string]string{}}
		if len(got.known) > 32 {
			t.Fatal("the sink has too many names")
		}
		if err := readQuery(raw, &got); err != nil {
			return
		}
		want, err := url.ParseQuery(raw)
		if err != nil && !strings.Contains(raw, ";") { // net/url refuses semicolons, we take them as text
			t.Fatalf("accepted %q, net/url: %v", raw, err)
		}
		for name, values := range want {
			if name != "" && (len(values) != 1 || got.values[name] != values[0]) {
				t.Fatalf("%q: %s is %q, net/url has %q", raw, name, got.values[name], values)
			}
		}
	})
}

// Who asks a topic for an offset is told where offsets are.
func TestReadQueryOfTopicHints(t *testing.T) {
	s := &Server{limits: DefaultLimits()}
	for _, raw := range []string{"offset=3", "end=3", "partition=0", "from=3"} {
		_, err := s.readReadParams(getRequest("/?"+raw), topicReadParamNames)
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(e.Detail, "/partitions/{partition}/records?offset=") {
			t.Errorf("%s: %v", raw, err)
		}
	}
}

func TestReadQueryRefuses(t *testing.T) {
	tests := []struct{ raw, code, parameter, detail string }{
		{"ofset=1", CodeUnknownParameter, "ofset", "did you mean offset?"},
		{"offset=1&offset=2", CodeInvalidParameter, "offset", "twice"},
		{"offset=-1", CodeInvalidParameter, "offset", "from 0 to 9007199254740991"},
		{"offset=9007199254740992", CodeInvalidParameter, "offset", "from 0 to 9007199254740991"},
		{"offset=99999999999999999999999", CodeInvalidParameter, "offset", "whole number"},
		{"offset=+1", CodeInvalidParameter, "offset", "whole number"},
		{"offset=%2B1", CodeInvalidParameter, "offset", "whole number"},
		{"offset=1.0", CodeInvalidParameter, "offset", "whole number"},
		{"offset=", CodeInvalidParameter, "offset", "whole number"},
		{"offset=%zz", CodeInvalidParameter, "offset", "percent-encoding"},
		{"offset=1&from=latest", CodeInvalidParameter, "from", "either offset or from"},
		{"from=now", CodeInvalidParameter, "from", "earliest or latest"},
		{"from=7", CodeInvalidParameter, "from", "for a number use offset"},
		{"limit=0", CodeInvalidParameter, "limit", "from 1"},
		{"limit=1001", CodeInvalidParameter, "limit", "at most 1000"},
		{"max_bytes=10485761", CodeInvalidParameter, "max_bytes", "10485760"},
		{"wait=61", CodeInvalidParameter, "wait", "1m0s"},
		{"wait=NaN", CodeInvalidParameter, "wait", "seconds"},
		{"wait=-1s", CodeInvalidParameter, "wait", "seconds"},
		{"isolation=dirty", CodeInvalidParameter, "isolation", "read_committed"},
		{"clamp=yes", CodeInvalidParameter, "clamp", "true or false"},
		{"format=xml", CodeInvalidParameter, "format", "ndjson"},
		{"value=xml", CodeInvalidParameter, "value", "json"},
		{"topic_id=1", CodeInvalidParameter, "topic_id", "UUID"},
		{"topic_id=zzzzzzzz-zzzz-zzzz-zzzz-zzzzzzzzzzzz", CodeInvalidParameter, "topic_id", "UUID"},
		{"offset=5&end=4", CodeInvalidParameter, "end", "below offset"},
		{"follow=true", CodeInvalidParameter, "follow", "ndjson"},
		{"value=json&format=value", CodeInvalidParameter, "value", "no meaning"},
		{"cursor=abc", CodeUnknownParameter, "cursor", "did you mean"},
	}
	s := &Server{limits: DefaultLimits()}
	for _, tt := range tests {
		_, err := s.readReadParams(getRequest("/?"+tt.raw), readParamNames)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%s: %v", tt.raw, err)
			continue
		}
		if e.Code != tt.code || e.Members.Parameter != tt.parameter || !strings.Contains(e.Detail, tt.detail) {
			t.Errorf("%s: %s %q %q", tt.raw, e.Code, e.Members.Parameter, e.Detail)
		}
	}
}

func TestParseWait(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "2.5": 2500 * time.Millisecond, "60": time.Minute, "500ms": 500 * time.Millisecond, "1m": time.Minute, "0s": 0,
	} {
		if got, err := parseWait("wait", text, time.Minute); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}

func TestAcceptFormat(t *testing.T) {
	tests := []struct {
		lines []string
		want  string // a format, or the code of the refusal
	}{
		{nil, "json"},
		{[]string{"*/*"}, "json"},
		{[]string{"application/json"}, "json"},
		{[]string{"text/event-stream"}, "sse"},
		{[]string{"application/x-ndjson"}, "ndjson"},
		{[]string{"application/ndjson"}, "ndjson"},
		{[]string{"application/vnd.kafka.recordbatch.v2"}, "recordbatch"},
		{[]string{"application/octet-stream"}, "value"},
		{[]string{"APPLICATION/X-NDJSON"}, "ndjson"},
		{[]string{"text/html,application/xhtml+xml,*/*;q=0.8"}, "json"},
		{[]string{"application/json;q=0.5, application/x-ndjson"}, "ndjson"},
		{[]string{"application/json;q=0.5", "application/x-ndjson;q=0.4"}, "json"},
		{[]string{"application/x-ndjson;q=0, */*"}, "json"},
		{[]string{"text/event-stream;q=0.2, application/x-ndjson;q=0.3"}, "ndjson"},
		{[]string{"application/*"}, "json"},
		{[]string{"text/*"}, "sse"},
		{[]string{"application/json;q=0, application/x-ndjson"}, "ndjson"},
		{[]string{"application/json; charset=utf-8; q=0.9"}, "json"},
		{[]string{"text/html"}, CodeNotAcceptable},
		{[]string{"application/json;q=0"}, CodeNotAcceptable},
		{[]string{"application/json;q=nonsense"}, CodeNotAcceptable},
		{[]string{"image/png, text/plain"}, CodeNotAcceptable},
	}
	for _, tt := range tests {
		f, err := acceptFormat(tt.lines)
		got := f.String()
		var e *Error
		if errors.As(err, &e) {
			got = e.Code
		}
		if got != tt.want {
			t.Errorf("%q: %s, want %s", tt.lines, got, tt.want)
		}
	}
}

func TestLogHeaders(t *testing.T) {
	tests := []struct {
		line string
		want record.HeaderKV
	}{
		{"Name=value", record.HeaderKV{Key: "Name", Value: []byte("value")}},
		{"Name=a=b", record.HeaderKV{Key: "Name", Value: []byte("a=b")}},
		{"Name=", record.HeaderKV{Key: "Name", Value: []byte{}}},
		{"Name", record.HeaderKV{Key: "Name"}},
		{"Name=:AAEC:", record.HeaderKV{Key: "Name", Value: []byte{0, 1, 2}}},
		{"Name=::", record.HeaderKV{Key: "Name", Value: []byte{}}},
		{"Name=:x", record.HeaderKV{Key: "Name", Value: []byte(":x")}},
		{":w6Q=:=x", record.HeaderKV{Key: "ä", Value: []byte("x")}},
		{":w6Q=:", record.HeaderKV{Key: "ä"}},
		{":x=1", record.HeaderKV{Key: ":x", Value: []byte("1")}},
		{"=v", record.HeaderKV{Key: "", Value: []byte("v")}},
	}
	for _, tt := range tests {
		got, err := decodeHeader(tt.line)
		if err != nil || got.Key != tt.want.Key || !sameBytes(got.Value, tt.want.Value) {
			t.Errorf("%q: %q, %v", tt.line, got, err)
		}
	}
	for _, bad := range []string{"Name=:!:", ":?:=x", "Name=:AAE:"} {
		if _, err := decodeHeader(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func anyBytes(t *rapid.T, label string) []byte {
	b := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, label)
	if rapid.Bool().Draw(t, label+" null") {
		return nil
	}
	return append([]byte{}, b...)
}

func anyHeaders(t *rapid.T) []record.HeaderKV {
	var headers []record.HeaderKV
	for range rapid.IntRange(0, 3).Draw(t, "headers") {
		headers = append(headers, record.HeaderKV{Key: rapid.String().Draw(t, "name"), Value: anyBytes(t, "header")})
	}
	return headers
}

func TestLogHeadersRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		for _, h := range anyHeaders(t) {
			line := string(encodeHeader(nil, &h))
			if strings.ContainsAny(line, "\r\n\x00") || strings.TrimSpace(line) != line {
				t.Fatalf("%q can't be a header", line)
			}
			got, err := decodeHeader(line)
			if err != nil || got.Key != h.Key || !sameBytes(got.Value, h.Value) {
				t.Fatalf("%q became %q as %q: %v", h, got, line, err)
			}
		}
	})
}

// What the appender writes, encoding/json and the scanner read as it was.
func TestRecordJSONRoundTrip(t *testing.T) {
	limits := DefaultLimits()
	rapid.Check(t, func(t *rapid.T) {
		rec := record.Record{
			Offset:    rapid.Int64Range(0, server.MaxOffset).Draw(t, "offset"),
			Timestamp: rapid.Int64Range(0, server.MaxOffset).Draw(t, "timestamp"),
			Key:       anyBytes(t, "key"), Value: anyBytes(t, "value"), Headers: anyHeaders(t),
		}
		text := appendRecordJSON(nil, 7, &rec, false)
		if strings.ContainsAny(string(text), "\r\n") {
			t.Fatalf("%q is not one line", text)
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(text, &members); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if string(members["offset"]) != itoa(rec.Offset) || string(members["partition"]) != "7" {
			t.Fatalf("%q", text)
		}
		delete(members, "offset") // what is read is not what can be written
		again, err := json.Marshal(members)
		if err != nil {
			t.Fatal(err)
		}
		var got batchRecord
		if err := newRecordScanner(&limits).line(again, &got); err != nil {
			t.Fatalf("%q: %v", again, err)
		}
		want := batchRecord{key: rec.Key, value: rec.Value, headers: rec.Headers, timestamp: rec.Timestamp, partition: 7}
		if !sameRecord(&got, &want) {
			t.Fatalf("%q: got %+v, want %+v", text, got, want)
		}
	})
}

func TestEmbeddedDocuments(t *testing.T) {
	for value, want := range map[string]string{
		`{"a":1}`:           `"json":{"a":1},"headers"`,
		"{\n \"a\": 1\r\n}": `"json":{"a":1},"headers"`,
		`"x"`:               `"json":"x","headers"`,
		`plain`:             `"value":"plain","encoding":"utf8"`,
		``:                  `"value":"","encoding":"utf8"`,
		"\"\xff\"":          `"encoding":"base64"`,
		`{"a":1} x`:         `"value":"{\"a\":1} x"`,
	} {
		rec := record.Record{Value: []byte(value)}
		if got := string(appendRecordJSON(nil, 0, &rec, true)); !strings.Contains(got, want) || !json.Valid([]byte(got)) {
			t.Errorf("%q: %s", value, got)
		}
	}
	if got := string(appendRecordJSON(nil, 0, &record.Record{}, true)); !strings.Contains(got, `"value":null,"headers"`) {
		t.Errorf("tombstone: %s", got)
	}
}

func testFeed(whole bool, next ...int64) *feed {
	f := &feed{topic: server.Topic{ID: server.TopicID{1, 15: 9}, Name: "t", Partitions: int32(len(next))}, whole: whole}
	for i, n := range next {
		f.spans = append(f.spans, span{partition: int32(i), next: n, end: noEnd})
	}
	return f
}

func TestCursorRoundTrip(t *testing.T) {
	offsets := make([]int64, maxMerged)
	for i := range offsets {
		offsets[i] = server.MaxOffset - int64(i)
	}
	for _, f := range []*feed{
		testFeed(true, 0), testFeed(true, 5, 1<<53-1, 0), testFeed(true, offsets...), testFeed(false, 77),
	} {
		f.turn = len(f.spans) - 1
		text := string(appendCursor(nil, f))
		c, err := parseCursor("cursor", text)
		if err != nil || len(text) > maxCursor {
			t.Fatalf("%s: %v", text, err)
		}
		number := anyPartition
		if !f.whole {
			number = 0
		} else if c.first != f.turn {
			t.Errorf("turn %d, want %d", c.first, f.turn)
		}
		if err := c.fits("cursor", &f.topic, number); err != nil {
			t.Error(err)
		}
		for i := range f.spans {
			if c.next[i] != f.spans[i].next {
				t.Errorf("partition %d: %d, want %d", i, c.next[i], f.spans[i].next)
			}
		}
	}
}

func TestCursorFits(t *testing.T) {
	whole, single := testFeed(true, 1, 2), testFeed(false, 1)
	codes := func(f *feed, topic server.Topic, number int32) string {
		c, err := parseCursor("cursor", string(appendCursor(nil, f)))
		if err != nil {
			t.Fatal(err)
		}
		var e *Error
		if errors.As(c.fits("cursor", &topic, number), &e) {
			return e.Code
		}
		return ""
	}
	other, grown, shrunk := whole.topic, whole.topic, whole.topic
	other.ID[0]++
	grown.Partitions, shrunk.Partitions = 3, 1
	for i, tt := range []struct {
		f      *feed
		topic  server.Topic
		number int32
		want   string
	}{
		{whole, whole.topic, anyPartition, ""},
		{whole, grown, anyPartition, ""},
		{single, single.topic, 0, ""},
		{whole, other, anyPartition, CodeTopicIDMismatch},
		{whole, shrunk, anyPartition, CodeInvalidCursor},
		{whole, whole.topic, 0, CodeInvalidCursor},
		{single, single.topic, anyPartition, CodeInvalidCursor},
		{single, whole.topic, 1, CodeInvalidCursor},
	} {
		if got := codes(tt.f, tt.topic, tt.number); got != tt.want {
			t.Errorf("case %d: %q, want %q", i, got, tt.want)
		}
	}
}

// FuzzCursor: whatever is accepted is what this node would write.
func FuzzCursor(f *testing.F) {
	f.Add(string(appendCursor(nil, testFeed(true, 1, 2, 3))))
	f.Add(string(appendCursor(nil, testFeed(false, 1<<40))))
	f.Add("AQ")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseCursor("cursor", text)
		if err != nil {
			return
		}
		again := testFeed(c.whole, c.next...)
		again.topic.ID, again.turn = c.topic, c.first
		if !c.whole {
			again.spans[0].partition = int32(c.first)
		}
		if got := string(appendCursor(nil, again)); got != text {
			t.Fatalf("%q is written %q", text, got)
		}
	})
}

func TestIfMatch(t *testing.T) {
	r := getRequest("/")
	r.Header["If-Match"] = []string{`"5", "7"`, `"9"`}
	m, err := parseIfMatch(r)
	if err != nil || !m.holds(7) || m.holds(6) || m.holds(-1) || m.pick(9) != 9 || m.pick(6) != 5 {
		t.Errorf("%+v, %v", m, err)
	}
	r.Header["If-Match"] = []string{"*"}
	if m, err = parseIfMatch(r); err != nil || !m.holds(3) || m.holds(-1) || m.pick(3) != 3 {
		t.Errorf("%+v, %v", m, err)
	}
	r.Header["If-Match"] = []string{"5"}
	if _, err = parseIfMatch(r); err == nil {
		t.Error("an unquoted tag was accepted")
	}
}

func TestBodyHash(t *testing.T) {
	kv := func(k, v string) []record.HeaderKV { return []record.HeaderKV{{Key: k, Value: []byte(v)}} }
	seen := map[[16]byte]int{}
	for i, h := range [][16]byte{
		bodyHash(nil, []byte("ab"), nil, -1), bodyHash([]byte{}, []byte("ab"), nil, -1),
		bodyHash([]byte("a"), []byte("b"), nil, -1), bodyHash(nil, []byte("a"), kv("b", ""), -1),
		bodyHash(nil, []byte("a"), kv("", "b"), -1), bodyHash(nil, nil, nil, -1), bodyHash(nil, []byte{}, nil, -1),
		bodyHash(nil, []byte("ab"), nil, 0), bodyHash(nil, []byte("ab"), nil, 1),
	} {
		if j, ok := seen[h]; ok {
			t.Errorf("%d and %d have one hash", i, j)
		}
		seen[h] = i
	}
	want := maps.Collect(maps.All(seen))
	again := bodyHash(nil, []byte("ab"), nil, -1)
	if len(want) != 9 || bodyHash(nil, []byte("ab"), nil, -1) != again {
		t.Error("the hash is not a function of its input")
	}
}
