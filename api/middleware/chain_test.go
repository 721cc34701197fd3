package middleware

import (
	"bytes"
	"errors"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.opentelemetry.io/otel/trace"
)

// statusOf stands in for the API's problem table.
func statusOf(err error) int {
	for sentinel, status := range map[error]int{
		ErrHostNotAllowed: 403, ErrCrossOrigin: 403, ErrBodyTooLarge: 413, ErrDecompressedTooLarge: 413,
		ErrTooManyBytes: 429, ErrUnsupportedEncoding: 415, ErrInvalidCompression: 400, ErrPanic: 500,
	} {
		if errors.Is(err, sentinel) {
			return status
		}
	}
	return 500
}

type setup struct {
	cfg   Config
	spec  Spec
	log   bytes.Buffer
	chain *Chain
}

// serve builds a handler of one route.
func (s *setup) serve(t testing.TB, h http.HandlerFunc) http.Handler {
	t.Helper()
	s.cfg.Logger = slog.New(slog.NewTextHandler(&s.log, nil))
	if s.cfg.Now == nil {
		s.cfg.Now = time.Now
	}
	s.cfg.Registry = prometheus.NewRegistry()
	s.cfg.Fail = func(w http.ResponseWriter, r *http.Request, err error) {
		NoteError(w, err)
		StopEncoding(w)
		http.Error(w, err.Error()+" trace="+TraceID(w, r), statusOf(err))
	}
	if s.cfg.MaxInFlightBytes == 0 {
		s.cfg.MaxInFlightBytes = 1 << 30
	}
	if s.spec.Method == "" {
		s.spec.Method, s.spec.Pattern = "POST", "/r"
	}
	if s.spec.MaxBody == 0 {
		s.spec.MaxBody = 1 << 20
	}
	chain, err := NewChain(s.cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.chain = chain
	return chain.Wrap(chain.Route(s.spec, h), func(p string) bool { return p == "/livez" })
}

func post(path string, body io.Reader, header ...string) *http.Request {
	r := httptest.NewRequest("POST", path, body)
	r.Host = "127.0.0.1:8080"
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

func echo(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), statusOf(err))
		return
	}
	_, _ = w.Write(b)
}

func do(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestHosts(t *testing.T) {
	h := newHosts([]string{"chronik.example:8080", "Other.Example."})
	for host, want := range map[string]bool{
		"localhost": true, "localhost:8080": true, "LOCALHOST": true, "a.localhost:1": true, "127.0.0.1": true,
		"127.0.0.1:8080": true, "[::1]": true, "[::1]:8080": true, "10.1.2.3:80": true, "": true,
		"chronik.example": true, "CHRONIK.example:9": true, "chronik.example.": true, "other.example": true,
		"evil.example": false, "localhost.evil.example": false, "127.0.0.1.evil.example": false, ":8080": false,
		"xchronik.example": false, "[": false, "::1": true, "[::1].evil:80": false,
	} {
		if got := h.allows(host); got != want {
			t.Errorf("%q: %v, want %v", host, got, want)
		}
	}
	if all := newHosts([]string{"*"}); !all.allows("evil.example") {
		t.Error(`"*" does not allow every host`)
	}
}

func FuzzHosts(f *testing.F) {
	h := newHosts([]string{"chronik.example"})
	for _, s := range []string{"localhost", "[::1]:80", "a:b:c", "::", "[", "]", ":"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, host string) {
		// A name that only contains an allowed one is never allowed.
		if h.allows(host) && h.allows("evil-"+host) && strings.Trim(host, "0123456789.:[]abcdefABCDEF%") != "" &&
			!strings.Contains(strings.ToLower(host), ".localhost") && !strings.Contains(host, "%") {
			t.Errorf("%q and evil-%q are both allowed", host, host)
		}
	})
}

func TestHostAndOrigin(t *testing.T) {
	s := &setup{cfg: Config{AllowedOrigins: []string{"https://console.example"}}}
	h := s.serve(t, echo)
	for _, tc := range []struct {
		name, method, path, host string
		header                   []string
		want                     int
	}{
		{"curl", "POST", "/r", "127.0.0.1:8080", nil, 200},
		{"rebound name", "POST", "/r", "evil.example:8080", nil, 403},
		{"rebound read", "GET", "/r", "evil.example:8080", nil, 403},
		{"health under any name", "GET", "/livez", "pod-7:8080", nil, 200},
		{"own page", "POST", "/r", "localhost:8080", []string{"Origin", "http://localhost:8080"}, 200},
		{"foreign page", "POST", "/r", "localhost:8080", []string{"Origin", "https://evil.example"}, 403},
		{"foreign page, modern", "POST", "/r", "localhost:8080", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"foreign read", "GET", "/r", "localhost:8080", []string{"Sec-Fetch-Site", "cross-site"}, 200},
		{"trusted page", "POST", "/r", "localhost:8080", []string{"Origin", "https://console.example"}, 200},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := httptest.NewRequest(tc.method, tc.path, nil)
			r.Host = tc.host
			for i := 0; i < len(tc.header); i += 2 {
				r.Header.Set(tc.header[i], tc.header[i+1])
			}
			w := do(h, r)
			if w.Code != tc.want || w.Header().Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%d %v %s, want %d", w.Code, w.Header(), w.Body, tc.want)
			}
		})
	}
}

