package servertest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/chroniklog/chronik/server/config"
)

// reader is a Kafka consumer of group g.
type reader struct {
	t      testing.TB
	cl     *kgo.Client
	cancel context.CancelFunc
	done   chan struct{}

	mu       sync.Mutex
	assigned map[int32]bool
	seen     map[string]int
}

// newReader starts a Kafka consumer and has it read until stop.
func newReader(t testing.TB, n *Node, opts ...kgo.Opt) *reader {
	t.Helper()
	r := &reader{t: t, assigned: map[int32]bool{}, seen: map[string]int{}, done: make(chan struct{})}
	change := func(to bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, m map[string][]int32) {
			r.mu.Lock()
			defer r.mu.Unlock()
			for _, p := range m["t"] {
				r.assigned[p] = to
			}
		}
	}
	var err error
	r.cl, err = kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(n.Kafka), kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"), kgo.ClientID("franz"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.HeartbeatInterval(200 * time.Millisecond),
		kgo.OnPartitionsAssigned(change(true)), kgo.OnPartitionsRevoked(change(false)),
		kgo.OnPartitionsLost(change(false)), kgo.SessionTimeout(6 * time.Second), kgo.RebalanceTimeout(10 * time.Second),
		kgo.FetchMaxWait(200 * time.Millisecond),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go func() {
		defer close(r.done)
		for ctx.Err() == nil {
			r.cl.PollFetches(ctx).EachRecord(func(rec *kgo.Record) {
				r.mu.Lock()
				r.seen[string(rec.Value)]++
				r.mu.Unlock()
			})
		}
	}()
	t.Cleanup(r.stop)
	return r
}

// stop ends the consumer: it commits what it has read, and leaves.
func (r *reader) stop() {
	if r.cancel == nil {
		return
	}
	r.cancel()
	<-r.done
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := r.cl.CommitUncommittedOffsets(ctx); err != nil {
		r.t.Errorf("commit: %v", err)
	}
	r.cl.Close()
	r.cancel = nil
}

func (r *reader) partitions() (list []int32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p, held := range r.assigned {
		if held {
			list = append(list, p)
		}
	}
	slices.Sort(list)
	return list
}

// sharePartitions polls w until it and the consumer have two of the four partitions each.
func sharePartitions(t *testing.T, n *Node, w *worker, r *reader) {
	t.Helper()
	var mine, its []int32
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		p := w.done(n, 300*time.Millisecond)
		mine, its = p.partitions(), r.partitions()
		if all := slices.Concat(mine, its); len(mine) == 2 && len(its) == 2 {
			slices.Sort(all)
			if slices.Equal(all, []int32{0, 1, 2, 3}) {
				return
			}
		}
	}
	t.Fatalf("the HTTP member has %v, the Kafka one %v", mine, its)
}

// HTTP and Kafka members split one group's partitions, whoever leads, whatever
// way of sharing out the Kafka client wants; each tool shows both; and when
// the Kafka member leaves, the HTTP one goes on from what it committed.
func TestGroupOfBothProtocols(t *testing.T) {
	for _, tt := range []struct {
		name     string
		balancer kgo.GroupBalancer // nil: the client's own choice
		kafka    bool              // comes first, and leads
	}{
		{"http leads, cooperative-sticky", nil, false},
		{"kafka leads, cooperative-sticky", nil, true},
		{"http leads, range", kgo.RangeBalancer(), false},
		{"kafka leads, range", kgo.RangeBalancer(), true},
		{"kafka leads, sticky", kgo.StickyBalancer(), true},
		{"http leads, roundrobin", kgo.RoundRobinBalancer(), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := Start(t, WithConfig(func(c *config.Config) { c.GroupInitialDelay = 0 }))
			fill(t, n, 4, 2)
			var opts []kgo.Opt
			if tt.balancer != nil {
				opts = append(opts, kgo.Balancers(tt.balancer))
			}
			w := newWorker(t, "session_ms", 8000)
			var r *reader
			if tt.kafka {
				r = newReader(t, n, opts...)
				waitFor(t, func() bool { return len(r.partitions()) == 4 })
			} else {
				w.seated(n, 4)
				r = newReader(t, n, opts...)
			}
			sharePartitions(t, n, w, r)
			checkBothShown(t, n, w, tt.kafka)
			leaveKafka(t, n, w, r)
		})
	}
}

