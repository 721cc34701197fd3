package api

import (
	"net/http"
	"testing"

	dto "github.com/prometheus/client_model/go"
)

// slowGatherer tells when a scrape has come and lets it go when it is told to.
type slowGatherer struct{ came, leave chan struct{} }

func (g slowGatherer) Gather() ([]*dto.MetricFamily, error) {
	g.came <- struct{}{}
	<-g.leave
	return nil, nil
}

// Scrapes that pile up are turned away: they don't walk over everything for each
// other. Once those that are served have ended, the next is.
func TestScrapesAtOnce(t *testing.T) {
	d := testDeps(t, &fakeBroker{})
	g := slowGatherer{came: make(chan struct{}), leave: make(chan struct{})}
	d.Gatherer = g
	h := New(d)
	answered := make(chan int, maxScrapes)
	scrape := func() { answered <- exchange{method: "GET", path: "/metrics"}.do(t, h).Code }
	for range maxScrapes {
		go scrape()
		<-g.came
	}
	if w := (exchange{method: "GET", path: "/metrics"}).do(t, h); w.Code != http.StatusServiceUnavailable {
		t.Errorf("one scrape too many: %d %s", w.Code, w.Body)
	}
	for range maxScrapes {
		g.leave <- struct{}{}
		if code := <-answered; code != http.StatusOK {
			t.Errorf("a scrape: %d", code)
		}
	}
	go scrape()
	<-g.came
	g.leave <- struct{}{}
	if code := <-answered; code != http.StatusOK {
		t.Errorf("the next scrape: %d", code)
	}
}
