package middleware

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

func compress(t testing.TB, coding string, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser = gzip.NewWriter(&out)
	if coding == "zstd" {
		enc, err := zstd.NewWriter(&out)
		if err != nil {
			t.Fatal(err)
		}
		w = enc
	}
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// unsized hides a reader's length, as a chunked body has none.
type unsized struct{ io.Reader }

func TestBodies(t *testing.T) {
	text := []byte(strings.Repeat("the quick brown fox ", 50))
	zeros := make([]byte, 4<<20)
	small := Spec{Method: "POST", Pattern: "/r", MaxBody: 2000}
	for _, tc := range []struct {
		name   string
		spec   Spec
		ratio  int64
		body   []byte
		coding string
		want   int
		echo   []byte
	}{
		{"plain", small, 0, text, "", 200, text},
		{"identity", small, 0, text, "identity", 200, text},
		{"gzip", small, 0, compress(t, "gzip", text), "gzip", 200, text},
		{"x-gzip", small, 0, compress(t, "gzip", text), "X-Gzip", 200, text},
		{"zstd", small, 0, compress(t, "zstd", text), "zstd", 200, text},
		{
			"two gzip members", small, 0, bytes.Repeat(compress(t, "gzip", text[:20]), 2), "gzip", 200,
			bytes.Repeat(text[:20], 2),
		},
		{"brotli", small, 0, text, "br", 415, nil},
		{"two codings", small, 0, text, "gzip, zstd", 415, nil},
		{"too large", small, 0, make([]byte, 2001), "", 413, nil},
		{"just right", small, 0, make([]byte, 2000), "", 200, make([]byte, 2000)},
		{"bomb by size, gzip", small, 0, compress(t, "gzip", make([]byte, 2001)), "gzip", 413, nil},
		{"bomb by size, zstd", small, 0, compress(t, "zstd", make([]byte, 2001)), "zstd", 413, nil},
		{"bomb by ratio, gzip", Spec{Method: "POST", MaxBody: 8 << 20}, 100, compress(t, "gzip", zeros), "gzip", 413, nil},
		{"bomb by ratio, zstd", Spec{Method: "POST", MaxBody: 8 << 20}, 100, compress(t, "zstd", zeros), "zstd", 413, nil},
		{"a lot, within the ratio", Spec{Method: "POST", MaxBody: 8 << 20}, 1 << 20, compress(t, "zstd", zeros), "zstd", 200, zeros},
		{"not gzip", small, 0, text, "gzip", 400, nil},
		{"not zstd", small, 0, text, "zstd", 400, nil},
		{"cut gzip", small, 0, compress(t, "gzip", text)[:60], "gzip", 400, nil},
		{"cut zstd", small, 0, compress(t, "zstd", text)[:30], "zstd", 400, nil},
		{"flipped gzip", small, 0, flip(compress(t, "gzip", text)), "gzip", 400, nil},
		{"junk after gzip", small, 0, append(compress(t, "gzip", text), "junk"...), "gzip", 400, nil},
	} {
		for _, chunked := range []bool{false, true} {
			name := tc.name
			if chunked {
				name += ", chunked"
			}
			t.Run(name, func(t *testing.T) {
				s := &setup{spec: tc.spec, cfg: Config{MaxRatio: tc.ratio}}
				s.spec.Pattern = "/r"
				h := s.serve(t, echo)
				r := post("/r", bytes.NewReader(tc.body))
				if chunked {
					r = post("/r", unsized{bytes.NewReader(tc.body)})
					r.ContentLength = -1
				}
				if tc.coding != "" {
					r.Header.Set("Content-Encoding", tc.coding)
				}
				w := do(h, r)
				if w.Code != tc.want || tc.want == 200 && !bytes.Equal(w.Body.Bytes(), tc.echo) {
					t.Errorf("%d %.80q, want %d", w.Code, w.Body, tc.want)
				}
				if held := s.chain.admission.used.Load(); held != 0 {
					t.Errorf("%d bytes are still charged", held)
				}
			})
		}
	}
}

func flip(b []byte) []byte {
	b[len(b)-5] ^= 1 // in gzip's CRC
	return b
}

func TestAdmission(t *testing.T) {
	now := time.Unix(0, 0)
	s := &setup{cfg: Config{MaxInFlightBytes: 1000, Now: func() time.Time { return now }}}
	entered, leave := make(chan struct{}), make(chan struct{})
	h := s.serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery == "hold" {
			close(entered)
			<-leave
		}
		echo(w, r)
	})
	held := make(chan int)
	go func() { held <- do(h, post("/r?hold", bytes.NewReader(make([]byte, 900)))).Code }()
	<-entered
	if w := do(h, post("/r", bytes.NewReader(make([]byte, 101)))); w.Code != 429 {
		t.Errorf("past the limit: %d", w.Code)
	}
	r := post("/r", unsized{bytes.NewReader(make([]byte, 500))})
	r.ContentLength = -1
	if w := do(h, r); w.Code != 429 {
		t.Errorf("chunked past the limit: %d %s", w.Code, w.Body)
	}
	if w := do(h, post("/r", bytes.NewReader(make([]byte, 100)))); w.Code != 200 {
		t.Errorf("within the limit: %d", w.Code)
	}
	close(leave)
	if code := <-held; code != 200 {
		t.Errorf("the first: %d", code)
	}
	// One that is larger than the limit is served when nothing else is held.
	if w := do(h, post("/r", bytes.NewReader(make([]byte, 5000)))); w.Code != 200 {
		t.Errorf("alone: %d", w.Code)
	}
}

