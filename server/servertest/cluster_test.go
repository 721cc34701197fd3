package servertest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chroniklog/chronik/raft"
	"github.com/chroniklog/chronik/server/config"
)

type partitionView struct {
	Partition     int32   `json:"partition"`
	Leader        int32   `json:"leader"`
	LeaderEpoch   int32   `json:"leader_epoch"`
	Replicas      []int32 `json:"replicas"`
	ISR           []int32 `json:"isr"`
	HighWatermark int64   `json:"high_watermark"`
}

func partitions(t testing.TB, n *Node, topic string) []partitionView {
	t.Helper()
	var a struct {
		Partitions []partitionView `json:"partitions"`
	}
	call(t, n, "GET /v1/topics/"+topic+"/partitions", "").want(t, http.StatusOK).decode(t, &a)
	return a.Partitions
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !cond(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never happened: %s", what)
		}
	}
}

// expectPlaced wants every node to show the topic on all three nodes, in sync.
func expectPlaced(t *testing.T, c *Cluster, topic string) {
	t.Helper()
	all := []int32{1, 2, 3}
	for i, n := range c.Nodes {
		for _, p := range partitions(t, n, topic) {
			if replicas := slices.Sorted(slices.Values(p.Replicas)); !slices.Equal(replicas, all) ||
				!slices.Equal(slices.Sorted(slices.Values(p.ISR)), all) || p.Leader != p.Replicas[0] {
				t.Errorf("node %d shows %s/%+v", i+1, topic, p)
			}
		}
	}
}

func TestClusterTopicsFromAnyNode(t *testing.T) {
	c := StartCluster(t, 3)
	for i, n := range c.Nodes {
		name := fmt.Sprintf("created-%d", i+1)
		create(t, n, `{"name":"`+name+`","partitions":3,"replication_factor":3}`)
		expectPlaced(t, c, name)
		name = fmt.Sprintf("auto-%d", i+1)
		produce(t, n, name, "x") // made by the first record, through a follower, too
		expectPlaced(t, c, name)
	}
	// Through a restart of all, the topics are there, and go on.
	c.Stop(c.Nodes...)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for i, n := range c.Nodes {
		topic := fmt.Sprintf("auto-%d", i+1)
		eventually(t, "all replicas are in sync again", func() bool { return len(partitions(t, n, topic)[0].ISR) == 3 })
		if r := produce(t, n, topic, "y"); r.Offset != 1 {
			t.Errorf("after the restart: %+v", r)
		}
	}
}

