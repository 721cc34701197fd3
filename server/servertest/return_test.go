package servertest

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/chroniklog/chronik/server/config"
)

// logBuffer keeps a node's log.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func lowLevel(cfg *config.Config) { cfg.LogLevel = "info" }

// inSyncAgain waits until every partition of the topics has three in-sync
// replicas, as all nodes see it.
func inSyncAgain(t *testing.T, c *Cluster, topics ...string) {
	t.Helper()
	for _, topic := range topics {
		for i, n := range c.Nodes {
			eventually(t, fmt.Sprintf("%s is in sync on node %d", topic, i+1), func() bool {
				for _, p := range partitions(t, n, topic) {
					if len(p.ISR) != 3 || p.Leader == 0 {
						return false
					}
				}
				return true
			})
		}
	}
}

// makeLeader makes a node the preferred leader of a topic's first partition, and
// has it lead.
func makeLeader(t *testing.T, c *Cluster, topic string, id int32) {
	t.Helper()
	order := []int32{id}
	for i := range c.Nodes {
		if int32(i+1) != id {
			order = append(order, int32(i+1))
		}
	}
	body := strings.ReplaceAll(fmt.Sprintf(`{"replicas":%v}`, order), " ", ",")
	call(t, c.Nodes[0], "PUT /v1/topics/"+topic+"/partitions/0/replicas", body, jsonType)
	call(t, c.Nodes[0], "POST /v1/cluster/elections", `{"topic":"`+topic+`"}`, jsonType)
	eventually(t, fmt.Sprintf("node %d leads %s", id, topic), func() bool {
		return partitions(t, c.Nodes[0], topic)[0].Leader == id
	})
}

// A node that was away for longer than the metadata log reaches back returns by
// a snapshot: it has all topics, is in sync again, leads and serves.
func TestClusterReturnBySnapshot(t *testing.T) {
	var log logBuffer
	c := StartCluster(t, 3, WithCompaction(20, 5), WithConfig(lowLevel), WithLog(&log))
	create(t, c.Nodes[0], `{"name":"before","replication_factor":3}`)
	produce(t, c.Nodes[0], "before", "x")
	c.Stop(c.Nodes[2])
	gone := c.Nodes[2]
	c.Nodes = c.Nodes[:2]
	var names []string
	for i := range 60 {
		names = append(names, fmt.Sprintf("topic-%02d", i))
		create(t, c.Nodes[i%2], `{"name":"`+names[i]+`","replication_factor":3}`)
	}
	call(t, c.Nodes[0], "DELETE /v1/topics/topic-07", "").want(t, http.StatusNoContent)
	names = append(names[:7], names[8:]...)
	produce(t, c.Nodes[0], "topic-20", "while it was away")
	if strings.Contains(log.String(), "installed metadata snapshot") {
		t.Fatal("a snapshot was installed too early")
	}
	c.Nodes = append(c.Nodes, gone)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "installed metadata snapshot") {
		t.Fatal("the node did not return by a snapshot")
	}
	inSyncAgain(t, c, append(names, "before")...)
	call(t, gone, "GET /v1/topics/topic-07", "").want(t, http.StatusNotFound)
	for _, n := range c.Nodes {
		if page := read(t, n, "topic-20", 0, "offset=0"); page.values() != "while it was away" {
			t.Errorf("%+v", page)
		}
	}
	// It leads, and the others can be missed.
	makeLeader(t, c, "topic-20", 3)
	if r := produce(t, c.Nodes[0], "topic-20", "led by it"); r.Offset != 1 {
		t.Errorf("%+v", r)
	}
	c.Nodes[0].Kill()
	eventually(t, "records are taken without node 1", func() bool {
		return call(t, gone, "POST /v1/topics/before/records", "y", "Content-Type: text/plain").StatusCode < 300
	})
	create(t, gone, `{"name":"after","replication_factor":2}`)
}
