package servertest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"
)

// groupPage is the answer to a poll.
type groupPage struct {
	Member     string `json:"member"`
	Generation int32  `json:"generation"`
	Assignment []struct {
		Topic     string `json:"topic"`
		Partition int32  `json:"partition"`
		Offset    *int64 `json:"offset"`
	} `json:"assignment"`
	Records []struct {
		Topic     string `json:"topic"`
		Partition int32  `json:"partition"`
		Offset    int64  `json:"offset"`
		Value     string `json:"value"`
	} `json:"records"`
	Ack string `json:"ack"`
}

// partitions are those that the member was assigned.
func (p groupPage) partitions() (list []int32) {
	for _, a := range p.Assignment {
		list = append(list, a.Partition)
	}
	slices.Sort(list)
	return list
}

// values are the records', by partition.
func (p groupPage) values() map[int32][]string {
	m := make(map[int32][]string)
	for _, r := range p.Records {
		m[r.Partition] = append(m[r.Partition], r.Value)
	}
	return m
}

// worker is an HTTP member of a group, g unless said otherwise, that reads topic t.
type worker struct {
	t      testing.TB
	group  string
	body   map[string]any
	member string
	ack    string // of the last page
}

// newWorker makes a member; more are pairs of the poll's members.
func newWorker(t testing.TB, more ...any) *worker {
	w := &worker{t: t, group: "g", body: map[string]any{"topics": []string{"t"}, "wait_ms": 0, "session_ms": 6000}}
	for i := 0; i < len(more); i += 2 {
		w.body[more[i].(string)] = more[i+1]
	}
	return w
}

// try polls through a node; with ack what the last page gave is acknowledged.
func (w *worker) try(n *Node, wait time.Duration, ack string) answer {
	w.t.Helper()
	body := maps.Clone(w.body)
	body["wait_ms"] = wait.Milliseconds()
	if w.member != "" {
		body["member"] = w.member
	}
	if ack != "" {
		body["ack"] = ack
	}
	raw, err := json.Marshal(body)
	if err != nil {
		w.t.Fatal(err)
	}
	return call(w.t, n, "POST /v1/groups/"+w.group+"/poll", string(raw), jsonType)
}

// poll polls, and acknowledges nothing.
func (w *worker) poll(n *Node, wait time.Duration) groupPage { return w.next(n, wait, "") }

// done polls and acknowledges the page before.
func (w *worker) done(n *Node, wait time.Duration) groupPage { return w.next(n, wait, w.ack) }

func (w *worker) next(n *Node, wait time.Duration, ack string) (p groupPage) {
	w.t.Helper()
	w.try(n, wait, ack).want(w.t, 200).decode(w.t, &p)
	w.member, w.ack = p.Member, p.Ack
	return p
}

// seated polls until the member has as many partitions as wanted.
func (w *worker) seated(n *Node, partitions int) groupPage {
	w.t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		if p := w.poll(n, 200*time.Millisecond); p.Generation > 0 && len(p.Assignment) == partitions {
			return p
		}
	}
	w.t.Fatalf("the member has not got %d partitions in time", partitions)
	return groupPage{}
}

// settle polls all members until each has its number of partitions.
func settle(n *Node, partitions int, workers ...*worker) []groupPage {
	pages := make([]groupPage, len(workers))
	var wg sync.WaitGroup
	for i, w := range workers {
		wg.Go(func() { pages[i] = w.seated(n, partitions) })
	}
	wg.Wait()
	return pages
}

// fill makes topic t and puts records "p-i" into each partition.
func fill(t testing.TB, n *Node, partitions, records int) {
	t.Helper()
	call(t, n, "POST /v1/topics", fmt.Sprintf(`{"name":"t","partitions":%d}`, partitions), jsonType).want(t, 201)
	for p := range partitions {
		for i := range records {
			put(t, n, p, fmt.Sprintf("%d-%d", p, i))
		}
	}
}

func put(t testing.TB, n *Node, p int, value string) {
	t.Helper()
	call(t, n, fmt.Sprintf("POST /v1/topics/t/partitions/%d/records", p), value, "Content-Type: text/plain").want(t, 201)
}

