package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chroniklog/chronik/server"
)

func TestTopicLife(t *testing.T) {
	h := New(testDeps(t, &fakeBroker{}))
	for _, step := range []struct {
		exchange
		status int
		want   string
	}{
		{
			exchange{method: "POST", path: "/v1/topics", body: `{"name":"t","partitions":3,"configs":{"retention.ms":"5"}}`},
			201, `"name":"t","partitions":3,"replication_factor":1`,
		},
		{exchange{method: "POST", path: "/v1/topics", body: `{"name":"t"}`}, 409, `"code":"topic_exists"`},
		{exchange{method: "PUT", path: "/v1/topics/t"}, 200, `"partitions":3`},
		{exchange{method: "PUT", path: "/v1/topics/t", body: `{"partitions":3,"configs":{"retention.ms":"5"}}`}, 200, `"id"`},
		{exchange{method: "PUT", path: "/v1/topics/t", body: `{"partitions":4}`}, 409, `3, not 4`},
		{exchange{method: "PUT", path: "/v1/topics/t", body: `{"replication_factor":3}`}, 409, `replication_factor 1, not 3`},
		{exchange{method: "PUT", path: "/v1/topics/t", body: `{"configs":{"retention.ms":"6"}}`}, 409, `retention.ms 5, not 6`},
		{exchange{method: "PUT", path: "/v1/topics/u", body: `{}`}, 201, `"configs":{}`},
		{exchange{method: "GET", path: "/v1/topics/t"}, 200, `"effective_configs":[{"default":"604800000","is_default":false`},
		{exchange{
			method: "PATCH", path: "/v1/topics/t", body: `{"configs":{"retention.ms":null,"segment.bytes":"9"}}`,
			header: map[string]string{"Content-Type": "application/merge-patch+json"},
		}, 200, `"configs":{"segment.bytes":"9"}`},
		{exchange{
			method: "PATCH", path: "/v1/topics/t", body: `{"configs":{"nonsense":"9"}}`,
			header: map[string]string{"Content-Type": "application/merge-patch+json"},
		}, 400, `"code":"invalid_config"`},
		{exchange{method: "POST", path: "/v1/topics/t/partitions", body: `{"count":5}`}, 200, `"partitions":5`},
		{exchange{method: "POST", path: "/v1/topics/t/partitions", body: `{"count":5}`}, 400, `"code":"invalid_partitions"`},
		{exchange{method: "GET", path: "/v1/topics/t/partitions"}, 200, `{"partitions":[{"bytes":0,"high_watermark":50,`},
		{exchange{method: "GET", path: "/v1/topics/t/partitions/4"}, 200, `"partition":4`},
		{exchange{method: "GET", path: "/v1/topics/t/partitions/5"}, 404, `"code":"unknown_partition"`},
		{exchange{method: "HEAD", path: "/v1/topics/t/partitions/4"}, 200, ``},
		{exchange{method: "HEAD", path: "/v1/topics/t/partitions/5"}, 404, ``},
		{exchange{method: "DELETE", path: "/v1/topics/t"}, 204, ``},
		{exchange{method: "GET", path: "/v1/topics/t"}, 404, `"code":"unknown_topic"`},
		{exchange{method: "GET", path: "/v1/topics/t/partitions"}, 404, `"code":"unknown_topic"`},
		{exchange{method: "DELETE", path: "/v1/topics/t"}, 404, `"code":"unknown_topic"`},
		{exchange{method: "GET", path: "/v1/cluster"}, 200, `"in_flight_bytes":268435456`},
	} {
		w := step.do(t, h)
		if w.Code != step.status || !strings.Contains(w.Body.String(), step.want) {
			t.Errorf("%s %s: %d %s\nwant %d with %s", step.method, step.path, w.Code, w.Body, step.status, step.want)
		}
	}
}

func TestCreateAnswersWithLocation(t *testing.T) {
	h := New(testDeps(t, &fakeBroker{}))
	w := exchange{method: "POST", path: "/v1/topics", body: `{"name":"a.b-c"}`}.do(t, h)
	if got := w.Header().Get("Location"); got != "/v1/topics/a.b-c" {
		t.Errorf("Location %q", got)
	}
	w = exchange{method: "HEAD", path: "/v1/topics/a.b-c/partitions/0"}.do(t, h)
	if w.Header().Get("Log-High-Watermark") != "50" || w.Body.Len() != 0 {
		t.Errorf("HEAD: %v %q", w.Header(), w.Body)
	}
}