// The wait that a refused client is told is the time that the release of what
// stands in its way took lately.
func TestRetryAfterIsTrue(t *testing.T) {
	now := time.Unix(0, 0)
	a := newAdmission(1000, func() time.Time { return now })
	wait := func(n int64) time.Duration {
		t.Helper()
		var e *TooManyBytesError
		if err := a.acquire(n); !errors.As(err, &e) {
			t.Fatalf("acquire(%d): %v", n, err)
		}
		return e.RetryAfter
	}
	if err := a.acquire(1000); err != nil {
		t.Fatal(err)
	}
	if got := wait(500); got != time.Second {
		t.Errorf("without any measure: %s", got)
	}
	now = now.Add(time.Second)
	a.release(100) // 100 bytes per second
	if err := a.acquire(100); err != nil {
		t.Fatal(err)
	}
	if got := wait(500); got != 5*time.Second {
		t.Errorf("500 bytes at 100/s: %s", got)
	}
	if got := wait(500_000); got != mostWait {
		t.Errorf("for ever: %s", got)
	}
}

// A refused body is not read, and the answer arrives although the client is
// still sending.
func TestTooLargeIsAnsweredUnread(t *testing.T) {
	s := &setup{spec: Spec{Method: "POST", Pattern: "/r", MaxBody: 1000}}
	srv := httptest.NewServer(s.serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the handler was called") }))
	defer srv.Close()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST /r HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\nabc"); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 64)
	if _, err := io.ReadFull(conn, answer); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 413") {
		t.Errorf("%q %v", answer, err)
	}
}

// A body that trickles in is given up after BodyTimeout; the handler sees a
// timeout, and the connection is not used again.
func TestSlowBody(t *testing.T) {
	got := make(chan error, 1)
	s := &setup{cfg: Config{BodyTimeout: 50 * time.Millisecond}}
	srv := httptest.NewServer(s.serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		got <- err
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusRequestTimeout)
	}))
	defer srv.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST /r HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc"); err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(conn) // until the server closes
	if err != nil || !strings.HasPrefix(string(all), "HTTP/1.1 408") {
		t.Errorf("%q %v", all, err)
	}
	var timeout net.Error
	if err := <-got; !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("the handler saw %v", err)
	}
}

// A stream has no limit of size and no deadline, and is charged a fixed sum.
func TestStreamBody(t *testing.T) {
	s := &setup{
		spec: Spec{Method: "POST", Pattern: "/r", MaxBody: 1000, StreamType: "application/x-ndjson"},
		cfg:  Config{BodyTimeout: time.Nanosecond},
	}
	h := s.serve(t, func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if held := s.chain.admission.used.Load(); n != 1<<20 || err != nil || held != streamCharge {
			t.Errorf("read %d (%v) while %d are charged", n, err, held)
		}
	})
	srv := httptest.NewServer(h)
	defer srv.Close()
	for _, coding := range []string{"", "gzip", "zstd"} {
		body := bytes.Repeat([]byte("0123456789abcde\n"), 1<<16)
		if coding != "" {
			body = compress(t, coding, body)
		}
		req, err := http.NewRequest("POST", srv.URL+"/r", unsized{bytes.NewReader(body)})
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-ndjson; charset=utf-8")
		if coding != "" {
			req.Header.Set("Content-Encoding", coding)
		}
		resp, err := srv.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
}

func FuzzBody(f *testing.F) {
	f.Add(compress(f, "gzip", []byte("hello")), false)
	f.Add(compress(f, "zstd", []byte("hello")), true)
	f.Add([]byte{0x1f, 0x8b}, false)
	f.Fuzz(func(t *testing.T, sent []byte, z bool) {
		c := gzipCoding
		if z {
			c = zstdCoding
		}
		var held int64
		b := body{
			src: io.NopCloser(bytes.NewReader(sent)), coding: c, limit: 1 << 16, ratio: 50,
			admission: newAdmission(1<<20, time.Now), held: &held, codecs: new(codecs),
		}
		out, err := io.ReadAll(&b)
		if len(out) > 1<<16 || held > 1<<17 {
			t.Errorf("%d bytes came out, %d are charged", len(out), held)
		}
		if err != nil && !errors.Is(err, ErrInvalidCompression) && !errors.Is(err, ErrDecompressedTooLarge) &&
			!errors.Is(err, ErrBodyTooLarge) {
			t.Errorf("error %v", err)
		}
		_ = b.Close()
	})
}