// groupSeen is what GET /v1/groups/g says.
type groupSeen struct {
	State       string `json:"state"`
	Coordinator int32  `json:"coordinator"`
	Protocol    string `json:"protocol"`
	Lag         int64  `json:"lag"`
	Members     []struct {
		Member     string `json:"member"`
		Protocol   string `json:"protocol"`
		ClientID   string `json:"client_id"`
		Leader     bool   `json:"leader"`
		Assignment []struct {
			Partition int32 `json:"partition"`
		} `json:"assignment"`
	} `json:"members"`
	Partitions []struct {
		Partition int32  `json:"partition"`
		Committed *int64 `json:"committed"`
		End       int64  `json:"end"`
		Lag       int64  `json:"lag"`
		Member    string `json:"member"`
	} `json:"partitions"`
}

func seeGroup(t testing.TB, n *Node) (g groupSeen) {
	t.Helper()
	call(t, n, "GET /v1/groups/g", "").want(t, 200).decode(t, &g)
	return g
}

// Two members split the partitions; when one is not heard of any more the
// other goes on, in each partition exactly from what was acknowledged.
func TestGroupMembersSplit(t *testing.T) {
	n := Start(t)
	fill(t, n, 4, 3)
	a, b := newWorker(t, "limit", 8), newWorker(t)
	first := a.seated(n, 4)
	if len(first.Records) != 8 {
		t.Fatalf("%d records for limit 8", len(first.Records))
	}
	pages := settle(n, 2, a, b)
	if got := slices.Concat(pages[0].partitions(), pages[1].partitions()); len(slices.Compact(slices.Sorted(
		slices.Values(got)))) != 4 {
		t.Fatalf("the members have %v", got)
	}
	// b acknowledges one record of each of its partitions, and is served the
	// rest, which it does not acknowledge.
	b.body["limit"] = 2
	b.poll(n, 0)
	got := b.done(n, 0).values()
	for _, p := range pages[1].partitions() {
		if want := []string{fmt.Sprintf("%d-1", p)}; !slices.Equal(got[p], want) {
			t.Errorf("b was served %v of partition %d, want %v", got[p], p, want)
		}
	}
	a.done(n, 0) // its two partitions are done with
	a.body["limit"] = 100
	began := time.Now()
	for {
		p := a.done(n, time.Second)
		if len(p.Assignment) < 4 {
			continue
		}
		for q, values := range p.values() {
			if want := []string{fmt.Sprintf("%d-1", q), fmt.Sprintf("%d-2", q)}; !slices.Equal(values, want) {
				t.Errorf("a goes on in partition %d with %v, want %v", q, values, want)
			}
		}
		if len(p.Records) != 4 {
			t.Errorf("a goes on with %d records, want the 4 that b did not acknowledge", len(p.Records))
		}
		break
	}
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("it took %s to take b's partitions over", took)
	}
	// What b was served is not its to acknowledge any more.
	if p := b.try(n, 0, b.ack).want(t, 409).problem(t); p.Code != "fenced_generation" || p.Outcome != "not_applied" {
		t.Errorf("a late ack: %+v", p)
	}
}

// problem is an error's body.
func (a answer) problem(t testing.TB) (p struct{ Code, Outcome, Detail string }) {
	t.Helper()
	a.decode(t, &p)
	return p
}

// A poll without ack serves the same records again, through any node, and one
// with ack what follows; an ack may be repeated.
func TestGroupRepeats(t *testing.T) {
	c := StartCluster(t, 3)
	fill(t, c.Nodes[0], 2, 5)
	w := newWorker(t, "limit", 4)
	first := w.seated(c.Nodes[0], 2)
	for _, n := range c.Nodes {
		if again := w.poll(n, 0); !maps.EqualFunc(first.values(), again.values(), slices.Equal) &&
			len(again.Records) != len(first.Records) {
			t.Fatalf("served %v, then %v", first.values(), again.values())
		}
	}
	seen := make(map[string]int)
	ack := ""
	for i := 0; len(seen) < 10; i++ {
		p := w.next(c.Nodes[i%3], 0, ack)
		repeat := w.next(c.Nodes[(i+1)%3], 0, ack) // the answer may have been lost
		if len(p.Records) != len(repeat.Records) {
			t.Fatalf("a repeated ack served %d records, then %d", len(p.Records), len(repeat.Records))
		}
		for _, r := range repeat.Records {
			seen[r.Value]++
		}
		if ack = repeat.Ack; i > 20 {
			t.Fatalf("after %d polls: %v", i, seen)
		}
	}
	for value, times := range seen {
		if times != 1 {
			t.Errorf("%s was served %d times although it was acknowledged", value, times)
		}
	}
	w.next(c.Nodes[2], 0, ack)
	if g := seeGroup(t, c.Nodes[1]); g.Lag != 0 || g.State != "Stable" || len(g.Members) != 1 {
		t.Errorf("%+v", g)
	}
}

