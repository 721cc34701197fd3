package api_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chroniklog/chronik/server/servertest"
)

func TestReadPositions(t *testing.T) {
	n := servertest.Start(t)
	create(t, n, `{"name":"t"}`)
	const base = int64(1767225600000)
	for i := range 10 {
		what := fmt.Sprintf("POST /v1/topics/t/records?timestamp=%d", base+int64(i)*1000)
		call(t, n, what, fmt.Appendf(nil, "%d", i)).want(http.StatusCreated)
	}
	for _, tt := range []struct {
		query string
		want  string // values, next offset
	}{
		{"", "0123456789 10"},
		{"?from=earliest&limit=3", "012 3"},
		{"?from=latest", " 10"},
		{"?offset=4", "456789 10"},
		{"?offset=4&end=6", "45 6"},
		{"?offset=4&end=4", " 4"},
		{"?offset=10", " 10"},
		{"?offset=99&clamp=true", " 10"},
		{"?tail=3", "789 10"},
		{"?tail=0", " 10"},
		{"?tail=99", "0123456789 10"},
		{"?timestamp=1767225605000", "56789 10"},
		{"?timestamp=1767225604001&limit=1", "5 6"},
		{"?timestamp=0&limit=1", "0 1"},
		{"?timestamp=1767225699000", " 10"},
		{"?offset=0&max_bytes=1", "0 1"},
		{"?offset=2&isolation=read_uncommitted&limit=1", "2 3"},
		{"?offset=2&limit=1&format=json&wait=60", "2 3"},
	} {
		var pg page
		call(t, n, "GET /v1/topics/t/partitions/0/records"+tt.query, nil).want(http.StatusOK).decode(&pg)
		if got := fmt.Sprint(strings.Join(values(pg.Records), ""), " ", pg.NextOffset); got != tt.want || pg.HighWatermark != 10 {
			t.Errorf("%s: %q, want %q; high watermark %d", tt.query, got, tt.want, pg.HighWatermark)
		}
	}
	bad(t, n, "GET /v1/topics/t/partitions/0/records?offset=99&clamp", nil).want(http.StatusOK)
	p := call(t, n, "GET /v1/topics/t/partitions/0/records?offset=11", nil).
		problem(http.StatusRequestedRangeNotSatisfiable, "offset_beyond_end")
	if p.HighWatermark == nil || *p.HighWatermark != 10 {
		t.Errorf("%+v", p)
	}
	for _, accept := range []string{ndjson, recordBatch, "application/octet-stream", "text/event-stream"} {
		call(t, n, "GET /v1/topics/t/partitions/0/records?offset=11", nil, header{"Accept", accept}).
			problem(http.StatusRequestedRangeNotSatisfiable, "offset_beyond_end")
	}
	call(t, n, "GET /v1/topics/t/partitions/1/records", nil).problem(http.StatusNotFound, "unknown_partition")
	call(t, n, "GET /v1/topics/nope/partitions/0/records", nil).problem(http.StatusNotFound, "unknown_topic")
	call(t, n, "GET /v1/topics/nope/records", nil).problem(http.StatusNotFound, "unknown_topic")
	call(t, n, "GET /v1/topics/t/records", nil, header{"Accept", recordBatch}).problem(http.StatusNotAcceptable, "not_acceptable")
	call(t, n, "GET /v1/topics/t/records", nil, header{"Accept", "image/png"}).problem(http.StatusNotAcceptable, "not_acceptable")
	call(t, n, "GET /v1/topics/nope", nil).want(http.StatusNotFound) // no read has created it

	var offsets struct {
		Offset, Timestamp *int64
		HighWatermark     int64 `json:"high_watermark"`
	}
	call(t, n, "GET /v1/topics/t/partitions/0/offsets?timestamp=1767225602500", nil).want(http.StatusOK).decode(&offsets)
	if offsets.Offset == nil || *offsets.Offset != 3 || *offsets.Timestamp != base+3000 || offsets.HighWatermark != 10 {
		t.Errorf("%+v", offsets)
	}
	bad(t, n, "GET /v1/topics/t/partitions/0/offsets?timestamp=-1", nil).problem(http.StatusBadRequest, "invalid_parameter")
}

