package web_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/twmb/franz-go/pkg/kgo"
)

// awaitState waits for the tail's.
func (s *site) awaitState(state string) {
	s.t.Helper()
	s.await(fmt.Sprintf(`document.querySelector(".tailing")?.dataset.state === %q`, state))
}

func (s *site) awaitSeen(n int) {
	s.t.Helper()
	s.await(fmt.Sprintf(`document.querySelector("[data-seen]").dataset.seen === "%d"`, n))
}

func (s *site) tail() {
	s.topic("live", 1)
	s.write("live", 0, 0, 10)
	s.show("topics/live")
	s.awaitRows("0/0", "0/9", 10)
	s.press("Live tail")
	s.awaitState("live")
	s.awaitText("Waiting for the next record")
	s.write("live", 0, 10, 30)
	s.awaitSeen(20)
	s.awaitRows("0/29", "0/10", 20) // the newest first
	s.shot("tail")
	s.press("■ Stop")
	s.awaitState("stopped")
	s.write("live", 0, 30, 40)
	s.awaitRows("0/29", "0/10", 20)
	s.press("Go on")
	s.awaitState("live")
	s.awaitRows("0/39", "0/10", 30)
	// A busy topic does not fill the page.
	s.write("live", 0, 40, 1040)
	s.awaitSeen(1030)
	s.awaitRows("0/1039", "0/540", 500)
	// Its end is told, and is the end.
	s.expect("404")
	s.call("DELETE", "/v1/topics/live", "")
	s.awaitState("failed")
	s.awaitText("unknown_topic")
}

// The connection to the node is cut, and refused for a while: the tail comes
// back to where it was. It was quiet before, so there is no event to go on from.
func (s *site) tailThroughCuts() {
	s.topic("cut", 2)
	node := s.tab.base
	gate := newGate(s.t, strings.TrimPrefix(node, "http://"))
	s.tab.base = "http://" + gate.addr()
	defer func() { s.tab.base = node }()
	s.expect("ERR_CONNECTION", "ERR_EMPTY", "ERR_INCOMPLETE")
	s.show("topics/cut?tail=1")
	s.awaitState("live")
	for round := range 3 {
		gate.shut()
		s.awaitState("waiting")
		s.write("cut", 0, round*20, round*20+20)
		s.write("cut", 1, round*20, round*20+20)
		gate.open()
		s.awaitSeen(round*40 + 40)
		s.awaitState("live")
	}
	seen := make(map[string]int)
	for _, row := range s.rows() {
		seen[row]++
	}
	s.do(chromedp.Navigate("about:blank")) // before the gate is closed for good
	for i := range 60 {
		for p := range 2 {
			if row := fmt.Sprintf("%d/%d", p, i); seen[row] != 1 {
				s.t.Errorf("%s is shown %d times", row, seen[row])
			}
		}
	}
}

// leader is the node that leads a partition, but not the first one, which the
// browser talks to.
func (s *site) leader(topic string) int {
	s.t.Helper()
	var list struct {
		Partitions []struct{ Partition, Leader int }
	}
	text := s.call("GET", "/v1/topics/"+topic+"/partitions", "")
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		s.t.Fatal(err)
	}
	for _, p := range list.Partitions {
		if p.Leader > 1 {
			return p.Leader
		}
	}
	s.t.Fatalf("node 1 leads everything: %s", text)
	return 0
}

// ledBy is a partition that a node leads.
func (s *site) ledBy(topic string, node int) int {
	s.t.Helper()
	var list struct {
		Partitions []struct{ Partition, Leader int }
	}
	text := s.call("GET", "/v1/topics/"+topic+"/partitions", "")
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		s.t.Fatal(err)
	}
	for _, p := range list.Partitions {
		if p.Leader == node {
			return p.Partition
		}
	}
	s.t.Fatalf("node %d leads nothing: %s", node, text)
	return 0
}

// The leader of one of the partitions is killed while records come: every
// acknowledged one is shown, none twice.
func (s *site) tailThroughFailover() {
	const before, after = 60, 120
	s.topic("steady", 3)
	victim := s.leader("steady")
	s.show("topics/steady?tail=1")
	s.awaitState("live")
	want := make(map[string]bool)
	for i := range before {
		want[s.writeOne(i)] = true
	}
	s.awaitSeen(before)
	s.cluster.Nodes[victim-1].Kill()
	for i := before; i < after; i++ {
		want[s.writeOne(i)] = true
	}
	s.awaitSeen(after)
	rows := s.rows()
	for _, row := range rows {
		if !want[row] {
			s.t.Errorf("%s is shown, or twice, but was not written", row)
		}
		delete(want, row)
	}
	if len(want) > 0 || len(rows) != after {
		s.t.Errorf("%d rows; missing: %v", len(rows), want)
	}
	s.awaitState("live")
	s.shot("failover")
	s.show("")
	s.await(`document.querySelector('[data-tile="Nodes alive"]')?.innerText.includes("2 of 3")`)
	s.await(fmt.Sprintf(`document.querySelector("[data-node='%d']").innerText.includes("away")`, victim))
	s.await(`document.querySelector('[data-tile="Under-replicated"].warn')`)
	s.await(fmt.Sprintf(`document.querySelector("[data-silent]")?.innerText.includes("node %d")`, victim))
	s.await(`document.querySelector(".plot [role=img]").getAttribute("aria-label").match(/appended \d/)`)
	s.await(fmt.Sprintf(`document.querySelector("[data-trouble='again/0']")?.innerText.includes("node %d")`, victim))
	s.leaderless(victim)
}

