package api_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/chroniklog/chronik/server/servertest"
	"github.com/chroniklog/chronik/storage/record"
)

const (
	ndjson      = "application/x-ndjson"
	recordBatch = "application/vnd.kafka.recordbatch.v2"
)

// samples are records of all kinds.
func samples() []record.Record {
	kv := func(k string, v []byte) record.HeaderKV { return record.HeaderKV{Key: k, Value: v} }
	return []record.Record{
		{Timestamp: 1767225600000, Value: []byte("hello")},
		{Timestamp: 0, Key: []byte("k"), Value: []byte{}},
		{Timestamp: 1, Key: []byte{}, Value: []byte("empty key")},
		{Timestamp: 2, Key: []byte{0xff, 0}, Value: []byte{0, 1, 2, 0xfe, 0xff}},
		{Timestamp: 3, Key: []byte("tombstone")},
		{Timestamp: 4, Value: []byte("grün 😀 \" \\ / \b\f\n\r\t\u2028\x7f"), Headers: []record.HeaderKV{
			kv("A", []byte("1")), kv("a", []byte("2")), kv("A", []byte("1")),
			kv("binary", []byte{0xff}), kv("null", nil), kv("empty", []byte{}), kv("näme=:", []byte(":x:")),
		}},
		{Timestamp: 5, Key: []byte("k"), Value: bytes.Repeat([]byte("long "), 20_000)},
		{Timestamp: 6, Value: []byte("content"), Headers: []record.HeaderKV{kv("content-type", []byte("image/png"))}},
	}
}

func textOf(b []byte) (any, string) {
	if b == nil {
		return nil, "utf8"
	}
	return base64.StdEncoding.EncodeToString(b), "base64"
}

