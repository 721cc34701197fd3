package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chroniklog/chronik/server/client"
	"github.com/chroniklog/chronik/server/servertest"
)

// status is what "chronik cluster status" tells programs.
func status(t *testing.T) (s client.Cluster) {
	t.Helper()
	if err := json.Unmarshal([]byte(must(t, "", "cluster", "status", "-o", "json")), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// until asks for the status until it is as wanted.
func until(t *testing.T, what string, ok func(client.Cluster) bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for s := status(t); !ok(s); s = status(t) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s: %+v", what, s)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// A node of a running cluster is drained of its replicas, stopped and removed,
// and no record is lost; the controller moves.
func TestClusterCommands(t *testing.T) {
	c := servertest.StartCluster(t, 3)
	t.Setenv("CHRONIK_SERVER", c.Nodes[0].URL)
	must(t, "", "topic", "create", "t", "--partitions", "6", "--replication-factor", "2")
	must(t, "a\nb\nc\nd\n", "produce", "t", "-p", "0")
	if got := chronik(t, "", "cluster", "remove", "3"); got.code != exitFailed || !strings.Contains(got.err, "stop it first") {
		t.Errorf("a live node was removed: %+v", got)
	}
	got := must(t, "", "cluster", "drain", "3", "--replicas", "--wait", "--timeout", "30s", "-o", "json")
	var n client.Node
	if err := json.Unmarshal([]byte(got), &n); err != nil || !n.Draining || n.Leaders+n.Replicas != 0 {
		t.Fatalf("%s: %v", got, err)
	}
	text := must(t, "", "cluster", "status")
	for _, want := range []string{"voters             1,2,3", "alive,draining  0        0", "offline            0 "} {
		if !strings.Contains(text, want) {
			t.Errorf("the status lacks %q:\n%s", want, text)
		}
	}
	// Through a node that is not the controller, what was done shows at once.
	t.Setenv("CHRONIK_SERVER", c.Nodes[1].URL)
	for range 3 {
		for command, want := range map[string]string{"--end": "not draining", "--wait": "is drained"} {
			if got := chronik(t, "", "cluster", "drain", "3", command); !strings.Contains(got.err, want) {
				t.Errorf("drain 3 %s: %+v", command, got)
			}
		}
	}
	must(t, "", "cluster", "transfer", "2")
	if s := status(t); s.Controller != 2 {
		t.Errorf("the controller is %d", s.Controller)
	}
	c.Stop(c.Nodes[2])
	until(t, "node 3 is away", func(s client.Cluster) bool { return !s.Nodes[2].Alive })
	must(t, "", "cluster", "remove", "3")
	until(t, "node 3 is gone", func(s client.Cluster) bool {
		return len(s.Nodes) == 2 && !slices.Contains(s.Raft.Voters, 3)
	})
	if s := status(t); s.UnderReplicatedPartitions != 0 || s.Nodes[0].Replicas != 6 || s.Nodes[1].Replicas != 6 {
		t.Errorf("%+v", s)
	}
	if got := must(t, "", "consume", "t"); got != "a\nb\nc\nd\n" {
		t.Errorf("consumed %q", got)
	}
}

// What can't be done says why.
func TestClusterRefusals(t *testing.T) {
	withNode(t)
	must(t, "", "topic", "create", "t")
	for args, want := range map[string]string{
		"cluster drain 1 --replicas":              "no other live broker is left",
		"cluster drain 1 --wait --timeout 300ms":  "leads 1 partition(s)",
		"cluster drain 1 --wait --timeout 1ms":    "deadline",
		"cluster drain 7":                         "unknown_node",
		"cluster remove 7":                        "unknown_node",
		"cluster remove 1":                        "node_state",
		"cluster transfer 7":                      "unknown_node",
		"cluster drain 1 --server http://[::1]:1": "chronik serve",
	} {
		if got := chronik(t, "", strings.Fields(args)...); got.code != exitFailed || !strings.Contains(got.err, want) {
			t.Errorf("chronik %s: %+v", args, got)
		}
	}
	for _, args := range []string{"cluster drain 0", "cluster remove -1", "cluster transfer x", "cluster drain 1 --end --wait"} {
		if got := chronik(t, "", strings.Fields(args)...); got.code != exitUsage {
			t.Errorf("chronik %s: %+v", args, got)
		}
	}
	if got := chronik(t, "", "cluster", "drain", "1", "--end"); got.code != exitOK ||
		!strings.Contains(got.err, "node 1 is not draining") {
		t.Errorf("%+v", got)
	}
	if got := must(t, "", "cluster", "transfer", "1", "-o", "json"); !strings.Contains(got, `"controller":1`) {
		t.Error(got)
	}
}

func TestDrainReport(t *testing.T) {
	for _, c := range []struct {
		replicas bool
		n        client.Node
		want     string
	}{
		{false, client.Node{ID: 2}, "node 2 is not draining"},
		{false, client.Node{ID: 2, Draining: true, Leaders: 1, Replicas: 3}, "it leads 1 partition(s) and holds 3 replica(s), 0"},
		{false, client.Node{ID: 2, Draining: true, Replicas: 3}, "drained: it leads nothing and holds 3"},
		{true, client.Node{ID: 2, Draining: true, Replicas: 3, Reassigning: 2}, "3 replica(s), 2 of them on their way"},
		{true, client.Node{ID: 2, Draining: true}, "holds nothing"},
	} {
		if got := (ClusterDrainCmd{Replicas: c.replicas}).report(c.n); !strings.Contains(got, c.want) {
			t.Errorf("%s: %q", fmt.Sprint(c.n), got)
		}
	}
}

// A consumer that comes while the leader dies gets every record or an error,
// never a part without a word.
func TestConsumeThroughFailover(t *testing.T) {
	c := servertest.StartCluster(t, 3)
	t.Setenv("CHRONIK_SERVER", c.Nodes[1].URL)
	must(t, "", "topic", "create", "t", "--replication-factor", "3")
	must(t, "a\nb\nc\n", "produce", "t")
	var topic struct{ Partitions []client.Partition }
	if err := json.Unmarshal([]byte(must(t, "", "topic", "describe", "t", "-o", "json")), &topic); err != nil {
		t.Fatal(err)
	}
	leader := c.Nodes[topic.Partitions[0].Leader-1]
	for _, n := range c.Nodes {
		if n != leader {
			t.Setenv("CHRONIK_SERVER", n.URL)
		}
	}
	leader.Kill()
	if got := must(t, "", "consume", "t"); got != "a\nb\nc\n" {
		t.Errorf("consumed %q", got)
	}
}