// leaderless kills the other node, too: what the first one has left is not told
// as if it were known.
func (s *site) leaderless(dead int) {
	s.t.Helper()
	for i, n := range s.cluster.Nodes {
		if i > 0 && i+1 != dead {
			n.Kill()
		}
	}
	s.expect("503", "ERR_")
	for _, view := range []string{"", "nodes", "topics/orders", "groups"} {
		s.show(view)
		s.await(`document.querySelector("[data-leaderless]")`)
	}
	s.show("")
	s.awaitText("was alive")
	s.await(`document.querySelector('[data-tile="Controller"].bad') && !document.querySelector(".tile.good")`)
	s.shot("leaderless")
	s.judge("leaderless")
}

// writeOne writes a record to one of three partitions and returns its place.
// During the failover the same request is repeated until it is acknowledged,
// which its key makes safe.
func (s *site) writeOne(i int) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	n := s.cluster.Nodes[0]
	for {
		target := fmt.Sprintf("%s/v1/topics/steady/records?partition=%d", n.URL, i%3)
		r, err := http.NewRequestWithContext(ctx, "POST", target, strings.NewReader(fmt.Sprint(i)))
		if err != nil {
			s.t.Fatal(err)
		}
		r.Header.Set("Idempotency-Key", fmt.Sprint(i))
		resp, err := n.Client.Do(r)
		if err != nil {
			s.t.Fatal(err)
		}
		var at struct{ Partition, Offset int }
		err = json.NewDecoder(resp.Body).Decode(&at)
		_ = resp.Body.Close()
		if err == nil && resp.StatusCode < 300 {
			return fmt.Sprintf("%d/%d", at.Partition, at.Offset)
		}
		if resp.StatusCode < 500 {
			s.t.Fatalf("record %d: %d %v", i, resp.StatusCode, err)
		}
	}
}

// groups shows one with a member of each protocol, then without any.
func (s *site) groups() {
	s.topic("jobs", 4)
	for p := range 4 {
		s.write("jobs", p, 0, 10)
	}
	poll := func(more string) string {
		return s.call("POST", "/v1/groups/workers/poll", `{"topics":["jobs"],"wait_ms":1000`+more+`}`)
	}
	var member struct {
		Member, Ack string
		Assignment  []any
	}
	read := func(text string) {
		s.t.Helper()
		member.Ack, member.Assignment = "", nil
		if err := json.Unmarshal([]byte(text), &member); err != nil {
			s.t.Fatal(err)
		}
	}
	read(poll(""))
	client, err := kgo.NewClient(kgo.SeedBrokers(s.cluster.Nodes[0].Kafka), kgo.ConsumerGroup("workers"),
		kgo.ConsumeTopics("jobs"), kgo.ClientID("a-kafka-client"), kgo.DisableAutoCommit())
	if err != nil {
		s.t.Fatal(err)
	}
	defer client.Close()
	deadline := time.Now().Add(patience)
	for len(member.Assignment) != 2 {
		if time.Now().After(deadline) {
			s.t.Fatalf("the two members do not share the partitions: %+v", member)
		}
		read(poll(fmt.Sprintf(`,"member":%q`, member.Member)))
	}
	if member.Ack != "" {
		read(poll(fmt.Sprintf(`,"member":%q,"ack":%q`, member.Member, member.Ack)))
	}
	s.show("groups")
	s.awaitText("workers", "Stable")
	s.press("workers")
	s.await(`document.querySelectorAll("[data-member]").length === 2`)
	s.awaitText("HTTP", "Kafka", "a-kafka-client", member.Member)
	s.await(`document.querySelector("[data-lag]")?.dataset.lag === "20"`)
	s.shot("group")
	s.write("jobs", 0, 10, 15)
	s.await(`document.querySelector("[data-lag]").dataset.lag === "25"`)

	s.press("Reset offsets")
	s.awaitText("The group has members")
	s.press("Preview")
	s.await(`document.querySelectorAll("[data-move]").length === 4`)
	s.expect("409")
	s.press("Reset")
	s.awaitText("group_not_empty")
	s.press("Close")
	s.expect()

	client.Close()
	s.call("DELETE", "/v1/groups/workers/members/"+member.Member, "")
	s.awaitText("Nobody reads for this group now")
	s.press("Reset offsets")
	s.choose("to", "offset")
	s.fill("offset", "7")
	s.fill("partitions", "1, 3")
	s.press("Preview")
	s.await(`document.querySelectorAll("[data-move]").length === 2`)
	s.awaitText("This is what would be done")
	s.shot("reset")
	if got := s.call("GET", "/v1/groups/workers/offsets", ""); strings.Contains(got, `"offset":7,`) {
		s.t.Errorf("a preview moved offsets: %s", got)
	}
	s.press("Reset")
	s.awaitText("Done")
	var offsets struct {
		Offsets []struct{ Partition, Offset int }
	}
	if err := json.Unmarshal([]byte(s.call("GET", "/v1/groups/workers/offsets", "")), &offsets); err != nil {
		s.t.Fatal(err)
	}
	for _, p := range []int{1, 3} {
		at := slices.IndexFunc(offsets.Offsets, func(o struct{ Partition, Offset int }) bool { return o.Partition == p })
		if at < 0 || offsets.Offsets[at].Offset != 7 {
			s.t.Errorf("partition %d was not moved: %+v", p, offsets)
		}
	}
}