func TestClusterRequestsThroughAnyNode(t *testing.T) {
	c := StartCluster(t, 3)
	create(t, c.Nodes[0], `{"name":"t","partitions":1,"replication_factor":3}`)
	create(t, c.Nodes[0], `{"name":"k","partitions":1,"replication_factor":3,"configs":{"cleanup.policy":"compact"}}`)
	next := int64(0)
	for i, n := range c.Nodes {
		for range 3 {
			if r := produce(t, n, "t?partition=0&expect_offset="+fmt.Sprint(next), "v"); r.Offset != next {
				t.Fatalf("node %d: %+v, want %d", i+1, r, next)
			}
			next++
		}
		r := produce(t, n, "t", "once", "Idempotency-Key: one")
		if r.Duplicate != (i > 0) || r.Offset != 3 {
			t.Errorf("node %d: the same request again: %+v", i+1, r)
		}
		if i == 0 {
			next++
		}
		a := call(t, n, "POST /v1/topics/t/batches", "{\"value\":\"a\"}\n{\"value\":\"b\"}\n",
			"Content-Type: application/x-ndjson")
		if a.StatusCode >= 300 {
			t.Fatalf("node %d: %s %s", i+1, a.Status, a.body)
		}
		next += 2
	}
	want := read(t, c.Nodes[0], "t", 0, "offset=0&limit=1000")
	if int64(len(want.Records)) != next {
		t.Fatalf("%d records, want %d", len(want.Records), next)
	}
	for i, n := range c.Nodes {
		if got := read(t, n, "t", 0, "offset=0&limit=1000"); got.values() != want.values() {
			t.Errorf("node %d reads %q, node 1 %q", i+1, got.values(), want.values())
		}
	}
	sameEverywhere(t, c, "GET /v1/topics/t/partitions/0/offsets", "")
	sameEverywhere(t, c, "GET /v1/topics/t/partitions/0/records/3", "")
	// Errors are the leader's own, whoever is asked.
	sameEverywhere(t, c, "POST /v1/topics/t/records?partition=0&expect_offset=1", "x", "Content-Type: text/plain")
	sameEverywhere(t, c, "POST /v1/topics/t/records", "other", "Content-Type: text/plain", "Idempotency-Key: one")
	sameEverywhere(t, c, "GET /v1/topics/t/partitions/0/records?offset=100000", "")
	sameEverywhere(t, c, "GET /v1/topics/t/partitions/7/records?offset=0", "")
	sameEverywhere(t, c, "GET /v1/topics/none/partitions/0/records?offset=0", "")
	call(t, c.Nodes[2], "DELETE /v1/topics/t/partitions/0/records?before=2", "")
	sameEverywhere(t, c, "GET /v1/topics/t/partitions/0/records?offset=0", "")
	call(t, c.Nodes[1], "PUT /v1/topics/t/partitions/0/fence", `{"token":"mine"}`, jsonType)
	sameEverywhere(t, c, "POST /v1/topics/t/records?partition=0&fence=other", "x", "Content-Type: text/plain")
	call(t, c.Nodes[2], "PUT /v1/topics/k/keys/color", "red", "Content-Type: text/plain")
	sameEverywhere(t, c, "GET /v1/topics/k/keys/color", "")
	sameEverywhere(t, c, "GET /v1/topics/k/keys/unknown", "")
}

// sameEverywhere sends a request to each node and wants one answer, but for
// what names the request.
func sameEverywhere(t *testing.T, c *Cluster, what, body string, header ...string) {
	t.Helper()
	var first string
	for i, n := range c.Nodes {
		a := call(t, n, what, body, header...)
		var problem map[string]any
		text := fmt.Sprint(a.StatusCode, " ", a.Header.Get("Content-Type"), " ", a.Header.Get("Etag"), " ", string(a.body))
		if a.StatusCode >= 400 {
			a.decode(t, &problem)
			delete(problem, "trace_id")
			delete(problem, "instance")
			text = fmt.Sprint(a.StatusCode, " ", a.Header.Get("Retry-After"), " ", problem)
		}
		if i == 0 {
			first = text
		} else if text != first {
			t.Errorf("%s\nnode %d: %s\nnode 1: %s", what, i+1, text, first)
		}
	}
}

// An SSE stream and a whole-topic stream through a front node go on when the
// leader dies: nothing is missed, nothing comes twice.
func TestClusterStreamsThroughFailover(t *testing.T) {
	c := StartCluster(t, 3)
	create(t, c.Nodes[0], `{"name":"t","partitions":3,"replication_factor":3}`)
	victim := partitions(t, c.Nodes[0], "t")[0].Leader
	front := c.Nodes[victim%3]
	const records = 60
	streams := []chan string{
		follow(t, front, "/v1/topics/t/partitions/0/records?offset=0&follow=true"),
		follow(t, front, "/v1/topics/t/records?from=earliest&follow=true"),
	}
	for i := range records {
		if i == records/2 {
			c.Nodes[victim-1].Kill()
		}
		eventually(t, "a record is acknowledged", func() bool { // in flight through a kill: nobody knows; the key does
			a := call(t, front, "POST /v1/topics/t/records?partition=0", fmt.Sprintf("r%02d", i),
				"Idempotency-Key: k"+fmt.Sprint(i), "Content-Type: text/plain")
			return a.StatusCode < 300
		})
	}
	for s, ch := range streams {
		for i := range records {
			select {
			case got := <-ch:
				if want := fmt.Sprintf("r%02d", i); got != want {
					t.Fatalf("stream %d: record %d is %q, want %q", s, i, got, want)
				}
			case <-time.After(15 * time.Second):
				t.Fatalf("stream %d ended at record %d", s, i)
			}
		}
	}
}