func TestListPages(t *testing.T) {
	b := &fakeBroker{}
	for _, name := range []string{"a1", "a2", "a3", "b1"} {
		if _, err := b.create(server.TopicSpec{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	h := New(testDeps(t, b))
	var names []string
	for token, n := "", 0; n < 5; n++ {
		path := "/v1/topics?prefix=a&limit=2"
		if token != "" {
			path += "&page_token=" + token
		}
		var page struct {
			Topics []struct{ Name string }
			Next   string `json:"next_page_token"`
		}
		if err := json.Unmarshal(exchange{method: "GET", path: path}.do(t, h).Body.Bytes(), &page); err != nil {
			t.Fatal(err)
		}
		for _, topic := range page.Topics {
			names = append(names, topic.Name)
		}
		if token = page.Next; token == "" {
			break
		}
	}
	if got := strings.Join(names, " "); got != "a1 a2 a3" {
		t.Errorf("pages gave %q", got)
	}
}

func TestBadControlRequests(t *testing.T) {
	long := strings.Repeat("x", 250)
	form := map[string]string{"Content-Type": "application/x-www-form-urlencoded"}
	merge := map[string]string{"Content-Type": "application/merge-patch+json; charset=utf-8"}
	for _, tc := range []struct {
		name, method, path, body string
		header                   map[string]string
		status                   int
		code, detail             string
	}{
		{"no body", "POST", "/v1/topics", "", nil, 415, CodeUnsupportedMediaType, "application/json"},
		{"not JSON", "POST", "/v1/topics", "name=t", nil, 400, CodeInvalidJSON, "byte"},
		{"cut JSON", "POST", "/v1/topics", `{"name":"t"`, nil, 400, CodeInvalidJSON, "ends early"},
		{"blank", "POST", "/v1/topics", "  ", nil, 400, CodeInvalidJSON, "empty"},
		{"two documents", "POST", "/v1/topics", `{"name":"t"} {}`, nil, 400, CodeInvalidJSON, "more after"},
		{"broken UTF-8", "POST", "/v1/topics", "{\"name\":\"\xff\"}", nil, 400, CodeInvalidJSON, "UTF-8"},
		{"deep", "POST", "/v1/topics", strings.Repeat("[", 40), nil, 400, CodeInvalidJSON, "deeper"},
		{"array", "POST", "/v1/topics", `[]`, nil, 400, CodeInvalidField, "an object"},
		{"wrong type", "POST", "/v1/topics", `{"name":7}`, nil, 400, CodeInvalidField, "name: want a string, have number"},
		{"nested type", "POST", "/v1/topics", `{"name":"t","configs":{"a":7}}`, nil, 400, CodeInvalidField, "configs"},
		{"fraction", "POST", "/v1/topics", `{"name":"t","partitions":1.5}`, nil, 400, CodeInvalidField, "partitions"},
		{"overflow", "POST", "/v1/topics", `{"name":"t","partitions":3000000000}`, nil, 400, CodeInvalidField, "whole number"},
		{"negative", "POST", "/v1/topics", `{"name":"t","partitions":-1}`, nil, 400, CodeInvalidField, "1 or more"},
		{"zero", "POST", "/v1/topics", `{"name":"t","partitions":0}`, nil, 400, CodeInvalidField, "1 or more"},
		{"replication", "POST", "/v1/topics", `{"name":"t","replication_factor":40000}`, nil, 400, CodeInvalidField, "32767"},
		{"unknown member", "POST", "/v1/topics", `{"name":"t","partition":1}`, nil, 400, CodeUnknownField, "did you mean partitions?"},
		{"twice", "POST", "/v1/topics", `{"name":"t","name":"u"}`, nil, 400, CodeInvalidField, "twice"},
		{"form", "POST", "/v1/topics", `{"name":"t"}`, form, 415, CodeUnsupportedMediaType, "--json"},
		{"empty name", "POST", "/v1/topics", `{"name":""}`, nil, 400, CodeInvalidTopic, ""},
		{"no name", "POST", "/v1/topics", `{}`, nil, 400, CodeInvalidTopic, ""},
		{"dots", "POST", "/v1/topics", `{"name":".."}`, nil, 400, CodeInvalidTopic, ""},
		{"long name", "POST", "/v1/topics", `{"name":"` + long + `"}`, nil, 400, CodeInvalidTopic, ""},
		{"control character", "POST", "/v1/topics", `{"name":"a\u0007"}`, nil, 400, CodeInvalidTopic, ""},
		{"reserved", "POST", "/v1/topics", `{"name":"__x"}`, nil, 403, CodeReservedTopic, ""},
		{"escaped slash", "PUT", "/v1/topics/a%2Fb", "", nil, 400, CodeInvalidTopic, "a/b"},
		{"escaped space", "GET", "/v1/topics/a%20b", "", nil, 404, CodeUnknownTopic, `"a b"`},
		{"escaped twice", "GET", "/v1/topics/a%2520b", "", nil, 404, CodeUnknownTopic, `"a%20b"`},
		{"escaped percent", "PUT", "/v1/topics/100%25", "", nil, 400, CodeInvalidTopic, "100%"},
		{"dots in path", "PUT", "/v1/topics/..", "", nil, 400, CodeInvalidTopic, ""},
		{"put type", "PUT", "/v1/topics/t", `{"partitions":"3"}`, nil, 400, CodeInvalidField, "partitions"},
		{"patch as JSON", "PATCH", "/v1/topics/t", `{"configs":{}}`, nil, 415, CodeUnsupportedMediaType, "merge-patch"},
		{"patch nothing", "PATCH", "/v1/topics/t", `{}`, merge, 400, CodeInvalidField, "configs"},
		{"patch null", "PATCH", "/v1/topics/t", `{"configs":null}`, merge, 400, CodeInvalidField, "configs"},
		{"patch number", "PATCH", "/v1/topics/t", `{"configs":{"retention.ms":5}}`, merge, 400, CodeInvalidField, "put it in quotes"},
		{"patch name", "PATCH", "/v1/topics/t", `{"name":"u"}`, merge, 400, CodeUnknownField, "name"},
		{"count", "POST", "/v1/topics/t/partitions", `{}`, nil, 400, CodeInvalidField, "count"},
		{"partition", "GET", "/v1/topics/t/partitions/-1", "", nil, 400, CodeInvalidParameter, "partition"},
		{"partition word", "GET", "/v1/topics/t/partitions/x", "", nil, 400, CodeInvalidParameter, "whole number"},
		{"partition overflow", "GET", "/v1/topics/t/partitions/2147483648", "", nil, 400, CodeInvalidParameter, "whole number"},
		{"limit", "GET", "/v1/topics?limit=0", "", nil, 400, CodeInvalidParameter, "1 to 1000"},
		{"limit too large", "GET", "/v1/topics?limit=1001", "", nil, 400, CodeInvalidParameter, "1 to 1000"},
		{"limit overflow", "GET", "/v1/topics?limit=99999999999", "", nil, 400, CodeInvalidParameter, "limit"},
		{"limit word", "GET", "/v1/topics?limit=ten", "", nil, 400, CodeInvalidParameter, "limit"},
		{"limit twice", "GET", "/v1/topics?limit=1&limit=2", "", nil, 400, CodeInvalidParameter, "twice"},
		{"unknown query", "GET", "/v1/topics?prefx=a", "", nil, 400, CodeUnknownParameter, "prefix"},
		{"query of none", "GET", "/v1/cluster?a=1", "", nil, 400, CodeUnknownParameter, "none"},
		{"bad escape", "GET", "/v1/topics?prefix=%zz", "", nil, 400, CodeInvalidParameter, "encoding"},
		{"token", "GET", "/v1/topics?page_token=xyz", "", nil, 400, CodeInvalidPageToken, "next_page_token"},
		{"token base64", "GET", "/v1/topics?page_token=YWJj", "", nil, 400, CodeInvalidPageToken, ""},
		{"method", "POST", "/v1/cluster", `{}`, nil, 405, CodeMethodNotAllowed, "GET"},
		{"path", "GET", "/v1/topic", "", nil, 404, CodeNotFound, "/openapi.json"},
		{"no topic", "GET", "/v1/topics/", "", nil, 404, CodeNotFound, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := &fakeBroker{}
			e := exchange{method: tc.method, path: tc.path, body: tc.body, header: tc.header, bad: true}
			w := e.do(t, New(testDeps(t, b)))
			var p Problem
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
				t.Fatalf("%d %s: %v", w.Code, w.Body, err)
			}
			if w.Code != tc.status || p.Code != tc.code || !strings.Contains(p.Detail, tc.detail) {
				t.Errorf("%d %+v, want %d %s with %q", w.Code, p, tc.status, tc.code, tc.detail)
			}
			if p.Outcome != NotApplied || p.Retryable || len(b.topics) > 0 {
				t.Errorf("%+v; topics %v", p, b.topics)
			}
		})
	}
}

func TestMethodNotAllowedNamesTheMethods(t *testing.T) {
	h := New(testDeps(t, &fakeBroker{}))
	for path, want := range map[string]string{
		"/v1/topics":                   "GET, POST",
		"/v1/topics/a%2Fb":             "GET, PUT, PATCH, DELETE",
		"/v1/topics/t/partitions/0":    "GET, HEAD",
		"/v1/topics/t/records":         "GET, POST",
		"/v1/topics/t/keys/k":          "GET, HEAD, PUT, DELETE",
		"/metrics":                     "GET",
		"/v1/topics/t/partitions/0/no": "",
	} {
		w := exchange{method: "OPTIONS", path: path, bad: true}.do(t, h)
		if got := w.Header().Get("Allow"); got != want || (w.Code == 405) != (want != "") {
			t.Errorf("%s: %d Allow %q, want %q", path, w.Code, got, want)
		}
	}
}

// What the broker says reaches the client as a problem that tells it enough.
func TestBrokerErrors(t *testing.T) {
	for _, tc := range []struct {
		err        error
		status     int
		code       string
		retryAfter bool
	}{
		{server.ErrUnavailable, 503, CodeNoController, true},
		{server.ErrNotEnoughBrokers, 503, CodeNotEnoughBrokers, true},
		{server.ErrOutcomeUnknown, 504, CodeOutcomeUnknown, false},
		{server.ErrDiskFull, 507, CodeDiskFull, false},
		{&server.ThrottledError{RetryAfter: time.Second}, 429, CodeThrottled, true},
		{http.ErrHandlerTimeout, 500, CodeInternal, false},
	} {
		h := New(testDeps(t, &fakeBroker{err: tc.err}))
		w := exchange{method: "POST", path: "/v1/topics", body: `{"name":"t"}`}.do(t, h)
		var p Problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
			t.Fatal(err)
		}
		if w.Code != tc.status || p.Code != tc.code || (w.Header().Get("Retry-After") != "") != tc.retryAfter {
			t.Errorf("%v: %d %+v %v", tc.err, w.Code, p, w.Header())
		}
	}
}