// A poll that was overtaken by later ones, as a proxy's retry can be, does not
// move the group back.
func TestGroupOvertakenAck(t *testing.T) {
	n := Start(t)
	fill(t, n, 1, 6)
	w := newWorker(t, "limit", 2)
	w.seated(n, 1)
	old := w.ack
	w.done(n, 0)
	if p := w.done(n, 0); len(p.Records) != 2 || p.Records[0].Offset != 4 {
		t.Fatalf("%+v", p)
	}
	if p := w.next(n, 0, old); len(p.Records) != 2 || p.Records[0].Offset != 4 {
		t.Errorf("after an overtaken ack: %+v", p)
	}
	// Many at once, in any order: what is acknowledged stays.
	var wg sync.WaitGroup
	acks := []string{old, w.ack, old, w.ack}
	for i := range acks {
		wg.Go(func() {
			twin := &worker{t: t, group: w.group, body: w.body, member: w.member}
			twin.next(n, 0, acks[i])
		})
	}
	wg.Wait()
	if g := seeGroup(t, n); g.Lag != 0 {
		t.Errorf("the lag is %d", g.Lag)
	}
}

// A long poll is answered by the record that comes, not at its end, and by a
// rebalance that brings its partitions.
func TestGroupLongPoll(t *testing.T) {
	n := Start(t)
	fill(t, n, 2, 0)
	w := newWorker(t)
	w.seated(n, 2)
	got := make(chan groupPage, 1)
	go func() { got <- w.poll(n, 20*time.Second) }()
	began := time.Now()
	// Another member comes and goes while the first waits.
	b := newWorker(t)
	its := b.seated(n, 1).partitions()[0]
	call(t, n, "DELETE /v1/groups/g/members/"+b.member, "").want(t, 204)
	put(t, n, int(its), "of the partition that b had")
	page := <-got
	if len(page.Records) != 1 || len(page.Assignment) != 2 || time.Since(began) > 15*time.Second {
		t.Errorf("after %s: %+v", time.Since(began), page)
	}
	call(t, n, "DELETE /v1/groups/g/members/"+b.member, "").want(t, 404)
}

// from=latest begins at the end of the first poll, once and for all.
func TestGroupFromLatest(t *testing.T) {
	n := Start(t)
	fill(t, n, 1, 3)
	w := newWorker(t, "from", "latest")
	if p := w.seated(n, 1); len(p.Records) != 0 {
		t.Fatalf("%+v", p)
	}
	put(t, n, 0, "new")
	if p := w.poll(n, 0); len(p.Records) != 1 || p.Records[0].Value != "new" {
		t.Fatalf("%+v", p)
	}
	// The log's start passes the committed offset: reading goes on there.
	put(t, n, 0, "newer")
	call(t, n, "DELETE /v1/topics/t/partitions/0/records?before=4", "").want(t, 204)
	if p := w.poll(n, 0); len(p.Records) != 1 || p.Records[0].Value != "newer" {
		t.Fatalf("%+v", p)
	}
	// The topic is made anew, shorter: it is read from its start.
	w.done(n, 0)
	call(t, n, "DELETE /v1/topics/t", "").want(t, 204)
	fill(t, n, 1, 1)
	if p := w.poll(n, 2*time.Second); len(p.Records) != 1 || p.Records[0].Value != "0-0" {
		t.Fatalf("%+v", p)
	}
}

// Partitions that the topic gets are shared out.
func TestGroupTopicGrows(t *testing.T) {
	n := Start(t)
	fill(t, n, 1, 1)
	w := newWorker(t)
	w.seated(n, 1)
	call(t, n, "POST /v1/topics/t/partitions", `{"count":3}`, jsonType).want(t, 200)
	put(t, n, 2, "in the new one")
	p := w.seated(n, 3)
	if got := p.values()[2]; len(got) != 1 {
		t.Errorf("%+v", p)
	}
}
