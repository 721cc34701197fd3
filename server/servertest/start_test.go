package servertest

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chroniklog/chronik/server/config"
)

// --ops moves health and metrics off the API's address.
func TestOpsAddress(t *testing.T) {
	n := Start(t, WithConfig(func(c *config.Config) { c.Ops = "127.0.0.1:0" }))
	for _, path := range []string{"/livez", "/readyz?verbose", "/metrics"} {
		resp, err := http.Get(n.Node().OpsURL() + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK || len(body) == 0 {
			t.Errorf("%s on the ops address: %s %v", path, resp.Status, err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
		resp, err = http.Get(n.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s on the API's address: %s", path, resp.Status)
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// A killed node with many used partitions is back soon, and knows them all.
func TestRestartWithManyPartitions(t *testing.T) {
	const partitions = 2000
	n := Start(t)
	create(t, n, fmt.Sprintf(`{"name":"many","partitions":%d}`, partitions))
	for from := 0; from < partitions; from += 500 {
		var b strings.Builder
		for p := range 500 {
			fmt.Fprintf(&b, `,{"value":"x","partition":%d}`, from+p)
		}
		call(t, n, "POST /v1/topics/many/batches", `{"records":[`+b.String()[1:]+`]}`, jsonType).want(t, http.StatusOK)
	}
	n.Kill()
	begin := time.Now()
	n.Restart()
	took := time.Since(begin)
	list, err := n.Broker.Partitions(t.Context(), "many")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range list {
		if p.Offsets.HighWatermark != 1 || !p.OffsetsKnown || p.Leader != 1 {
			t.Fatalf("partition %d: %+v", p.Partition, p)
		}
	}
	t.Logf("back after %v", took)
	if took > 10*time.Second {
		t.Errorf("the restart took %v", took)
	}
}

// The contract's check can fail: an answer that openapi.yaml does not know.
func TestContractNotices(t *testing.T) {
	n := Start(t)
	faults := &faultCounter{TB: t}
	checked := &http.Client{Transport: newContract(faults, alter{n.transport})}
	resp, err := checked.Get(n.URL + "/v1/cluster")
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Error(err)
	}
	if faults.n == 0 {
		t.Error("an answer without its members passed")
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.URL+"/v1/topics?limit=zero", nil)
	if err != nil {
		t.Fatal(err)
	}
	faults.n = 0
	for _, bad := range []bool{false, true} {
		r := req
		if bad {
			r = req.WithContext(Bad(t.Context()))
		}
		resp, err := (&http.Client{Transport: newContract(faults, n.transport)}).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
		if faults.n != 1 {
			t.Errorf("a wrong request, marked %v: %d faults so far, want 1", bad, faults.n)
		}
	}
}

// faultCounter takes a test's errors.
type faultCounter struct {
	testing.TB
	n int
}

func (f *faultCounter) Errorf(string, ...any) { f.n++ }

// alter replaces every body.
type alter struct{ next http.RoundTripper }

func (a alter) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := a.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if err := resp.Body.Close(); err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(strings.NewReader(`{"cluster_id":7}`))
	resp.ContentLength = -1
	return resp, nil
}