func TestReadForms(t *testing.T) {
	n := servertest.Start(t)
	create(t, n, `{"name":"t"}`)
	produce(t, n, "t", "a", "", `{"x":[1]}`, "d\xff")
	a := call(t, n, "GET /v1/topics/t/partitions/0/records?format=value", nil).want(http.StatusOK)
	if string(a.body) != "a\n\n{\"x\":[1]}\nd\xff\n" || a.Header.Get("Log-Next-Offset") != "4" {
		t.Errorf("%q %v", a.body, a.Header)
	}
	if a = call(t, n, "GET /v1/topics/t/records?format=value&limit=1", nil).want(http.StatusOK); string(a.body) != "a\n" {
		t.Errorf("%q", a.body)
	}
	next := call(t, n, "GET /v1/topics/t/records?format=ndjson&cursor="+a.Header.Get("Log-Cursor"), nil).want(http.StatusOK)
	if got := next.lines(); len(got) != 4 || got[0].Offset != 1 || got[3].End == nil || got[3].End.Cursor == "" {
		t.Errorf("%s", next.body)
	}
	var pg page
	call(t, n, "GET /v1/topics/t/partitions/0/records?value=json", nil).want(http.StatusOK).decode(&pg)
	if string(pg.Records[2].JSON) != `{"x":[1]}` || pg.Records[2].Value != nil || pg.Records[0].JSON != nil ||
		pg.Records[3].Encoding != "base64" {
		t.Errorf("%+v", pg.Records)
	}
	batches := call(t, n, "GET /v1/topics/t/partitions/0/records?format=recordbatch", nil).want(http.StatusOK)
	if batches.Header.Get("Log-High-Watermark") != "4" || batches.Header.Get("Log-Start-Offset") != "0" ||
		batches.Trailer.Get("Log-Next-Offset") != "4" && batches.Header.Get("Log-Next-Offset") != "4" {
		t.Errorf("%v %v", batches.Header, batches.Trailer)
	}
}

func TestClosedRanges(t *testing.T) {
	n := servertest.Start(t)
	id := create(t, n, `{"name":"t"}`)
	produce(t, n, "t", "a", "b", "c")
	const read = "GET /v1/topics/t/partitions/0/records?offset=0&end=2"
	a := call(t, n, read+"&topic_id="+id, nil).want(http.StatusOK)
	tag := a.Header.Get("ETag")
	if tag == "" || a.Header.Get("Cache-Control") != "private, max-age=31536000, immutable" ||
		!strings.Contains(a.Header.Get("Vary"), "Accept") {
		t.Errorf("%v", a.Header)
	}
	call(t, n, read+"&topic_id="+id, nil, header{"If-None-Match", tag}).want(http.StatusNotModified)
	call(t, n, read, nil, header{"If-None-Match", `"x", W/` + tag}).want(http.StatusNotModified)
	if a = call(t, n, read, nil); a.Header.Get("ETag") != tag || a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%v", a.Header)
	}
	if a = call(t, n, read, nil, header{"Accept", ndjson}, header{"If-None-Match", tag}).want(http.StatusOK); a.Header.Get("ETag") == tag {
		t.Error("two forms share a tag")
	}
	for _, open := range []string{"offset=0", "offset=0&end=4", "from=earliest&end=2"} {
		a = call(t, n, "GET /v1/topics/t/partitions/0/records?topic_id="+id+"&"+open, nil).want(http.StatusOK)
		if a.Header.Get("ETag") != "" || a.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", open, a.Header)
		}
	}
	one := call(t, n, "GET /v1/topics/t/partitions/0/records/1?topic_id="+id, nil).want(http.StatusOK)
	if !strings.Contains(one.Header.Get("Cache-Control"), "immutable") {
		t.Errorf("%v", one.Header)
	}
	call(t, n, "GET /v1/topics/t/partitions/0/records/1", nil, header{"If-None-Match", one.Header.Get("ETag")}).
		want(http.StatusNotModified)
	call(t, n, "GET /v1/topics/t/partitions/0/records/3", nil).problem(http.StatusNotFound, "unknown_record")
	call(t, n, "GET /v1/topics/t/partitions/0/records/99", nil).problem(http.StatusNotFound, "unknown_record")

	call(t, n, "DELETE /v1/topics/t", nil).want(http.StatusNoContent)
	create(t, n, `{"name":"t"}`)
	call(t, n, read+"&topic_id="+id, nil).problem(http.StatusPreconditionFailed, "topic_id_mismatch")
}