func TestBadOriginIsAnError(t *testing.T) {
	_, err := NewChain(Config{Now: time.Now, Registry: prometheus.NewRegistry(), AllowedOrigins: []string{"console"}})
	if err == nil {
		t.Error("an origin without a scheme was taken")
	}
}

func TestPanics(t *testing.T) {
	s := &setup{}
	late := false
	h := s.serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if late {
			_, _ = w.Write([]byte("half"))
		}
		panic("boom")
	})
	if w := do(h, post("/r", nil)); w.Code != 500 {
		t.Errorf("status %d", w.Code)
	}
	if !strings.Contains(s.log.String(), "boom") || !strings.Contains(s.log.String(), "trace_id=") {
		t.Errorf("log %q", s.log.String())
	}
	late = true
	func() {
		defer func() {
			if p := recover(); p != http.ErrAbortHandler { //nolint:errorlint // the server compares so
				t.Errorf("an answer that has begun must be cut, recovered %v", p)
			}
		}()
		do(h, post("/r", nil))
	}()
	if n := testutil.ToFloat64(s.chain.metrics.panics); n != 2 {
		t.Errorf("%v panics counted", n)
	}
	if s.chain.inFlight.Load() != 0 {
		t.Error("requests leak")
	}
}

// A storm of failures is logged a little and counted.
func TestFailuresAreLoggedSparingly(t *testing.T) {
	now := time.Unix(0, 0)
	s := &setup{cfg: Config{Now: func() time.Time { return now }}}
	h := s.serve(t, func(w http.ResponseWriter, _ *http.Request) {
		NoteError(w, errors.New("no such disk"))
		w.WriteHeader(http.StatusInternalServerError)
	})
	for range 100 {
		do(h, post("/r", nil))
	}
	if n := strings.Count(s.log.String(), "no such disk"); n != linesPerSecond {
		t.Errorf("%d lines in one second", n)
	}
	now = now.Add(time.Second)
	do(h, post("/r", nil))
	if !strings.Contains(s.log.String(), "not_logged=80") {
		t.Errorf("log %s", s.log.String())
	}
}

func TestDrainingClosesConnections(t *testing.T) {
	draining := make(chan struct{})
	s := &setup{cfg: Config{Draining: draining}}
	h := s.serve(t, echo)
	if w := do(h, post("/r", nil)); w.Header().Get("Connection") != "" {
		t.Error("closed before draining")
	}
	close(draining)
	if w := do(h, post("/r", nil)); w.Code != 200 || w.Header().Get("Connection") != "close" {
		t.Errorf("draining: %d %v", w.Code, w.Header())
	}
}

func TestMetrics(t *testing.T) {
	s := &setup{}
	status := 201
	h := s.serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(status)
		_, _ = w.Write([]byte("12345"))
	})
	do(h, post("/r", strings.NewReader("abc")))
	status = 418
	do(h, post("/r", strings.NewReader("abc")))
	rm := s.chain.metrics.route("POST", "/r")
	for name, got := range map[string]float64{
		"201": testutil.ToFloat64(rm.status(201)), "418": testutil.ToFloat64(rm.status(418)),
		"received": testutil.ToFloat64(rm.received) / 6, "sent": testutil.ToFloat64(rm.sent) / 10,
	} {
		if got != 1 {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// A writer of the server is reached through the wrapper.
func TestResponseController(t *testing.T) {
	s := &setup{}
	done := make(chan error, 3)
	srv := httptest.NewUnstartedServer(s.serve(t, func(w http.ResponseWriter, _ *http.Request) {
		rc := http.NewResponseController(w)
		done <- rc.EnableFullDuplex()
		done <- rc.SetReadDeadline(time.Time{})
		_, _ = w.Write([]byte("a"))
		done <- rc.Flush()
		w.(http.Flusher).Flush()
	}))
	var complaints bytes.Buffer
	srv.Config.ErrorLog = log.New(&complaints, "", 0)
	srv.Start()
	defer srv.Close()
	for range 2 { // the connection is reused although the handler left the body
		resp, err := srv.Client().Post(srv.URL+"/r", "text/plain", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		for range 3 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	srv.Close()
	if complaints.Len() > 0 {
		t.Errorf("the server says %s", complaints.String())
	}
}

func TestTraceIDs(t *testing.T) {
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	var got [2]string
	s := &setup{}
	h := s.serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = [2]string{TraceID(w, r), TraceID(w, r)}
		valid := strings.HasPrefix(r.Header.Get("Traceparent"), "00-0af7")
		if valid != trace.SpanContextFromContext(r.Context()).IsValid() {
			t.Error("the context has not what the header has")
		}
	})
	w := do(h, post("/r", nil, "Traceparent", parent))
	if got[0] != "0af7651916cd43dd8448eb211c80319c" || !strings.Contains(w.Header().Get("Server-Timing"), got[0]) {
		t.Errorf("%v %v", got, w.Header())
	}
	w = do(h, post("/r", nil))
	if len(got[0]) != 32 || got[0] != got[1] || w.Header().Get("Server-Timing") != "" {
		t.Errorf("%v %v", got, w.Header())
	}
	first := got[0]
	if do(h, post("/r", nil, "Traceparent", "00-nonsense")); got[0] == first || len(got[0]) != 32 {
		t.Errorf("%v", got)
	}
}
