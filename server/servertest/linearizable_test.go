package servertest

import (
	"net/http"
	"strings"
	"testing"
)

// A leader that was cut off and has a successor may answer a plain read with
// what it has. A linearizable one it does not answer: it can't confirm that it
// leads.
func TestLinearizableReads(t *testing.T) {
	var network Network
	c := StartCluster(t, 3, WithNetwork(&network))
	create(t, c.Nodes[0], `{"name":"truth","replication_factor":3}`)
	inSyncAgain(t, c, "truth")
	produce(t, c.Nodes[0], "truth", "old")
	leader := partitions(t, c.Nodes[0], "truth")[0].Leader
	old, front := c.Nodes[leader-1], c.Nodes[leader%3]
	const path = "GET /v1/topics/truth/partitions/0/records?offset=0"
	for i, n := range c.Nodes {
		a := call(t, n, path+"&linearizable=true", "").want(t, http.StatusOK)
		if !strings.Contains(string(a.body), `"old"`) {
			t.Errorf("node %d answers %s", i+1, a.body)
		}
	}

	network.CutOff(old)
	eventually(t, "the others have a leader that takes records", func() bool {
		return call(t, front, "POST /v1/topics/truth/records", "new", "Content-Type: text/plain").StatusCode == http.StatusCreated
	})
	if a := call(t, old, path, "").want(t, http.StatusOK); strings.Contains(string(a.body), `"new"`) {
		t.Errorf("a node that is cut off knows: %s", a.body)
	}
	if a := call(t, old, path+"&linearizable=true", ""); a.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("the deposed leader answers %d %s", a.StatusCode, a.body)
	}
	if a := call(t, front, path+"&linearizable=true", "").want(t, http.StatusOK); !strings.Contains(string(a.body), `"new"`) {
		t.Errorf("the new leader answers %s", a.body)
	}
	network.Mend()
	eventually(t, "the old leader answers with what is true now", func() bool {
		a := call(t, old, path+"&linearizable=true", "")
		return a.StatusCode == http.StatusOK && strings.Contains(string(a.body), `"new"`)
	})
}

// Answers name the partition's leader, and Prefer: redirect sends there
// instead of through.
func TestLeaderHintAndRedirect(t *testing.T) {
	c := StartCluster(t, 3)
	create(t, c.Nodes[0], `{"name":"led","replication_factor":3}`)
	leader := partitions(t, c.Nodes[0], "led")[0].Leader
	lead, other := c.Nodes[leader-1], c.Nodes[leader%3]
	want := lead.URL
	for i, n := range c.Nodes {
		for _, what := range []string{
			"POST /v1/topics/led/records?partition=0", "GET /v1/topics/led/partitions/0/records?offset=0",
		} {
			body := ""
			if what[0] == 'P' {
				body = "v"
			}
			a := call(t, n, what, body, "Content-Type: text/plain")
			if got := a.Header.Get("Log-Leader"); a.StatusCode >= 300 || !strings.Contains(got, want) {
				t.Errorf("node %d, %s: %d, Log-Leader %q, want %s in it", i+1, what, a.StatusCode, got, want)
			}
		}
	}
	other.Client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	a := call(t, other, "GET /v1/topics/led/partitions/0/records?offset=0", "", "Prefer: redirect")
	if a.want(t, http.StatusTemporaryRedirect); a.Header.Get("Preference-Applied") != "redirect" ||
		a.Header.Get("Location") != want+"/v1/topics/led/partitions/0/records?offset=0" {
		t.Errorf("%v", a.Header)
	}
	call(t, lead, "GET /v1/topics/led/partitions/0/records?offset=0", "", "Prefer: redirect").want(t, http.StatusOK)
	// What was handed on once is not handed on again.
	call(t, other, "GET /v1/topics/led/partitions/0/records?offset=0", "", "Log-Hop: 1").
		want(t, http.StatusServiceUnavailable)
}
