package servertest

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"
)

// What an ack is not, and what a poll may not ask for.
func TestGroupRefusals(t *testing.T) {
	n := Start(t)
	fill(t, n, 1, 2)
	w, other := newWorker(t), newWorker(t)
	w.seated(n, 1)
	if w.ack == "" {
		w.poll(n, time.Second)
	}
	ack, member := w.ack, w.member
	topics := `"topics":["t"],"member":"` + member + `"`
	many := strings.Repeat(`"t",`, 100) + `"t"`
	for _, tt := range []struct{ name, body, code string }{
		{"forged", `{` + topics + `,"ack":"` + flip(t, ack) + `"}`, "invalid_ack"},
		{"cut", `{` + topics + `,"ack":"` + ack[:20] + `"}`, "invalid_ack"},
		{"without member", `{"topics":["t"],"ack":"` + ack + `"}`, "invalid_field"},
		{"too large", `{` + topics + `,"ack":"` + strings.Repeat("A", 70000) + `"}`, "invalid_ack"},
		{"member's form", `{"topics":["t"],"member":"worker-1"}`, "invalid_field"},
		{"no topics", `{"topics":[]}`, "invalid_field"},
		{"too many topics", `{"topics":[` + many + `]}`, "invalid_field"},
		{"reserved topic", `{"topics":["__consumer_offsets"]}`, "reserved_topic"},
		{"topic's name", `{"topics":["a b"]}`, "invalid_topic"},
		{"session", `{"topics":["t"],"session_ms":1000}`, "invalid_field"},
		{"wait", `{"topics":["t"],"wait_ms":60001}`, "invalid_field"},
		{"limit", `{"topics":["t"],"limit":1001}`, "invalid_field"},
		{"from", `{"topics":["t"],"from":"now"}`, "invalid_field"},
		{"instance", `{"topics":["t"],"instance":""}`, "invalid_field"},
		{"unknown member of the body", `{"topics":["t"],"acks":"x"}`, "unknown_field"},
	} {
		a := call(t, n, "POST /v1/groups/g/poll", tt.body, jsonType, wrong)
		if p := a.problem(t); p.Code != tt.code || p.Outcome != "not_applied" || p.Detail == "" {
			t.Errorf("%s: %s: %s, want %s", tt.name, a.Status, a.body, tt.code)
		}
	}
	// Of another member, and of another group.
	other.member = "http.00000000-0000-4000-8000-000000000000"
	if p := other.try(n, 0, ack).want(t, 400).problem(t); p.Code != "invalid_ack" {
		t.Errorf("another member's ack: %+v", p)
	}
	foreign := `{` + topics + `,"ack":"` + ack + `"}`
	if p := call(t, n, "POST /v1/groups/h/poll", foreign, jsonType).want(t, 400).problem(t); p.Code != "invalid_ack" {
		t.Errorf("another group's ack: %+v", p)
	}
	// Of an older generation.
	b := newWorker(t)
	b.poll(n, 0)
	w.poll(n, 2*time.Second)
	if p := w.try(n, 0, ack).want(t, 409).problem(t); p.Code != "fenced_generation" {
		t.Errorf("an older generation's ack: %+v", p)
	}
	for _, path := range []string{"GET /v1/groups/none", "GET /v1/groups/none/lag", "GET /v1/groups/none/offsets",
		"DELETE /v1/groups/none"} {
		if p := call(t, n, path, "").want(t, 404).problem(t); p.Code != "unknown_group" {
			t.Errorf("%s: %+v", path, p)
		}
	}
	long := call(t, n, "GET /v1/groups/"+strings.Repeat("g", 250), "").want(t, 400)
	if p := long.problem(t); p.Code != "invalid_group" {
		t.Errorf("%+v", p)
	}
}

// flip changes the offset that a token acknowledges, which is before its
// signature of 16 bytes.
func flip(t testing.TB, token string) string {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)-17] ^= 3
	return base64.RawURLEncoding.EncodeToString(raw)
}

type moves struct {
	DryRun  bool `json:"dry_run"`
	Offsets []struct {
		Partition int32  `json:"partition"`
		From      *int64 `json:"from"`
		To        int64  `json:"to"`
	} `json:"offsets"`
}

func (m moves) String() (s string) {
	for _, o := range m.Offsets {
		from := "-"
		if o.From != nil {
			from = fmt.Sprint(*o.From)
		}
		s += fmt.Sprintf("%d:%s→%d ", o.Partition, from, o.To)
	}
	return strings.TrimSpace(s)
}