func TestTrim(t *testing.T) {
	n := servertest.Start(t)
	create(t, n, `{"name":"t"}`)
	produce(t, n, "t", "a", "b", "c")
	const records = "/v1/topics/t/partitions/0/records"
	call(t, n, "DELETE "+records+"?before=4", nil).problem(http.StatusRequestedRangeNotSatisfiable, "offset_beyond_end")
	bad(t, n, "DELETE "+records, nil).problem(http.StatusBadRequest, "invalid_parameter")
	a := call(t, n, "DELETE "+records+"?before=2", nil).want(http.StatusNoContent)
	if a.Header.Get("Log-Start-Offset") != "2" {
		t.Errorf("%v", a.Header)
	}
	p := call(t, n, "GET "+records+"?offset=1", nil).problem(http.StatusGone, "offset_trimmed")
	if p.LogStartOffset == nil || *p.LogStartOffset != 2 {
		t.Errorf("%+v", p)
	}
	call(t, n, "GET "+records+"/1", nil).problem(http.StatusGone, "offset_trimmed")
	var pg page
	call(t, n, "GET "+records+"?offset=1&clamp=true", nil).want(http.StatusOK).decode(&pg)
	if got := values(pg.Records); !slices.Equal(got, []string{"c"}) || pg.LogStartOffset != 2 {
		t.Errorf("%v %+v", got, pg)
	}
	call(t, n, "GET "+records, nil).want(http.StatusOK)
}

