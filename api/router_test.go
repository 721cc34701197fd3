package api

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/go-chi/chi/v5"
)

// The shortcut takes exactly what the router would route to the same handler,
// with the same topic.
func TestShortcutAgreesWithTheRouter(t *testing.T) {
	mux := chi.NewRouter()
	want := ""
	mux.Post(producePattern, func(_ http.ResponseWriter, r *http.Request) { want = "topic " + chi.URLParam(r, "topic") })
	for _, path := range []string{
		"/v1/topics/t/records", "/v1/topics/a.b-c/records", "/v1/topics/records/records", "/v1/topics//records",
		"/v1/topics/records", "/v1/topics/t/u/records", "/v1/topics/t/records/", "/v1/topics/t/partitions/0/records",
		"/v1/topics/t/record", "/v1/topics/a%20b/records", "/v1/topics/a%2Fb/records", "/v2/topics/t/records",
		"/v1/topics/t%25/records", "/v1/topics/../records", "/v1/topics/t/batches", "/", "/v1/topics/%/records",
	} {
		u := "http://localhost" + path
		r, err := http.NewRequest("POST", u, nil)
		if err != nil {
			continue // the server refuses it as well
		}
		want = ""
		mux.ServeHTTP(httptest.NewRecorder(), r)
		got := ""
		front := &shortcut{
			router: mux,
			produce: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				topic, err := pathTopic(r)
				if err != nil {
					t.Errorf("%s: %v", path, err)
				}
				got = "topic " + topic
			}),
		}
		routed := want
		want = ""
		front.ServeHTTP(httptest.NewRecorder(), r)
		if got == "" {
			got = want // the router was asked
		}
		if got != routed {
			t.Errorf("%s: %q, the router says %q", path, got, routed)
		}
	}
}
