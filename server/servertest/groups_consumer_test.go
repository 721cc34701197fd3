package servertest

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/chroniklog/chronik/server/config"
)

// newConsumer is newReader of the consumer protocol (KIP-848).
func newConsumer(t testing.TB, n *Node) *reader {
	t.Helper()
	return newReader(t, n, kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer()),
		kgo.AutoCommitInterval(100*time.Millisecond))
}

func (r *reader) times() (values int, twice []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for v, n := range r.seen {
		if n > 1 {
			twice = append(twice, v)
		}
	}
	return len(r.seen), twice
}

// The coordinator of a group of the consumer protocol is killed: the next one
// replays its log, members keep their partitions and what they committed, and
// a member that comes later gets its share.
func TestConsumerGroupCoordinatorFails(t *testing.T) {
	c := StartCluster(t, 3)
	fill(t, c.Nodes[0], 4, 3)
	a, b := newConsumer(t, c.Nodes[0]), newConsumer(t, c.Nodes[1])
	waitFor(t, func() bool { return len(a.partitions()) == 2 && len(b.partitions()) == 2 })
	both := func(want int) func() bool {
		return func() bool {
			x, _ := a.times()
			y, _ := b.times()
			return x+y >= want
		}
	}
	waitFor(t, both(12))
	waitFor(t, func() bool { return seeGroup(t, c.Nodes[0]).Lag == 0 })
	before := seeGroup(t, c.Nodes[0])
	held := [2]string{fmt.Sprint(a.partitions()), fmt.Sprint(b.partitions())}
	victim := c.Nodes[before.Coordinator-1]
	front := c.Nodes[before.Coordinator%3]
	victim.Kill()
	for p := range 4 {
		put(t, front, p, fmt.Sprintf("%d-after", p))
	}
	waitFor(t, both(16))
	waitFor(t, func() bool { return seeGroup(t, front).Lag == 0 })
	after := seeGroup(t, front)
	if after.Coordinator == before.Coordinator || after.State != "Stable" || len(after.Members) != 2 {
		t.Errorf("before %+v, after %+v", before, after)
	}
	if now := [2]string{fmt.Sprint(a.partitions()), fmt.Sprint(b.partitions())}; now != held {
		t.Errorf("the members had %v and have %v", held, now)
	}
	for _, r := range []*reader{a, b} {
		if _, twice := r.times(); len(twice) > 0 {
			t.Errorf("read twice: %v", twice)
		}
	}
	b.stop()
	waitFor(t, func() bool { return len(a.partitions()) == 4 })
}

// An HTTP member does not get into a group whose members speak the consumer
// protocol, and is told so; once they have left, it goes on where they stopped,
// and the group is a classic one, which they in turn do not get into.
func TestConsumerGroupAndHTTP(t *testing.T) {
	n := Start(t, WithConfig(func(c *config.Config) { c.GroupInitialDelay = 0 }))
	fill(t, n, 2, 2)
	r := newConsumer(t, n)
	waitFor(t, func() bool { values, _ := r.times(); return values == 4 })
	w := newWorker(t, "session_ms", 8000)
	p := w.try(n, 0, "").want(t, 409).problem(t)
	if p.Code != "inconsistent_protocol" || p.Outcome != "not_applied" {
		t.Errorf("an HTTP member among consumers: %+v", p)
	}
	if g := seeGroup(t, n); len(g.Members) != 1 || g.Members[0].Protocol != "kafka" {
		t.Errorf("%+v", g)
	}
	r.stop()
	put(t, n, 0, "new")
	seat := w.seated(n, 2)
	for end := time.Now().Add(20 * time.Second); len(seat.Records) == 0 && time.Now().Before(end); {
		seat = w.poll(n, time.Second)
	}
	if len(seat.Records) != 1 || seat.Records[0].Value != "new" {
		t.Errorf("the HTTP member goes on with %+v", seat.Records)
	}
}