// A cluster that does not answer leaves the client with an unknown outcome in
// bounded time.
func TestControlPlaneTimesOut(t *testing.T) {
	d := testDeps(t, &fakeBroker{hang: true})
	d.Limits.AppendTimeout = time.Millisecond
	w := exchange{method: "POST", path: "/v1/topics", body: `{"name":"t"}`}.do(t, New(d))
	var p Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatal(err)
	}
	if w.Code != http.StatusGatewayTimeout || p.Code != CodeOutcomeUnknown || p.Outcome != Unknown || !p.Retryable {
		t.Errorf("%d %+v", w.Code, p)
	}
}

func TestPanicIsA500(t *testing.T) {
	w := exchange{method: "GET", path: "/v1/cluster"}.do(t, New(testDeps(t, &fakeBroker{boom: true})))
	if w.Code != 500 || strings.Contains(w.Body.String(), "secret") || !strings.Contains(w.Body.String(), `"trace_id":"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func FuzzStrictJSON(f *testing.F) {
	for _, s := range []string{`{"name":"t"}`, `{"a":{"b":[1,{"c":null}]}}`, `[[`, `{"a":1,"a":2}`, "\xff", `{"x":1e999}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var v struct {
			Name    string            `json:"name"`
			Count   int32             `json:"count"`
			Configs map[string]string `json:"configs"`
		}
		err := strictJSON(data, &v)
		if err == nil && !json.Valid(data) {
			t.Errorf("accepted %q, which is not JSON", data)
		}
		if p, _ := problemOf(err); err != nil && p.Status != http.StatusBadRequest {
			t.Errorf("%q: %v is no bad request", data, err)
		}
	})
}

func TestHealth(t *testing.T) {
	d := testDeps(t, &fakeBroker{})
	d.Ready = func() []Check { return []Check{{Name: "raft"}} }
	h := New(d)
	for path, want := range map[string]string{
		"/livez": "ok\n", "/readyz": "ok\n", "/readyz?verbose": "[+]raft ok\n[+]serving ok\nok\n",
	} {
		if w := (exchange{method: "GET", path: path}).do(t, h); w.Code != 200 || w.Body.String() != want {
			t.Errorf("%s: %d %q", path, w.Code, w.Body)
		}
		if w := (exchange{method: "HEAD", path: path}).do(t, h); w.Code != 200 {
			t.Errorf("HEAD %s: %d", path, w.Code)
		}
	}
	if w := (exchange{method: "GET", path: "/metrics"}).do(t, h); w.Code != 200 ||
		!strings.Contains(w.Body.String(), `chronik_http_requests_total{method="GET",route="/livez",status="200"} 1`) {
		t.Errorf("/metrics: %d %s", w.Code, w.Body)
	}
	w := exchange{method: "GET", path: "/openapi.json"}.do(t, h)
	tag := w.Header().Get("ETag")
	w = exchange{method: "GET", path: "/openapi.json", header: map[string]string{"If-None-Match": tag}}.do(t, h)
	if tag == "" || w.Code != http.StatusNotModified || w.Body.Len() > 0 {
		t.Errorf("/openapi.json: %d, ETag %q", w.Code, tag)
	}
}

func TestNotReady(t *testing.T) {
	draining := make(chan struct{})
	close(draining)
	d := testDeps(t, &fakeBroker{draining: draining})
	d.Ready = func() []Check { return []Check{{Name: "disk", Err: server.ErrDiskFull}, {Name: "raft"}} }
	for name, h := range map[string]http.Handler{"http": New(d), "ops": NewOps(d)} {
		w := exchange{method: "GET", path: "/readyz"}.do(t, h)
		body := w.Body.String()
		if w.Code != 503 || w.Header().Get("Retry-After") == "" || !strings.Contains(body, CodeNotReady) ||
			!strings.Contains(body, "[-]disk: disk is full") || !strings.Contains(body, "[-]serving") {
			t.Errorf("%s: %d %s", name, w.Code, body)
		}
	}
	if w := (exchange{method: "GET", path: "/livez"}).do(t, New(testDeps(t, &fakeBroker{draining: draining}))); w.Code != 200 ||
		w.Header().Get("Connection") != "close" {
		t.Errorf("/livez while draining: %d %v", w.Code, w.Header())
	}
}

// teapot is a console of one page.
type teapot struct{}

func (teapot) Has(path string) bool { return path == "/" }

func (teapot) ServeHTTP(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }

// The console has its own paths and no others, under the rules of all.
func TestConsolePaths(t *testing.T) {
	d := testDeps(t, &fakeBroker{})
	d.Console = teapot{}
	h := New(d)
	for _, tc := range []struct {
		method, url   string
		status        int
		code          string
		allow, origin string
	}{
		{method: "GET", url: "http://localhost/", status: 418},
		{method: "HEAD", url: "http://127.0.0.1:8080/", status: 418},
		{method: "GET", url: "http://localhost/assets/none.js", status: 404, code: CodeNotFound},
		{method: "GET", url: "http://localhost/index.html", status: 404, code: CodeNotFound},
		{method: "POST", url: "http://localhost/", status: 405, code: CodeMethodNotAllowed, allow: "GET, HEAD"},
		{method: "GET", url: "http://evil.example/", status: 403, code: CodeHostNotAllowed},
		{method: "POST", url: "http://localhost/", origin: "http://evil.example", status: 403, code: CodeCrossOrigin},
	} {
		r := httptest.NewRequest(tc.method, tc.url, nil)
		if tc.origin != "" {
			r.Header.Set("Origin", tc.origin)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != tc.status || w.Header().Get("Allow") != tc.allow || !strings.Contains(w.Body.String(), tc.code) {
			t.Errorf("%s %s: %d %v %s", tc.method, tc.url, w.Code, w.Header(), w.Body)
		}
	}
}

func TestOpsAddress(t *testing.T) {
	d := testDeps(t, &fakeBroker{})
	d.SplitOps = true
	d.Console = teapot{}
	h, ops := New(d), NewOps(d)
	for _, tc := range []struct {
		h      http.Handler
		path   string
		status int
	}{
		{h, "/metrics", 404},
		{h, "/livez", 404},
		{h, "/", 418},
		{h, "/v1/nothing", 404},
		{h, "/openapi.json", 200},
		{ops, "/metrics", 200},
		{ops, "/livez", 200},
		{ops, "/v1/topics", 404},
	} {
		w := httptest.NewRecorder()
		tc.h.ServeHTTP(w, httptest.NewRequest("GET", "http://localhost"+tc.path, nil))
		if w.Code != tc.status {
			t.Errorf("%s: %d, want %d", tc.path, w.Code, tc.status)
		}
	}
}
