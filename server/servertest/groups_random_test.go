package servertest

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// acknowledged is what a group's members have had acknowledged, by partition.
type acknowledged struct {
	mu   sync.Mutex
	done map[int32]map[int64]bool
}

func (a *acknowledged) note(p groupPage) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range p.Records {
		if a.done[r.Partition] == nil {
			a.done[r.Partition] = map[int64]bool{}
		}
		a.done[r.Partition][r.Offset] = true
	}
}

func (a *acknowledged) count() (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, m := range a.done {
		n += len(m)
	}
	return n
}

// Members come, go, forget to acknowledge, repeat themselves and are served by
// any node, at random: every record is acknowledged in the end, and what the
// group has committed was acknowledged, all of it.
func TestGroupAtRandom(t *testing.T) {
	const partitions, records, members = 5, 40, 4
	c := StartCluster(t, 3)
	fill(t, c.Nodes[0], partitions, records)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	acked := &acknowledged{done: map[int32]map[int64]bool{}}
	end := time.Now().Add(60 * time.Second)
	var wg sync.WaitGroup
	for i := range members {
		rng := rand.New(rand.NewPCG(seed, uint64(i)))
		wg.Go(func() {
			for acked.count() < partitions*records {
				if time.Now().After(end) {
					t.Errorf("only %d records were acknowledged in time", acked.count())
					return
				}
				live(t, c, rng, acked)
			}
		})
	}
	wg.Wait()
	g := seeGroup(t, c.Nodes[1])
	for _, p := range g.Partitions {
		if p.Committed == nil {
			t.Errorf("partition %d: nothing is committed", p.Partition)
			continue
		}
		for o := range *p.Committed {
			if !acked.done[p.Partition][o] {
				t.Errorf("partition %d: %d is committed and offset %d was not acknowledged", p.Partition, *p.Committed, o)
			}
		}
	}
}

// live is the life of a member.
func live(t *testing.T, c *Cluster, rng *rand.Rand, acked *acknowledged) {
	w := newWorker(t, "limit", 1+rng.IntN(10))
	var page groupPage
	for range 1 + rng.IntN(12) {
		ack := ""
		if page.Ack != "" && rng.IntN(4) > 0 {
			ack = page.Ack
		}
		a := w.try(c.Nodes[rng.IntN(3)], time.Duration(rng.IntN(300))*time.Millisecond, ack)
		if a.StatusCode == http.StatusConflict {
			page = groupPage{} // somebody else is served it
			continue
		}
		if a.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", a.Status, a.body)
			return
		}
		if ack != "" {
			acked.note(page)
		}
		page = groupPage{}
		if err := json.Unmarshal(a.body, &page); err != nil {
			t.Error(err)
			return
		}
		w.member = page.Member
	}
	if w.member != "" && rng.IntN(25) > 0 { // else it is gone without a word
		call(t, c.Nodes[rng.IntN(3)], "DELETE /v1/groups/g/members/"+w.member, "")
	}
}

// A node that shuts down answers its long polls, those that wait for a seat
// too, and the members go on elsewhere.
func TestGroupDrain(t *testing.T) {
	c := StartCluster(t, 3)
	fill(t, c.Nodes[0], 1, 1)
	w, unseated, slow := newWorker(t), newWorker(t), newWorker(t, "session_ms", 60_000)
	w.seated(c.Nodes[0], 1)
	w.done(c.Nodes[0], 0)
	// Until slow polls again, which it does not, the other gets no seat.
	slow.group, unseated.group = "h", "h"
	slow.seated(c.Nodes[0], 1)
	leaving := c.Nodes[2]
	var wg sync.WaitGroup
	var status sync.Map
	for name, m := range map[string]*worker{"seated": w, "unseated": unseated} {
		wg.Go(func() {
			body, err := json.Marshal(pollBody(m))
			if err != nil {
				t.Error(err)
				return
			}
			resp, err := leaving.Client.Post(leaving.URL+"/v1/groups/"+m.group+"/poll", "application/json",
				strings.NewReader(string(body)))
			if err != nil {
				status.Store(name, err.Error())
				return
			}
			status.Store(name, resp.StatusCode)
			_ = resp.Body.Close()
		})
	}
	time.Sleep(300 * time.Millisecond) // let them wait; a poll that comes later is refused, which is fine too
	began := time.Now()
	c.Stop(leaving)
	wg.Wait()
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("the end took %s", took)
	}
	for _, name := range []string{"seated", "unseated"} {
		got, _ := status.Load(name)
		if code, ok := got.(int); !ok || code != 200 && code != 503 {
			t.Errorf("%s: %v", name, got)
		}
	}
	put(t, c.Nodes[0], 0, "later")
	for end := time.Now().Add(20 * time.Second); ; {
		if p := w.poll(c.Nodes[1], time.Second); len(p.Records) == 1 && p.Records[0].Value == "later" {
			return
		}
		if time.Now().After(end) {
			t.Fatal("the member has not gone on")
		}
	}
}

// A partition without a leader does not keep the others from being read, and
// an ack that was committed is not answered by an error.
func TestGroupLeaderless(t *testing.T) {
	c := StartCluster(t, 3)
	call(t, c.Nodes[0], "POST /v1/topics", `{"name":"t","partitions":3,"replication_factor":1}`, jsonType).want(t, 201)
	for p := range 3 {
		put(t, c.Nodes[0], p, "first")
	}
	var list struct {
		Partitions []struct{ Partition, Leader int32 }
	}
	call(t, c.Nodes[0], "GET /v1/topics/t/partitions", "").want(t, 200).decode(t, &list)
	w := newWorker(t, "session_ms", 30_000)
	w.seated(c.Nodes[0], 3)
	if p := w.poll(c.Nodes[0], 0); len(p.Records) != 3 {
		t.Fatalf("%+v", p)
	}
	victim := list.Partitions[0]
	front := c.Nodes[victim.Leader%3]
	c.Nodes[victim.Leader-1].Kill()
	leaderless := func() bool {
		call(t, front, "GET /v1/topics/t/partitions", "").want(t, 200).decode(t, &list)
		return list.Partitions[0].Leader == 0
	}
	waitFor(t, leaderless)
	p := w.poll(front, 0)
	if got := p.values(); len(p.Records) != 2 || len(got[victim.Partition]) != 0 {
		t.Errorf("served %v", got)
	}
	// What is left can't be read: that is said, unless the ack was committed.
	if p := w.done(front, 0); len(p.Records) != 0 || p.Generation == 0 {
		t.Errorf("%+v", p)
	}
	if p := w.try(front, 0, "").want(t, 503).problem(t); p.Code != "no_leader" {
		t.Errorf("%+v", p)
	}
	if g := seeGroup(t, front); g.Lag != 0 || g.Partitions[1].Lag != 0 {
		t.Errorf("%+v", g)
	}
	put(t, front, int(list.Partitions[1].Partition), "second")
	if p := w.poll(front, time.Second); len(p.Records) != 1 || p.Records[0].Value != "second" {
		t.Errorf("%+v", p)
	}
}

func pollBody(w *worker) map[string]any {
	body := maps.Clone(w.body)
	body["wait_ms"] = 30_000
	if w.member != "" {
		body["member"] = w.member
	}
	return body
}
