package servertest

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

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
	c := StartCluster(t, 3, WithCompaction(20, 5), Unchecked())
	create(t, c.Nodes[0], `{"name":"before","replication_factor":3}`)
	produce(t, c.Nodes[0], "before", "x")
	c.Stop(c.Nodes[2])
	gone := c.Nodes[2]
	c.Nodes = c.Nodes[:2]
	var names []string
	for i := range 150 { // a member that was there lately is spared for some time
		names = append(names, fmt.Sprintf("topic-%02d", i))
		create(t, c.Nodes[i%2], `{"name":"`+names[i]+`","replication_factor":3}`)
	}
	call(t, c.Nodes[0], "DELETE /v1/topics/topic-07", "").want(t, http.StatusNoContent)
	names = append(names[:7], names[8:]...)
	produce(t, c.Nodes[0], "topic-20", "while it was away")
	gone.o.log, gone.o.cfg.LogLevel = &log, "info"
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

// A node whose disk was lost copies logs that were trimmed and compacted since:
// it gets in sync, and when it leads, a retry has its first answer.
func TestClusterReturnWithoutDisk(t *testing.T) {
	c := StartCluster(t, 3, WithConfig(func(cfg *config.Config) {
		cfg.RetentionCheckInterval = 50 * time.Millisecond
	}), Unchecked())
	n := c.Nodes[0]
	create(t, n, `{"name":"trimmed","replication_factor":3}`)
	create(t, n, `{"name":"compacted","replication_factor":3,"configs":{"cleanup.policy":"compact",`+
		`"segment.bytes":"65536","min.cleanable.dirty.ratio":"0.01"}}`)
	inSyncAgain(t, c, "trimmed", "compacted")
	once := func(n *Node, topic, key string) appended {
		t.Helper()
		return produce(t, n, topic+"?key="+key, strings.Repeat("v", 8<<10), "Idempotency-Key: "+key)
	}
	first := map[string]appended{}
	for i := range 40 {
		key := fmt.Sprint("once-", i)
		first["trimmed "+key] = once(n, "trimmed", key)
		first["compacted "+key] = once(n, "compacted", key)
	}
	for i := range 40 { // the records of the keys above are superseded
		produce(t, n, fmt.Sprintf("compacted?key=once-%d", i), strings.Repeat("w", 8<<10))
	}
	call(t, n, "DELETE /v1/topics/trimmed/partitions/0/records?before=33", "").want(t, http.StatusNoContent)
	// What is trimmed is remembered in a snapshot first, which compaction waits for, too.
	call(t, n, "DELETE /v1/topics/compacted/partitions/0/records?before=1", "").want(t, http.StatusNoContent)

	lost := c.Nodes[2]
	c.Stop(lost)
	c.Stop(c.Nodes[:2]...) // what is only in the journal is not compacted
	if err := os.RemoveAll(lost.o.cfg.DataDir); err != nil {
		t.Fatal(err)
	}
	c.Nodes = c.Nodes[:2]
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the log is compacted", func() bool {
		return len(read(t, n, "compacted", 0, "offset=1&limit=1000").Records) < 60
	})
	c.Nodes = append(c.Nodes, lost)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	inSyncAgain(t, c, "trimmed", "compacted")
	for _, topic := range []string{"trimmed", "compacted"} {
		makeLeader(t, c, topic, 3)
		for i := range 40 {
			key := fmt.Sprint("once-", i)
			want := first[topic+" "+key]
			if r := once(n, topic, key); !r.Duplicate || r.Offset != want.Offset {
				t.Errorf("%s: the repeat of %s at %d: %+v", topic, key, want.Offset, r)
			}
		}
	}
	// A new leader's watermark lags until the followers have told it what they have.
	eventually(t, "the new leader's watermark is where the old one's was", func() bool {
		return partitions(t, lost, "compacted")[0].HighWatermark >= 80
	})
	// The last record of each key is there, in what was compacted and filled.
	newest := map[int64]bool{}
	for from, end := int64(1), int64(80); from < end; {
		page := read(t, lost, "compacted", 0, fmt.Sprintf("offset=%d&limit=1000", from))
		if page.NextOffset <= from {
			t.Fatalf("a page from %d goes to %d", from, page.NextOffset)
		}
		for _, r := range page.Records {
			newest[r.Offset] = strings.HasPrefix(r.Value, "w")
		}
		from = page.NextOffset
	}
	for offset := int64(40); offset < 80; offset++ {
		if !newest[offset] {
			t.Errorf("the record at %d is missing", offset)
		}
	}
}