// leaveKafka has the Kafka member read what it gets and leave: then the HTTP
// member gets its partitions and what is new, and nothing that was read.
func leaveKafka(t *testing.T, n *Node, w *worker, r *reader) {
	t.Helper()
	for p := range 4 {
		put(t, n, p, fmt.Sprintf("more-%d", p))
	}
	its := r.partitions()
	waitFor(t, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.seen[fmt.Sprintf("more-%d", its[0])] > 0 && r.seen[fmt.Sprintf("more-%d", its[1])] > 0
	})
	r.stop()
	put(t, n, int(its[0]), "last")
	seen := make(map[string]int)
	for end := time.Now().Add(30 * time.Second); seen["last"] == 0; {
		if time.Now().After(end) {
			t.Fatalf("the HTTP member has not taken over: %v", seen)
		}
		p := w.done(n, 500*time.Millisecond)
		for _, rec := range p.Records {
			seen[rec.Value]++
		}
	}
	for _, p := range its {
		if v := fmt.Sprintf("more-%d", p); seen[v] > 0 {
			t.Errorf("%s was committed by the Kafka member and is served again", v)
		}
	}
}

// waitFor waits for a condition of what runs beside the test.
func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it has not come about in time")
		}
	}
}

// checkBothShown looks at the group with the tools of both protocols.
func checkBothShown(t *testing.T, n *Node, w *worker, kafkaLeads bool) {
	t.Helper()
	g := seeGroup(t, n)
	shown := make(map[string]int)
	for _, m := range g.Members {
		shown[m.Protocol] += len(m.Assignment)
		if m.Leader != ((m.Protocol == "kafka") == kafkaLeads) {
			t.Errorf("leader: %+v", m)
		}
	}
	if shown["http"] != 2 || shown["kafka"] != 2 || g.State != "Stable" || len(g.Members) != 2 {
		t.Errorf("HTTP shows %+v", g)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(n.Kafka))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	lags, err := kadm.NewClient(cl).Lag(t.Context(), "g")
	if err != nil || lags.Error() != nil {
		t.Fatal(err, lags.Error())
	}
	list, err := kadm.NewClient(cl).ListGroups(t.Context())
	if err != nil || list["g"].State != "Stable" || list["g"].ProtocolType != "consumer" {
		t.Errorf("%+v %v", list, err)
	}
	found := false
	for _, m := range lags["g"].Members {
		c, ok := m.Assigned.AsConsumer()
		if !ok || len(c.Topics) != 1 || len(c.Topics[0].Partitions) != 2 {
			t.Errorf("Kafka's tools can't read %s's assignment: %+v", m.MemberID, c)
		}
		if m.MemberID == w.member {
			found = true
			if m.ClientID == "" || m.ClientHost != "/127.0.0.1" {
				t.Errorf("%+v", m)
			}
		}
	}
	if !found {
		t.Errorf("Kafka's tools don't show %s: %+v", w.member, lags["g"].Members)
	}
}

// The coordinator's node is killed while members poll: they go on through the
// others, with the seats that they had, nothing is lost, and nothing that was
// acknowledged is served again.
func TestGroupCoordinatorFails(t *testing.T) {
	c := StartCluster(t, 3)
	fill(t, c.Nodes[0], 2, 3)
	a, b := newWorker(t, "limit", 2, "session_ms", 30000), newWorker(t, "limit", 2, "session_ms", 30000)
	a.seated(c.Nodes[0], 2)
	settle(c.Nodes[0], 1, a, b)
	before := seeGroup(t, c.Nodes[0])
	victim := c.Nodes[before.Coordinator-1]
	var front *Node
	for _, n := range c.Nodes {
		if n != victim {
			front = n
		}
	}
	// Both wait for records when it happens.
	seen := make(map[string]int)
	var mu sync.Mutex
	drain := func(w *worker, wait time.Duration, until func() bool) {
		for end := time.Now().Add(30 * time.Second); !until() && time.Now().Before(end); {
			p := w.done(front, wait)
			mu.Lock()
			for _, r := range p.Records {
				seen[r.Value]++
			}
			mu.Unlock()
		}
	}
	count := func(want int) func() bool {
		return func() bool { mu.Lock(); defer mu.Unlock(); return len(seen) >= want }
	}
	var wg sync.WaitGroup
	for _, w := range []*worker{a, b} {
		w.ack = "" // of records that nobody has counted
		wg.Go(func() { drain(w, 5*time.Second, count(10)) })
	}
	waitFor(t, count(6))
	victim.Kill()
	for p := range 2 {
		put(t, front, p, fmt.Sprintf("%d-after-1", p))
		put(t, front, p, fmt.Sprintf("%d-after-2", p))
	}
	wg.Wait()
	after := seeGroup(t, front)
	if after.Coordinator == before.Coordinator || after.State != "Stable" || len(after.Members) != 2 {
		t.Errorf("before %+v, after %+v", before, after)
	}
	for value, times := range seen {
		if times != 1 {
			t.Errorf("%s was served %d times", value, times)
		}
	}
	if len(seen) != 10 {
		t.Errorf("%d records were served: %v", len(seen), seen)
	}
}