// Offsets are reset, by every means, while nobody reads; a preview changes
// nothing and is given at any time.
func TestGroupReset(t *testing.T) {
	c := StartCluster(t, 3)
	n := c.Nodes[0]
	fill(t, n, 2, 4)
	w := newWorker(t)
	w.seated(n, 2)
	w.poll(n, time.Second)
	w.done(n, 0)
	reset := func(body string) answer {
		return call(t, c.Nodes[1], "PUT /v1/groups/g/offsets", body, jsonType)
	}
	check := func(body, want string) {
		t.Helper()
		var m moves
		if reset(body).want(t, 200).decode(t, &m); m.String() != want {
			t.Errorf("%s: %s, want %s", body, m, want)
		}
	}
	if p := reset(`{"topic":"t","to":"earliest"}`).want(t, 409).problem(t); p.Code != "group_not_empty" {
		t.Errorf("%+v", p)
	}
	check(`{"topic":"t","to":"earliest","dry_run":true}`, "0:4→0 1:4→0")
	if p := call(t, n, "DELETE /v1/groups/g", "").want(t, 409).problem(t); p.Code != "group_not_empty" {
		t.Errorf("%+v", p)
	}
	call(t, c.Nodes[2], "DELETE /v1/groups/g/members/"+w.member, "").want(t, 204)
	check(`{"topic":"t","to":"earliest","partitions":[1,1]}`, "1:4→0")
	check(`{"topic":"t","to":"offset","offset":3}`, "0:4→3 1:0→3")
	check(`{"topic":"t","to":"offset","offset":100}`, "0:3→4 1:3→4")
	check(`{"topic":"t","to":"timestamp","timestamp":0}`, "0:4→0 1:4→0")
	check(`{"topic":"t","to":"timestamp","timestamp":9000000000000}`, "0:0→4 1:0→4")
	check(`{"topic":"t","to":"latest"}`, "0:4→4 1:4→4")
	check(`{"topic":"t","to":"offset","offset":2,"partitions":[0]}`, "0:4→2")
	for _, bad := range []string{
		`{"topic":"t","to":"offset"}`, `{"topic":"t","to":"latest","offset":1}`, `{"topic":"t","to":"timestamp"}`,
		`{"topic":"t","to":"x"}`, `{"topic":"t","to":"latest","partitions":[2]}`, `{"topic":"t","to":"latest","partitions":[]}`,
	} {
		a := call(t, n, "PUT /v1/groups/g/offsets", bad, jsonType, wrong).want(t, 400)
		if p := a.problem(t); p.Code != "invalid_field" {
			t.Errorf("%s: %+v", bad, p)
		}
	}
	reset(`{"topic":"nowhere","to":"latest"}`).want(t, 404)
	if g := seeGroup(t, n); g.State != "Empty" || g.Lag != 2 || *g.Partitions[0].Committed != 2 {
		t.Errorf("%+v", g)
	}
	if p := w.seated(n, 2); len(p.Records) != 2 || p.Records[0].Value != "0-2" {
		t.Errorf("after the reset: %+v", p)
	}
	call(t, n, "DELETE /v1/groups/g/members/"+w.member, "").want(t, 204)
	call(t, n, "DELETE /v1/groups/g", "").want(t, 204)
	call(t, n, "GET /v1/groups/g", "").want(t, 404)
	// A reset makes a group that does not exist.
	check(`{"topic":"t","to":"latest"}`, "0:-→4 1:-→4")
	if p := w.seated(n, 2); len(p.Records) != 0 {
		t.Errorf("after a reset to the end: %+v", p)
	}
}

// Every node lists the groups of all coordinators, page by page.
func TestGroupList(t *testing.T) {
	c := StartCluster(t, 3)
	fill(t, c.Nodes[0], 1, 1)
	const groups = 12
	for i := range groups {
		call(t, c.Nodes[i%3], fmt.Sprintf("PUT /v1/groups/g-%02d/offsets", i), `{"topic":"t","to":"earliest"}`,
			jsonType).want(t, 200)
	}
	for _, n := range c.Nodes {
		var names []string
		for token := ""; ; {
			var page struct {
				Groups []struct{ Group, State string }
				Next   string `json:"next_page_token"`
			}
			call(t, n, "GET /v1/groups?prefix=g-&limit=5"+token, "").want(t, 200).decode(t, &page)
			for _, g := range page.Groups {
				names = append(names, g.Group)
			}
			if page.Next == "" {
				break
			}
			token = "&page_token=" + page.Next
		}
		if len(names) != groups || names[0] != "g-00" || names[groups-1] != "g-11" {
			t.Errorf("%v", names)
		}
	}
}