// follow reads the values of an SSE stream until the test ends.
func follow(t *testing.T, n *Node, path string) chan string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	resp, err := n.Client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("follow %s: %s", path, resp.Status)
	}
	out, done := make(chan string, 1000), make(chan struct{})
	go func() {
		defer close(done)
		defer resp.Body.Close()
		lines := bufio.NewScanner(resp.Body)
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), "event: error") && lines.Scan() {
				out <- lines.Text()
			}
			for _, part := range strings.Split(lines.Text(), `"value":"r`)[1:] {
				value, _, _ := strings.Cut(part, `"`)
				out <- "r" + value
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return out
}

// Without a quorum metadata can't change, which is said; what is led and in
// sync goes on, and metadata can be read.
func TestClusterWithoutQuorum(t *testing.T) {
	c := StartCluster(t, 3)
	create(t, c.Nodes[0], `{"name":"one","replication_factor":1}`)
	leader := partitions(t, c.Nodes[0], "one")[0].Leader
	survivor := c.Nodes[leader-1]
	for i, n := range c.Nodes {
		if int32(i+1) != leader {
			n.Kill()
		}
	}
	eventually(t, "the survivor knows no controller", func() bool {
		var s struct {
			Controller int32 `json:"controller"`
		}
		call(t, survivor, "GET /v1/cluster", "").want(t, http.StatusOK).decode(t, &s)
		return s.Controller == 0
	})
	a := call(t, survivor, "POST /v1/topics", `{"name":"two","replication_factor":1}`, jsonType).
		want(t, http.StatusServiceUnavailable)
	var problem struct {
		Outcome string `json:"outcome"`
	}
	a.decode(t, &problem)
	if a.Header.Get("Retry-After") == "" || a.code(t) == "" || problem.Outcome != "not_applied" {
		t.Errorf("no advice: %v %s", a.Header, a.body)
	}
	if r := produce(t, survivor, "one", "x"); r.Offset != 0 {
		t.Errorf("%+v", r)
	}
	if page := read(t, survivor, "one", 0, "offset=0"); page.values() != "x" {
		t.Errorf("%+v", page)
	}
	call(t, survivor, "GET /v1/topics/one", "").want(t, http.StatusOK)
}

// A fourth node joins, and everything works through it.
func TestClusterJoin(t *testing.T) {
	c := StartCluster(t, 3)
	create(t, c.Nodes[0], `{"name":"t","replication_factor":3}`)
	n := c.Prepare()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if r := produce(t, n, "t", "x"); r.Offset != 0 {
		t.Errorf("%+v", r)
	}
	create(t, n, `{"name":"four","replication_factor":4}`)
	if p := partitions(t, c.Nodes[0], "four")[0]; len(p.Replicas) != 4 {
		t.Errorf("%+v", p)
	}
}