func TestLongPoll(t *testing.T) {
	n := servertest.Start(t)
	create(t, n, `{"name":"t","partitions":3}`)
	start := time.Now()
	var pg page
	call(t, n, "GET /v1/topics/t/partitions/1/records?wait=200ms", nil).want(http.StatusOK).decode(&pg)
	if took := time.Since(start); len(pg.Records) != 0 || took < 200*time.Millisecond {
		t.Errorf("%d records after %v", len(pg.Records), took)
	}
	for _, read := range []string{
		"partitions/1/records?wait=60&from=latest", "records?wait=60&from=latest",
		"partitions/1/records?wait=60&from=latest&format=ndjson", "partitions/1/records?wait=60&from=latest&format=value",
		"partitions/1/records?wait=60&from=latest&format=recordbatch",
	} {
		got := make(chan answer)
		r := request(t, n, "GET /v1/topics/t/"+read, nil)
		go func() {
			resp, err := n.Client.Do(r)
			if err != nil {
				close(got)
				return
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(resp.Body)
			got <- answer{t, resp, body}
		}()
		// The reader may come before or after the record is there to be waited
		// for: it sees one either way, or times out after a minute.
		for done := false; !done; {
			call(t, n, "POST /v1/topics/t/records?partition=1", []byte("wake")).want(http.StatusCreated)
			select {
			case a, ok := <-got:
				if !ok || a.StatusCode != http.StatusOK || !strings.Contains(string(a.body), "wake") {
					t.Errorf("%s: %v %s", read, ok, a.body)
				}
				done = true
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
}

// Pages of a whole topic give every record once, each partition in order, and
// go on where partitions are added.
func TestTopicPages(t *testing.T) {
	n := servertest.Start(t)
	create(t, n, `{"name":"t","partitions":4}`)
	var batch strings.Builder
	for i := range 400 {
		fmt.Fprintf(&batch, "{\"value\":\"%d\",\"partition\":%d}\n", i, []int{0, 0, 0, 1, 2}[i%5])
	}
	call(t, n, "POST /v1/topics/t/batches", []byte(batch.String()), header{"Content-Type", ndjson}).want(http.StatusOK)
	next := map[int32]int64{}
	cursor, pages := "", 0
	for total := 0; total < 400; pages++ {
		what := "GET /v1/topics/t/records?limit=30"
		if cursor != "" {
			what += "&cursor=" + cursor
		}
		var pg page
		call(t, n, what, nil).want(http.StatusOK).decode(&pg)
		seen := map[int32]bool{}
		for _, r := range pg.Records {
			if r.Offset != next[r.Partition] {
				t.Fatalf("partition %d: offset %d, want %d", r.Partition, r.Offset, next[r.Partition])
			}
			next[r.Partition]++
			seen[r.Partition] = true
		}
		if len(pg.Records) == 0 {
			t.Fatalf("page %d is empty after %d records", pages, total)
		}
		if total < 120 && len(seen) < 3 {
			t.Errorf("page %d shows partitions %v only", pages, seen)
		}
		total += len(pg.Records)
		cursor = pg.Cursor
	}
	call(t, n, "POST /v1/topics/t/partitions", []byte(`{"count":5}`), asJSON)
	call(t, n, "POST /v1/topics/t/records?partition=4", []byte("new")).want(http.StatusCreated)
	var pg page
	call(t, n, "GET /v1/topics/t/records?wait=10&cursor="+cursor, nil).want(http.StatusOK).decode(&pg)
	if got := values(pg.Records); !slices.Equal(got, []string{"new"}) || len(pg.Partitions) != 5 {
		t.Errorf("%v of %+v", got, pg.Partitions)
	}
	bad(t, n, "GET /v1/topics/t/records?cursor=abc", nil).problem(http.StatusBadRequest, "invalid_cursor")
	create(t, n, `{"name":"wide","partitions":257}`)
	call(t, n, "GET /v1/topics/wide/records", nil).problem(http.StatusBadRequest, "invalid_partitions")
}

func TestKeys(t *testing.T) {
	n := servertest.Start(t)
	create(t, n, `{"name":"c","partitions":3,"configs":{"cleanup.policy":"compact"}}`)
	create(t, n, `{"name":"d"}`)
	const key = "/v1/topics/c/keys/u%2F1%00%ff"
	call(t, n, "GET "+key, nil).problem(http.StatusNotFound, "unknown_key")
	call(t, n, "DELETE "+key, nil).problem(http.StatusNotFound, "unknown_key")
	call(t, n, "PUT "+key, []byte("0"), header{"If-Match", "*"}).problem(http.StatusPreconditionFailed, "key_precondition")
	first := call(t, n, "PUT "+key, []byte("1"), header{"If-None-Match", "*"}, header{"Content-Type", "text/x"}).
		want(http.StatusCreated)
	tag := first.Header.Get("ETag")
	if tag != fmt.Sprintf("%q", fmt.Sprint(first.produced().Offset)) || first.Header.Get("Location") == "" {
		t.Errorf("%v", first.Header)
	}
	p := call(t, n, "PUT "+key, []byte("2"), header{"If-None-Match", "*"}).problem(http.StatusPreconditionFailed, "key_precondition")
	if p.CurrentOffset == nil || *p.CurrentOffset != first.produced().Offset {
		t.Errorf("%+v", p)
	}
	got := call(t, n, "GET "+key, nil).want(http.StatusOK)
	if string(got.body) != "1" || got.Header.Get("ETag") != tag || got.Header.Get("Content-Type") != "text/x" ||
		got.Header.Get("Log-Key") != ":dS8xAP8=:" {
		t.Errorf("%s %v", got.body, got.Header)
	}
	call(t, n, "GET "+key, nil, header{"If-None-Match", tag}).want(http.StatusNotModified)
	call(t, n, "PUT "+key, []byte("2"), header{"If-Match", `"77"`}).problem(http.StatusPreconditionFailed, "key_precondition")
	second := call(t, n, "PUT "+key, []byte("2"), header{"If-Match", `"77", ` + tag}).want(http.StatusOK)
	call(t, n, "PUT "+key, []byte("3"), header{"If-Match", tag}).problem(http.StatusPreconditionFailed, "key_precondition")
	call(t, n, "PUT "+key, []byte("3"), header{"If-Match", "*"}).want(http.StatusOK)
	call(t, n, "PUT "+key, []byte("4")).want(http.StatusOK)
	call(t, n, "DELETE "+key, nil, header{"If-Match", second.Header.Get("ETag")}).
		problem(http.StatusPreconditionFailed, "key_precondition")
	call(t, n, "DELETE "+key, nil).want(http.StatusNoContent)
	call(t, n, "GET "+key, nil).problem(http.StatusNotFound, "unknown_key")
	call(t, n, "PUT "+key, []byte("5"), header{"If-None-Match", "*"}).want(http.StatusCreated)

	once := header{"Idempotency-Key", "once"}
	a := call(t, n, "PUT /v1/topics/c/keys/k", []byte("x"), once, header{"If-None-Match", "*"}).want(http.StatusCreated)
	b := call(t, n, "PUT /v1/topics/c/keys/k", []byte("x"), once, header{"If-None-Match", "*"}).want(http.StatusOK)
	if a.produced().Offset != b.produced().Offset || !b.produced().Duplicate {
		t.Errorf("%s, then %s", a.body, b.body)
	}
	call(t, n, "GET /v1/topics/d/keys/k", nil).problem(http.StatusConflict, "not_compacted")
	call(t, n, "PUT /v1/topics/d/keys/k", nil).problem(http.StatusConflict, "not_compacted")
	call(t, n, "DELETE /v1/topics/d/keys/k", nil).problem(http.StatusConflict, "not_compacted")
	call(t, n, "POST /v1/topics/c/records", []byte("no key")).want(http.StatusBadRequest)
}