func toJSON(t testing.TB, r record.Record) []byte {
	t.Helper()
	m := map[string]any{"timestamp": r.Timestamp, "partition": 0}
	m["key"], m["key_encoding"] = textOf(r.Key)
	m["value"], m["encoding"] = textOf(r.Value)
	headers := []any{}
	for _, h := range r.Headers {
		v, enc := textOf(h.Value)
		headers = append(headers, map[string]any{"name": h.Key, "value": v, "encoding": enc})
	}
	m["headers"] = headers
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// writers are all ways to write records.
var writers = map[string]func(testing.TB, *servertest.Node, string, []record.Record){
	"post": func(t testing.TB, n *servertest.Node, topic string, records []record.Record) {
		for _, r := range records {
			if r.Value == nil { // a body is never null
				body := slices.Concat([]byte(`{"records":[`), toJSON(t, r), []byte("]}"))
				call(t, n, "POST /v1/topics/"+topic+"/batches", body, asJSON).want(http.StatusOK)
				continue
			}
			headers := []header{}
			for _, h := range r.Headers {
				name := h.Key
				if strings.Contains(name, "ä") {
					name = ":" + base64.StdEncoding.EncodeToString([]byte(name)) + ":"
				}
				line := name
				if h.Value != nil {
					line += "=:" + base64.StdEncoding.EncodeToString(h.Value) + ":"
				}
				headers = append(headers, header{"Log-Header", line})
			}
			if r.Key != nil {
				headers = append(headers, header{"Log-Key", ":" + base64.StdEncoding.EncodeToString(r.Key) + ":"})
			}
			what := fmt.Sprintf("POST /v1/topics/%s/partitions/0/records?timestamp=%d", topic, r.Timestamp)
			call(t, n, what, r.Value, headers...).want(http.StatusCreated)
		}
	},
	"json": func(t testing.TB, n *servertest.Node, topic string, records []record.Record) {
		parts := [][]byte{}
		for _, r := range records {
			parts = append(parts, toJSON(t, r))
		}
		body := slices.Concat([]byte(`{"records":[`), bytes.Join(parts, []byte(",")), []byte("]}"))
		call(t, n, "POST /v1/topics/"+topic+"/batches", body, asJSON).want(http.StatusOK)
	},
	"ndjson": func(t testing.TB, n *servertest.Node, topic string, records []record.Record) {
		var body []byte
		for _, r := range records {
			body = append(append(body, toJSON(t, r)...), '\n')
		}
		a := call(t, n, "POST /v1/topics/"+topic+"/batches", body, header{"Content-Type", ndjson}).want(http.StatusOK)
		if got := bytes.Count(a.body, []byte(`"duplicate":false`)); got != len(records) {
			t.Errorf("%d records were answered: %s", got, a.body)
		}
	},
	"recordbatch": func(t testing.TB, n *servertest.Node, topic string, records []record.Record) {
		b := record.NewBuilder(record.CodecZstd)
		for _, r := range records {
			b.Append(r.Timestamp, r.Key, r.Value, r.Headers)
		}
		a := call(t, n, "POST /v1/topics/"+topic+"/batches?partition=0", b.Build(nil), header{"Content-Type", recordBatch})
		a.want(http.StatusOK)
	},
}

// readers are all ways to read the records of partition 0 exactly.
var readers = map[string]func(testing.TB, *servertest.Node, string, int) []record.Record{
	"json": func(t testing.TB, n *servertest.Node, topic string, _ int) (list []record.Record) {
		var pg page
		call(t, n, "GET /v1/topics/"+topic+"/partitions/0/records", nil).want(http.StatusOK).decode(&pg)
		for i := range pg.Records {
			list = append(list, pg.Records[i].record(t))
		}
		return list
	},
	"ndjson": func(t testing.TB, n *servertest.Node, topic string, _ int) (list []record.Record) {
		a := call(t, n, "GET /v1/topics/"+topic+"/partitions/0/records", nil, header{"Accept", ndjson}).want(http.StatusOK)
		lines := a.lines()
		for i := range lines[:len(lines)-1] {
			list = append(list, lines[i].record(t))
		}
		if end := lines[len(lines)-1].End; end == nil || end.Reason != "tail" {
			t.Errorf("the last line is %+v", lines[len(lines)-1])
		}
		return list
	},
	"topic": func(t testing.TB, n *servertest.Node, topic string, _ int) (list []record.Record) {
		var pg page
		call(t, n, "GET /v1/topics/"+topic+"/records", nil).want(http.StatusOK).decode(&pg)
		for i := range pg.Records {
			list = append(list, pg.Records[i].record(t))
		}
		return list
	},
	"events": func(t testing.TB, n *servertest.Node, topic string, count int) (list []record.Record) {
		what := fmt.Sprintf("GET /v1/topics/%s/partitions/0/records?limit=%d", topic, count)
		a := call(t, n, what, nil, header{"Accept", "text/event-stream"}).want(http.StatusOK)
		for _, e := range events(t, a.body) {
			if e.name == "records" {
				var pg page
				e.decode(t, &pg)
				for i := range pg.Records {
					list = append(list, pg.Records[i].record(t))
				}
			}
		}
		return list
	},
	"recordbatch": func(t testing.TB, n *servertest.Node, topic string, _ int) (list []record.Record) {
		a := call(t, n, "GET /v1/topics/"+topic+"/partitions/0/records", nil, header{"Accept", recordBatch})
		a.want(http.StatusOK)
		var reader record.Reader
		for rest := a.body; len(rest) > 0; {
			batch, tail, err := record.Split(rest)
			if err == nil {
				err = record.CheckCRC(batch)
			}
			if err == nil {
				_, err = reader.Reset(batch, 0)
			}
			if err != nil {
				t.Fatal(err)
			}
			rest = tail
			for r := (record.Record{}); reader.Next(&r); {
				list = append(list, r.Clone())
			}
		}
		return list
	},
	"one by one": func(t testing.TB, n *servertest.Node, topic string, count int) (list []record.Record) {
		for i := range count {
			a := call(t, n, fmt.Sprintf("GET /v1/topics/%s/partitions/0/records/%d", topic, i), nil)
			list = append(list, single(t, a))
		}
		return list
	},
}

// single is the record that a single-record answer shows.
func single(t testing.TB, a answer) record.Record {
	t.Helper()
	number := func(name string) int64 {
		v, err := strconv.ParseInt(a.Header.Get(name), 10, 64)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		return v
	}
	unwrap := func(s string) []byte {
		b, err := base64.StdEncoding.DecodeString(strings.Trim(s, ":"))
		if err != nil {
			t.Errorf("%q: %v", s, err)
		}
		return append([]byte{}, b...)
	}
	r := record.Record{Offset: number("Log-Offset"), Timestamp: number("Log-Timestamp"), Value: append([]byte{}, a.body...)}
	if a.StatusCode == http.StatusNoContent {
		r.Value = nil
	}
	if key := a.Header.Values("Log-Key"); key != nil {
		r.Key = unwrap(key[0])
	}
	for _, line := range a.Header.Values("Log-Header") {
		sep := "="
		if strings.HasPrefix(line, ":") {
			sep = ":="
		}
		name, value, found := strings.Cut(line, sep)
		h := record.HeaderKV{Key: name}
		if sep == ":=" {
			h.Key = string(unwrap(name))
		}
		if found {
			h.Value = unwrap(value)
		}
		r.Headers = append(r.Headers, h)
	}
	return r
}

// Whatever is written reads back equal, whichever way it came and goes.
func TestSymmetry(t *testing.T) {
	n := servertest.Start(t)
	want := samples()
	for w, write := range writers {
		topic := "symmetry-" + w
		create(t, n, `{"name":"`+topic+`","configs":{"message.timestamp.before.max.ms":"9223372036854775807"}}`)
		write(t, n, topic, want)
		for r, read := range readers {
			got := read(t, n, topic, len(want))
			if len(got) != len(want) {
				t.Errorf("%s → %s: %d records, want %d", w, r, len(got), len(want))
				continue
			}
			for i := range want {
				if !same(got[i], want[i]) || got[i].Offset != int64(i) {
					t.Errorf("%s → %s: record %d is %.300s, want %.300s", w, r, i, show(got[i]), show(want[i]))
				}
			}
		}
	}
}

// show is a record in a few words.
func show(r record.Record) string {
	return fmt.Sprintf("%q=%q at %d, %q", r.Key, r.Value, r.Timestamp, r.Headers)
}

func TestPostRecord(t *testing.T) {
	n := servertest.Start(t)
	const records = "POST /v1/topics/t/records"
	first := call(t, n, records, []byte("hello"), header{"Content-Type", "application/x-www-form-urlencoded"})
	p := first.want(http.StatusCreated).produced()
	if p.Offset != 0 || p.Partition != 0 || p.Duplicate || p.Timestamp == 0 {
		t.Errorf("%s", first.body)
	}
	got := call(t, n, "GET "+first.Header.Get("Location"), nil).want(http.StatusOK)
	if string(got.body) != "hello" || got.Header.Get("Content-Type") != "application/octet-stream" ||
		got.Header.Get("Log-Header") != "" || got.Header.Get("X-Content-Type-Options") != "nosniff" ||
		!strings.Contains(got.Header.Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("%s %v", got.body, got.Header)
	}
	png := call(t, n, records+"?key=u1", []byte{1, 2, 0xff}, header{"Content-Type", "image/png"}).want(http.StatusCreated)
	got = call(t, n, "GET "+png.Header.Get("Location"), nil).want(http.StatusOK)
	if !bytes.Equal(got.body, []byte{1, 2, 0xff}) || got.Header.Get("Content-Type") != "image/png" ||
		got.Header.Get("Log-Key") != ":dTE=:" {
		t.Errorf("%q %v", got.body, got.Header)
	}
	head := call(t, n, "HEAD "+png.Header.Get("Location"), nil).want(http.StatusOK)
	if head.ContentLength != 3 || len(head.body) != 0 {
		t.Errorf("HEAD: %v", head.Header)
	}
	if a := call(t, n, records+"?acks=none", []byte("x")).want(http.StatusAccepted); string(a.body) != "{\"partition\":0}\n" {
		t.Errorf("%s", a.body)
	}
	if a := call(t, n, records+"?acks=leader", nil).want(http.StatusCreated); a.produced().Offset != 3 {
		t.Errorf("%s", a.body)
	}
	call(t, n, records, nil, header{"Log-Key", "a"}, header{"Log-Header", "x"}).want(http.StatusCreated)
	bad(t, n, records+"?key=a", nil, header{"Log-Key", "a"}).problem(http.StatusBadRequest, "invalid_parameter")
	bad(t, n, records+"?acks=some", nil).problem(http.StatusBadRequest, "invalid_parameter")
	call(t, n, records, nil, header{"Log-Key", ":?:"}).problem(http.StatusBadRequest, "invalid_encoding")
	if p := bad(t, n, records+"?kee=a", nil).problem(http.StatusBadRequest, "unknown_parameter"); p.Parameter != "kee" {
		t.Errorf("%+v", p)
	}
	call(t, n, records+"?partition=7", nil).problem(http.StatusNotFound, "unknown_partition")
	call(t, n, records, make([]byte, 1<<20+1)).problem(http.StatusRequestEntityTooLarge, "body_too_large")
	call(t, n, records+"?key="+strings.Repeat("k", 40_000), nil).problem(http.StatusRequestEntityTooLarge, "record_too_large")
	call(t, n, "POST /v1/topics/__x/records", nil).want(http.StatusNotFound)
	call(t, n, "POST /v1/topics/a%20b/records", nil).problem(http.StatusBadRequest, "invalid_topic")
}

func TestConditions(t *testing.T) {
	n := servertest.Start(t)
	create(t, n, `{"name":"t","partitions":2}`)
	const records = "POST /v1/topics/t/records?partition=1&"
	call(t, n, records+"expect_offset=0", []byte("a")).want(http.StatusCreated)
	p := call(t, n, records+"expect_offset=0", []byte("b")).problem(http.StatusPreconditionFailed, "offset_conflict")
	if p.CurrentOffset == nil || *p.CurrentOffset != 1 || p.Outcome != "not_applied" {
		t.Errorf("%+v", p)
	}
	call(t, n, "POST /v1/topics/t/records?expect_offset=1", nil).problem(http.StatusBadRequest, "partition_required")
	call(t, n, "POST /v1/topics/t/records?fence=a", nil).problem(http.StatusBadRequest, "partition_required")

	const fence = "PUT /v1/topics/t/partitions/1/fence"
	a := call(t, n, fence, []byte(`{"token":"w1"}`), asJSON).want(http.StatusNoContent)
	if a.Header.Get("Log-Offset") != "1" {
		t.Errorf("the fence is at %q", a.Header.Get("Log-Offset"))
	}
	call(t, n, records+"fence=w1", []byte("c")).want(http.StatusCreated)
	call(t, n, records+"fence=w0", []byte("d")).problem(http.StatusPreconditionFailed, "fenced")
	call(t, n, fence, []byte(`{"token":"w2","expect":"w0"}`), asJSON).problem(http.StatusPreconditionFailed, "fenced")
	call(t, n, fence, []byte(`{"token":"w2","expect":"w1"}`), asJSON).want(http.StatusNoContent)
	bad(t, n, fence, []byte(`{}`), asJSON).problem(http.StatusBadRequest, "invalid_field")
	bad(t, n, fence, []byte(`{"token":1}`), asJSON).problem(http.StatusBadRequest, "invalid_field")
	bad(t, n, fence, []byte(`{"token":"x","until":1}`), asJSON).problem(http.StatusBadRequest, "unknown_field")
	bad(t, n, fence, []byte(`{"token":"x"}`)).problem(http.StatusUnsupportedMediaType, "unsupported_media_type")

	var pg page // the control records are not shown, yet hold their offsets
	call(t, n, "GET /v1/topics/t/partitions/1/records", nil).want(http.StatusOK).decode(&pg)
	if got := values(pg.Records); !slices.Equal(got, []string{"a", "c"}) || pg.NextOffset != 4 || pg.Records[1].Offset != 2 {
		t.Errorf("%v, next offset %d", got, pg.NextOffset)
	}
	call(t, n, "GET /v1/topics/t/partitions/1/records/1", nil).problem(http.StatusNotFound, "unknown_record")
}

func TestIdempotence(t *testing.T) {
	n := servertest.Start(t)
	create(t, n, `{"name":"t","partitions":3}`)
	const records = "POST /v1/topics/t/records"
	key := header{"Idempotency-Key", "once"}
	first := call(t, n, records, []byte("a"), key).want(http.StatusCreated)
	again := call(t, n, records, []byte("a"), key).want(http.StatusOK)
	if a, b := first.produced(), again.produced(); !b.Duplicate || a.Offset != b.Offset || a.Partition != b.Partition ||
		a.Timestamp != b.Timestamp {
		t.Errorf("%s, then %s", first.body, again.body)
	}
	call(t, n, records, []byte("b"), key).problem(http.StatusUnprocessableEntity, "idempotency_mismatch")
	got := call(t, n, "GET "+first.Header.Get("Location"), nil).want(http.StatusOK)
	if got.Header.Get("Log-Header") != "" {
		t.Errorf("the broker's own header is shown: %v", got.Header)
	}
	bad(t, n, records, nil, header{"Idempotency-Key", strings.Repeat("k", 256)}).
		problem(http.StatusBadRequest, "invalid_parameter")

	seq := func(epoch, seq string) []header {
		return []header{{"Producer-Id", "p"}, {"Producer-Epoch", epoch}, {"Producer-Seq", seq}}
	}
	call(t, n, records, nil, seq("0", "0")...).problem(http.StatusBadRequest, "partition_required")
	call(t, n, records+"?partition=2", nil, header{"Producer-Id", "p"}).problem(http.StatusBadRequest, "invalid_producer")
	before := call(t, n, records+"?partition=2", []byte("x"), seq("0", "0")...).want(http.StatusCreated).produced()
	if p := call(t, n, records+"?partition=2", []byte("x"), seq("0", "0")...).want(http.StatusOK).produced(); !p.Duplicate ||
		p.Offset != before.Offset {
		t.Errorf("%+v, then %+v", before, p)
	}
	p := call(t, n, records+"?partition=2", []byte("y"), seq("0", "5")...).problem(http.StatusConflict, "sequence_gap")
	if p.ExpectedSeq == nil || *p.ExpectedSeq != 1 {
		t.Errorf("%+v", p)
	}
	call(t, n, records+"?partition=2", []byte("y"), seq("1", "0")...).want(http.StatusCreated)
	call(t, n, records+"?partition=2", []byte("z"), seq("0", "1")...).problem(http.StatusForbidden, "stale_producer_epoch")
}

func TestBatchJSON(t *testing.T) {
	n := servertest.Start(t)
	create(t, n, `{"name":"t","partitions":3}`)
	const batches = "POST /v1/topics/t/batches"
	var result struct {
		Results []produced
		Failed  int
	}
	body := `{"records":[{"value":"a","partition":1},{"value":"b","partition":0},{"value":"c","partition":1},
		{"value":"d","key":"k"},{"value":"e","key":"k"},{"value":"f","partition":2}]}`
	call(t, n, batches, []byte(body), asJSON).want(http.StatusOK).decode(&result)
	if len(result.Results) != 6 || result.Failed != 0 || result.Results[0].Partition != 1 ||
		result.Results[2].Offset != result.Results[0].Offset+1 || result.Results[4].Partition != result.Results[3].Partition {
		t.Errorf("%+v", result)
	}
	for i := range 2 { // the second one is a repeat
		call(t, n, batches, []byte(`{"records":[{"value":"x"},{"value":"y"}]}`), asJSON,
			header{"Idempotency-Key", "b"}).want(http.StatusOK).decode(&result)
		if result.Results[0].Duplicate != (i == 1) || result.Results[1].Duplicate != (i == 1) {
			t.Errorf("try %d: %+v", i, result)
		}
	}
	call(t, n, batches, []byte(`{"records":[{"value":"x"},{"value":"changed"}]}`), asJSON,
		header{"Idempotency-Key", "b"}).want(http.StatusMultiStatus).decode(&result)
	if result.Failed != 1 || result.Results[1].Error == nil || result.Results[1].Error.Code != "idempotency_mismatch" {
		t.Errorf("%+v", result)
	}
	call(t, n, batches+"?acks=none", []byte(`{"records":[{"value":"x"}]}`), asJSON).want(http.StatusAccepted)
	call(t, n, batches+"?partition=0&expect_offset=99", []byte(`{"records":[{"value":"x"},{"value":"y"}]}`), asJSON).
		problem(http.StatusPreconditionFailed, "offset_conflict")
	bad(t, n, batches, nil).problem(http.StatusUnsupportedMediaType, "unsupported_media_type")
	bad(t, n, batches, []byte("x"), header{"Content-Type", "text/plain"}).
		problem(http.StatusUnsupportedMediaType, "unsupported_media_type")
}

// A batch with one wrong record stores nothing.
func TestBatchIsJudgedWhole(t *testing.T) {
	n := servertest.Start(t)
	create(t, n, `{"name":"t","partitions":2}`)
	create(t, n, `{"name":"c","configs":{"cleanup.policy":"compact"}}`)
	for _, tt := range []struct{ topic, second, code, field string }{
		{"t", `{"value":1}`, "invalid_field", "records[1].value"},
		{"t", `{"value":"a","kee":"b"}`, "unknown_field", "records[1].kee"},
		{"t", `{"value":"!","encoding":"base64"}`, "invalid_encoding", "records[1].value"},
		{"t", `{"value":"a","partition":2}`, "unknown_partition", "records[1].partition"},
		{"t", `{"value":"\ud800"}`, "invalid_json", "records[1].value"},
		{"t", `{"value":"a"`, "invalid_json", "records[1]"},
		{"t", `{"value":"` + strings.Repeat("x", 1<<20) + `"}`, "record_too_large", "records[1]"},
		{"t", `{"value":"a","headers":[{"name":"n"}]}`, "invalid_field", "records[1].headers[0].value"},
		{"c", `{"value":"a"}`, "invalid_field", "records[1].key"},
	} {
		body := `{"records":[{"key":"k","value":"good","partition":0},` + tt.second + `]}`
		a := bad(t, n, "POST /v1/topics/"+tt.topic+"/batches", []byte(body), asJSON)
		var p problem
		a.decode(&p)
		if p.Code != tt.code || p.Field != tt.field {
			t.Errorf("%.60s: %s %q (%s), want %s %q", tt.second, p.Code, p.Field, p.Detail, tt.code, tt.field)
		}
	}
	many := `{"records":[` + strings.Repeat(`{"value":""},`, 10_000) + `{"value":""}]}`
	bad(t, n, "POST /v1/topics/t/batches", []byte(many), asJSON).problem(http.StatusRequestEntityTooLarge, "record_too_large")
	for _, body := range []string{``, `{}`, `{"records":[]}`, `{"records":{}}`, `{"records":[],"x":1}`, `[]`, `{"records":[{"value":""}]} x`} {
		bad(t, n, "POST /v1/topics/t/batches", []byte(body), asJSON).want(http.StatusBadRequest)
	}
	for _, topic := range []string{"t", "c"} {
		var pg page
		call(t, n, "GET /v1/topics/"+topic+"/records", nil).want(http.StatusOK).decode(&pg)
		if len(pg.Records) != 0 {
			t.Errorf("%s holds %d records", topic, len(pg.Records))
		}
	}
}

func TestRecordBatches(t *testing.T) {
	n := servertest.Start(t)
	create(t, n, `{"name":"t"}`)
	const batches = "POST /v1/topics/t/batches?partition=0"
	as := header{"Content-Type", recordBatch}
	build := func(change func(*record.Builder)) []byte {
		b := record.NewBuilder(record.CodecLZ4)
		change(b)
		b.Append(1767225600000, []byte("k"), []byte("v"), nil)
		b.Append(1767225600001, nil, []byte("w"), nil)
		return b.Build(nil)
	}
	good := build(func(*record.Builder) {})
	var result struct {
		Results []struct {
			produced
			LastOffset int64 `json:"last_offset"`
		}
	}
	call(t, n, batches, slices.Concat(good, good), as).want(http.StatusOK).decode(&result)
	if len(result.Results) != 2 || result.Results[1].Offset != 2 || result.Results[1].LastOffset != 3 {
		t.Errorf("%+v", result)
	}
	stored := call(t, n, "GET /v1/topics/t/partitions/0/records?offset=3", nil, header{"Accept", recordBatch})
	if got := stored.want(http.StatusOK).body; !bytes.Equal(got[16:], good[16:]) { // all but offset, length and epoch
		t.Errorf("the batch was changed:\n%x\n%x", got, good)
	}
	flipped := slices.Clone(good)
	flipped[len(flipped)-1] ^= 1
	for name, tt := range map[string]struct {
		body []byte
		code string
	}{
		"flipped bit":    {flipped, "corrupt_batch"},
		"cut":            {good[:len(good)-3], "corrupt_batch"},
		"good, then cut": {slices.Concat(good, good[:30]), "corrupt_batch"},
		"empty":          {[]byte{}, "invalid_batch"},
		"transactional":  {build((*record.Builder).SetTransactional), "transactional_batch"},
		"control":        {build((*record.Builder).SetControl), "transactional_batch"},
		"old format":     {slices.Concat(make([]byte, 11), []byte{60, 0, 0, 0, 0, 1}, make([]byte, 55)), "invalid_batch"},
	} {
		if p := call(t, n, batches, tt.body, as).problem(http.StatusBadRequest, tt.code); p.Detail == "" {
			t.Errorf("%s: no detail", name)
		}
	}
	call(t, n, "POST /v1/topics/t/batches", good, as).problem(http.StatusBadRequest, "partition_required")
	var pg page
	call(t, n, "GET /v1/topics/t/partitions/0/records", nil).want(http.StatusOK).decode(&pg)
	if pg.HighWatermark != 4 {
		t.Errorf("refused batches were stored: the high watermark is %d", pg.HighWatermark)
	}
}
