package api

import (
	"fmt"
	"testing"

	"net/http"
	"net/http/httptest"

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
