package api

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chroniklog/chronik/storage/record"
)

func getRequest(path string) *http.Request { return httptest.NewRequest(http.MethodGet, path, nil) }

// BenchmarkAppendRecordJSON is the cost of one record of a JSON answer.
func BenchmarkAppendRecordJSON(b *testing.B) {
	text := []byte(`{"user":17,"name":"somebody","note":"a value of one hundred bytes, with some quotes in it",...}`)
	plain := make([]byte, 100)
	for i := range plain {
		plain[i] = 'a' + byte(i%26)
	}
	binary := append([]byte{0xff}, plain[1:]...)
	for name, value := range map[string][]byte{"plain": plain, "escaped": text, "binary": binary} {
		b.Run(name, func(b *testing.B) {
			rec := record.Record{Offset: 123456789, Timestamp: 1767225600000, Key: []byte("user-17"), Value: value}
			dst := make([]byte, 0, 1024)
			b.SetBytes(int64(len(value)))
			b.ReportAllocs()
			for b.Loop() {
				dst = appendRecordJSON(dst[:0], 3, &rec, false)
			}
		})
	}
}

// BenchmarkRecordScanner is the cost of one line of NDJSON.
func BenchmarkRecordScanner(b *testing.B) {
	limits := DefaultLimits()
	value := "a value of one hundred bytes that needs no escapes at all, as most lines of text don't, whatever it is."
	for name, line := range map[string]string{
		"plain":   fmt.Sprintf(`{"value":%q}`, value),
		"keyed":   fmt.Sprintf(`{"key":"user-17","value":%q}`, value),
		"escaped": `{"value":"\tif err := f(\"a\"); err != nil {\n\t\treturn fmt.Errorf(\"b: %w\", err)\n\t}"}`,
		"headers": fmt.Sprintf(`{"value":%q,"headers":[{"name":"source","value":"x"}]}`, value),
	} {
		b.Run(name, func(b *testing.B) {
			s := newRecordScanner(&limits)
			text := []byte(line)
			var rec batchRecord
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				s.reset(nil)
				if err := s.line(text, &rec); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// discard is a ResponseWriter that keeps nothing.
type discard struct {
	h http.Header
	n int64
}

func (d *discard) Header() http.Header { return d.h }
func (d *discard) WriteHeader(int)     {}
func (d *discard) Flush()              {}

func (d *discard) Write(p []byte) (int, error) {
	d.n += int64(len(p))
	return len(p), nil
}

// BenchmarkPostRecord is one POST of 100 bytes through the handler: what it
// costs beside net/http, with a log that syncs at once.
func BenchmarkPostRecord(b *testing.B) {
	broker := newLogBroker(b)
	broker.add("t", 1)
	h := testHandler(b, broker, nil)
	body := bytes.Repeat([]byte("x"), 100)
	b.ReportAllocs()
	b.SetParallelism(32) // waiting for the cycle is not the handler's cost
	b.RunParallel(func(pb *testing.PB) {
		reader := bytes.NewReader(body)
		r := httptest.NewRequest(http.MethodPost, "/v1/topics/t/records", reader)
		r.Host = "127.0.0.1:8080"
		keep := r.Body
		w := &discard{h: http.Header{}}
		for pb.Next() {
			reader.Reset(body)
			r.Body = keep
			clear(w.h)
			h.ServeHTTP(w, r)
		}
	})
}

// BenchmarkRead is a catch-up read through the handler, per record of 100
// bytes.
func BenchmarkRead(b *testing.B) {
	const count = 200_000
	broker := newLogBroker(b)
	broker.add("t", 1)
	broker.fill("t", count, 100, 64<<10)
	h := testHandler(b, broker, nil)
	for _, form := range []string{"recordbatch", "ndjson", "value", "json"} {
		b.Run(form, func(b *testing.B) {
			b.ReportAllocs()
			records := 0
			w := &discard{h: http.Header{}}
			for b.Loop() {
				path := "/v1/topics/t/partitions/0/records?format=" + form
				if form == "json" {
					path += "&offset=" + itoa(int64(records%count))
					records += 1000
				} else {
					records += count
				}
				r := httptest.NewRequest(http.MethodGet, path, nil)
				r.Host = "127.0.0.1:8080"
				w.h = http.Header{}
				h.ServeHTTP(w, r)
			}
			b.ReportMetric(float64(records)/b.Elapsed().Seconds()/1e6, "Mrec/s")
			b.ReportMetric(float64(w.n)/b.Elapsed().Seconds()/1e9, "GB/s")
		})
	}
}

// BenchmarkLines is a stream of NDJSON through the handler, per line of 100
// bytes of value.
func BenchmarkLines(b *testing.B) {
	broker := newLogBroker(b)
	broker.add("t", 1)
	h := testHandler(b, broker, nil)
	line := []byte(`{"value":"` + strings.Repeat("v", 100) + "\"}\n")
	body := bytes.Repeat(line, 100_000)
	b.ReportAllocs()
	for b.Loop() {
		for _, logs := range broker.logs { // don't keep what was written
			logs[0].mu.Lock()
			logs[0].batches, logs[0].index = nil, nil
			logs[0].mu.Unlock()
		}
		r := httptest.NewRequest(http.MethodPost, "/v1/topics/t/batches", bytes.NewReader(body))
		r.Host = "127.0.0.1:8080"
		r.Header.Set("Content-Type", typeNDJSON)
		w := &discard{h: http.Header{}}
		h.ServeHTTP(w, r)
		if w.n < 50*100_000 {
			b.Fatalf("%d bytes of answers", w.n)
		}
	}
	b.ReportMetric(float64(b.N)*100_000/b.Elapsed().Seconds()/1e6, "Mlines/s")
}
