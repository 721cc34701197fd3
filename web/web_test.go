package web

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http/httptest"
	"path"
	"strings"
	"testing"
)

// ask sends one request, with header pairs.
func ask(t *testing.T, method, target string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	New().ServeHTTP(w, r)
	return w
}

func TestEveryFileIsServed(t *testing.T) {
	c := New()
	if len(c.files) < 20 {
		t.Fatalf("only %d files", len(c.files))
	}
	for target, f := range c.files {
		w := ask(t, "GET", target)
		if w.Code != 200 || !bytes.Equal(w.Body.Bytes(), f.plain) || w.Header().Get("Content-Encoding") != "" {
			t.Errorf("GET %s: %d, %d bytes of %d", target, w.Code, w.Body.Len(), len(f.plain))
		}
		end := path.Ext(target)
		if target == "/" {
			end = ".html"
		}
		for name, want := range map[string]string{
			"Content-Type": mediaTypes[end], "Content-Security-Policy": c.policy, "X-Content-Type-Options": "nosniff",
			"Cache-Control": "no-cache", "Referrer-Policy": "no-referrer",
		} {
			if got := w.Header().Get(name); got != want || got == "" {
				t.Errorf("GET %s: %s is %q, want %q", target, name, got, want)
			}
		}
		if w := ask(t, "HEAD", target); w.Code != 200 || w.Body.Len() != 0 {
			t.Errorf("HEAD %s: %d, %d bytes", target, w.Code, w.Body.Len())
		}
		tag := w.Header().Get("ETag")
		if w := ask(t, "GET", target, "If-None-Match", tag); w.Code != 304 || w.Body.Len() != 0 || tag == "" {
			t.Errorf("GET %s with its ETag %s: %d", target, tag, w.Code)
		}
		checkCompressed(t, target, f, tag)
	}
}

func checkCompressed(t *testing.T, target string, f *file, tag string) {
	t.Helper()
	w := ask(t, "GET", target, "Accept-Encoding", "br, gzip")
	body, encoded := io.Reader(w.Body), w.Header().Get("Content-Encoding") == "gzip"
	if encoded != (len(f.plain) >= leastGzipped) || encoded == (w.Header().Get("ETag") == tag) {
		t.Errorf("GET %s: encoded %v with ETag %s, plain %s", target, encoded, w.Header().Get("ETag"), tag)
	}
	if encoded {
		z, err := gzip.NewReader(body)
		if err != nil {
			t.Fatal(err)
		}
		body = z
	}
	if plain, err := io.ReadAll(body); err != nil || !bytes.Equal(plain, f.plain) {
		t.Errorf("GET %s with gzip: %d bytes, %v", target, len(plain), err)
	}
}

func TestNothingElseIsServed(t *testing.T) {
	c := New()
	for _, target := range []string{
		"/index.html", "/assets", "/assets/", "/assets/index.html", "/assets/none.js", "/assets/lib", "/v1/topics",
		"/assets/../web.go", "/static/app.js", "/livez", "",
	} {
		if c.Has(target) {
			t.Errorf("Has(%q)", target)
		}
	}
	if w := ask(t, "GET", "/assets/none.js"); w.Code != 404 || w.Body.Len() != 0 {
		t.Errorf("an unknown file: %d", w.Code)
	}
	if w := ask(t, "POST", "/"); w.Code != 404 {
		t.Errorf("POST /: %d", w.Code)
	}
}

// The policy allows nothing but this origin's files, and the one import map.
func TestPolicy(t *testing.T) {
	got := New().policy
	for _, want := range []string{
		"default-src 'none'", "script-src 'self' 'sha256-", "style-src 'self';", "connect-src 'self'",
		"base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%s lacks %s", got, want)
		}
	}
	for _, never := range []string{"unsafe", "*", "http:", "https:", "data:"} {
		if strings.Contains(got, never) {
			t.Errorf("%s allows %s", got, never)
		}
	}
	if _, err := policy([]byte("<html></html>")); err == nil {
		t.Error("a page without an import map has a policy")
	}
	other, err := policy([]byte(`<script type="importmap">{}</script>`))
	if err != nil || other == got {
		t.Errorf("another import map has the same policy: %v", err)
	}
}

func TestAcceptsGzip(t *testing.T) {
	for accept, want := range map[string]bool{
		"": false, "gzip": true, "GZIP": true, "br, gzip": true, "gzip;q=1": true, "gzip; q=0.5": true,
		"gzip;q=0": false, "gzip;q=0.000": false, "br": false, "x-gzip": false, "deflate, gzip;q=0.01": true,
	} {
		if got := acceptsGzip(accept); got != want {
			t.Errorf("%q: %v", accept, got)
		}
	}
}
