package middleware

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

func TestNegotiate(t *testing.T) {
	for accept, want := range map[string]coding{
		"": identity, "gzip": gzipCoding, "zstd": zstdCoding, "gzip, zstd": zstdCoding, "zstd;q=0.5, gzip": gzipCoding,
		"gzip;q=0": identity, "br": identity, "*": identity, "GZIP": gzipCoding, "gzip;q=2": identity,
		"deflate, gzip;q=1.0, *;q=0.5": gzipCoding, "gzip;q=x": identity, " zstd ; q=0.1 ": zstdCoding,
	} {
		if got := negotiate(accept); got != want {
			t.Errorf("%q: %s, want %s", accept, got, want)
		}
	}
}

func decoded(t *testing.T, w *httptest.ResponseRecorder) []byte {
	t.Helper()
	var r io.Reader = w.Body
	var err error
	switch w.Header().Get("Content-Encoding") {
	case "gzip":
		r, err = gzip.NewReader(w.Body)
	case "zstd":
		r, err = zstd.NewReader(w.Body)
	}
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAnswersAreCompressed(t *testing.T) {
	long := []byte(`["` + strings.Repeat("abc ", 1000) + `"]`)
	for _, tc := range []struct {
		name, accept, mediaType string
		body                    []byte
		header                  []string
		want                    string
	}{
		{"gzip", "gzip", "application/json", long, nil, "gzip"},
		{"zstd", "gzip, zstd", "application/x-ndjson", long, nil, "zstd"},
		{"with a length", "gzip", "application/json", long, []string{"Content-Length", fmt.Sprint(len(long))}, "gzip"},
		{"text", "gzip", "text/plain; charset=utf-8", long, nil, "gzip"},
		{"not asked", "", "application/json", long, nil, ""},
		{"short", "gzip", "application/json", []byte("[]"), nil, ""},
		{"short, declared", "gzip", "application/json", []byte("[]"), []string{"Content-Length", "2"}, ""},
		{"batches", "gzip", "application/vnd.kafka.recordbatch.v2", long, nil, ""},
		{"picture", "gzip", "image/png", long, nil, ""},
		{"events", "gzip", "text/event-stream", long, nil, ""},
		{"encoded by the handler", "gzip", "application/json", long, []string{"Content-Encoding", "br"}, "br"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := &setup{}
			h := s.serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", tc.mediaType)
				w.Header().Set("ETag", `"7"`)
				for i := 0; i < len(tc.header); i += 2 {
					w.Header().Set(tc.header[i], tc.header[i+1])
				}
				if len(tc.header) > 0 {
					w.WriteHeader(200)
				}
				_, _ = w.Write(tc.body)
			})
			for range 2 { // the second takes its encoder from the pool
				w := do(h, post("/r", nil, "Accept-Encoding", tc.accept))
				if got := w.Header().Get("Content-Encoding"); got != tc.want {
					t.Fatalf("Content-Encoding %q, want %q", got, tc.want)
				}
				if got := decoded(t, w); !bytes.Equal(got, tc.body) {
					t.Errorf("body %.40q", got)
				}
				tag := `"7"`
				if tc.want == "gzip" || tc.want == "zstd" {
					tag = `"7-` + tc.want + `"`
				}
				if got := w.Header().Get("ETag"); got != tag {
					t.Errorf("ETag %s, want %s", got, tag)
				}
			}
		})
	}
}

// A client sends back the ETag that it got; the handler knows only its own.
func TestConditionsLoseTheCoding(t *testing.T) {
	s := &setup{}
	h := s.serve(t, func(_ http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("If-None-Match"); got != `"a-1", W/"b"` {
			t.Errorf("If-None-Match %s", got)
		}
	})
	do(h, post("/r", nil, "Accept-Encoding", "gzip", "If-None-Match", `"a-1-gzip", W/"b-zstd"`))
}

// What a handler flushes arrives at once, compressed or not.
func TestFlushedStream(t *testing.T) {
	first := strings.Repeat("line\n", 400)
	for _, coding := range []string{"gzip", "zstd"} {
		more := make(chan struct{})
		s := &setup{}
		srv := httptest.NewServer(s.serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/x-ndjson")
			_, _ = io.WriteString(w, first)
			_ = http.NewResponseController(w).Flush()
			<-more
			_, _ = io.WriteString(w, "last\n")
		}))
		req, err := http.NewRequest("POST", srv.URL+"/r", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept-Encoding", coding)
		resp, err := srv.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if got := resp.Header.Get("Content-Encoding"); got != coding {
			t.Errorf("Content-Encoding %q", got)
		}
		r := decoder(t, coding, resp.Body)
		b := make([]byte, len(first))
		if _, err := io.ReadFull(r, b); err != nil || string(b) != first {
			t.Errorf("%s: first part %q %v", coding, b, err)
		}
		close(more)
		if rest, err := io.ReadAll(r); err != nil || string(rest) != "last\n" {
			t.Errorf("%s: rest %q %v", coding, rest, err)
		}
		_ = resp.Body.Close()
		srv.Close()
	}
}

func decoder(t *testing.T, coding string, r io.Reader) io.Reader {
	t.Helper()
	if coding == "zstd" {
		dec, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		return dec
	}
	dec, err := gzip.NewReader(r)
	if err != nil {
		t.Fatal(err)
	}
	return dec
}

func FuzzNegotiate(f *testing.F) {
	f.Add("gzip;q=1.0, zstd;q=0.5")
	f.Fuzz(func(t *testing.T, accept string) {
		c := negotiate(accept)
		if c != identity && !strings.Contains(strings.ToLower(accept), strings.TrimPrefix(c.String(), "x-")) {
			t.Errorf("%q gave %s", accept, c)
		}
	})
}

// The whole chain around a handler that answers as the produce path does.
func BenchmarkChain(b *testing.B) {
	s := &setup{}
	h := s.serve(b, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) })
	r := post("/r", nil)
	r.ContentLength = 100
	r.Body = http.NoBody
	w := httptest.NewRecorder()
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(w, r)
	}
}