// What does not belong here is refused, and nothing is overwritten.
func TestClusterRefusesStrangers(t *testing.T) {
	c := StartCluster(t, 3)
	create(t, c.Nodes[0], `{"name":"t","replication_factor":3}`)
	produce(t, c.Nodes[0], "t", "x")

	t.Run("garbage on the peer port", func(t *testing.T) {
		conn, err := net.Dial("tcp", c.Nodes[0].o.cfg.Peer)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := bufio.NewReader(conn).ReadByte(); err == nil {
			t.Error("a stranger got an answer")
		}
	})
	t.Run("another cluster's directory", func(t *testing.T) {
		other := Start(t, WithConfig(func(cfg *config.Config) { cfg.NodeID = 4 }))
		create(t, other, `{"name":"precious"}`)
		produce(t, other, "precious", "keep")
		other.stop()
		before := treeSums(t, other.o.cfg.DataDir)
		stranger := c.Prepare(WithConfig(func(cfg *config.Config) { cfg.DataDir = other.o.cfg.DataDir }))
		err := stranger.tryStart()
		if err == nil {
			t.Fatal("a node with another cluster's data was let in")
		}
		if !errors.Is(err, raft.ErrForeign) || !strings.Contains(err.Error(), "--join") {
			t.Errorf("it is not said why, and what to do: %v", err)
		}
		// Its store was opened, which may get a spare journal file ready; what
		// was there is as it was.
		after := treeSums(t, other.o.cfg.DataDir)
		maps.DeleteFunc(after, func(name, _ string) bool { return before[name] == "" })
		if diff := cmp.Diff(before, after); diff != "" {
			t.Error("the directory was changed:", diff)
		}
		other.start()
		if page := read(t, other, "precious", 0, "offset=0"); page.values() != "keep" {
			t.Errorf("its data: %+v", page)
		}
		c.Nodes = c.Nodes[:3]
	})
	t.Run("a duplicate node id", func(t *testing.T) {
		twin := c.Prepare(WithConfig(func(cfg *config.Config) { cfg.NodeID = 2 }))
		if err := twin.tryStart(); !errors.Is(err, raft.ErrNodeIDTaken) || !strings.Contains(err.Error(), "--node-id") {
			t.Errorf("a second node 2: %v", err)
		}
		c.Nodes = c.Nodes[:3]
	})
	for i, n := range c.Nodes {
		if page := read(t, n, "t", 0, "offset=0"); page.values() != "x" {
			t.Errorf("node %d: %+v", i+1, page)
		}
	}
}

// A node that begins to shut down still tells readers of other nodes'
// partitions what the leader says: not an empty log, and no end that isn't.
func TestClusterDrainingFront(t *testing.T) {
	c := StartCluster(t, 3)
	create(t, c.Nodes[0], `{"name":"t","replication_factor":3}`)
	produce(t, c.Nodes[0], "t", "x")
	front := c.Nodes[partitions(t, c.Nodes[0], "t")[0].Leader%3] // the one after the leader
	got := make(chan readPage)
	go func() { got <- read(t, front, "t", 0, "offset=1&wait=20s") }()
	time.Sleep(20 * time.Millisecond) // let it wait; the outcome does not depend on it
	front.Broker.Drain()
	if page := <-got; len(page.Records) != 0 || page.NextOffset != 1 || page.HighWatermark != 1 {
		t.Errorf("a wait that was cut short: %+v", page)
	}
	if page := read(t, front, "t", 0, "offset=0"); page.values() != "x" {
		t.Errorf("read while draining: %+v", page)
	}
	call(t, front, "GET /v1/topics/t/partitions/0/records?offset=9", "").want(t, http.StatusRequestedRangeNotSatisfiable)
}

// A dead node's idle replicas lack nothing. Nobody asks, tick by tick, to have
// them back among those in sync: each time would be an entry of the metadata
// log, for every partition.
func TestClusterOfIdlePartitionsIsQuiet(t *testing.T) {
	c := StartCluster(t, 3)
	create(t, c.Nodes[0], `{"name":"t","partitions":20,"replication_factor":3}`)
	for p := range 20 {
		produce(t, c.Nodes[0], fmt.Sprintf("t/partitions/%d", p), "x")
	}
	c.Nodes[2].Kill()
	status := func() (a struct {
		Nodes []struct {
			ID    int
			Alive bool
		}
		Raft struct{ Applied uint64 }
	}) {
		call(t, c.Nodes[0], "GET /v1/cluster", "").want(t, http.StatusOK).decode(t, &a)
		return a
	}
	eventually(t, "node 3 is taken for dead", func() bool { return !status().Nodes[2].Alive })
	eventually(t, "the others lead", func() bool {
		return !slices.ContainsFunc(partitions(t, c.Nodes[0], "t"), func(p partitionView) bool {
			return p.Leader == 3 || p.Leader == 0 || slices.Contains(p.ISR, 3)
		})
	})
	before := status().Raft.Applied
	time.Sleep(2500 * time.Millisecond) // two ticks, and some
	if grown := status().Raft.Applied - before; grown > 5 {
		t.Errorf("%d entries of the metadata log in a cluster where nothing happens", grown)
	}
}
