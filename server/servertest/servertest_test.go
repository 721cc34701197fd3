package servertest

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/config"
	"github.com/chroniklog/chronik/server/node"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestProduceAndRead(t *testing.T) {
	n := Start(t)
	create(t, n, `{"name":"orders","partitions":2,"configs":{"retention.ms":"1000000"}}`)
	for i := range 3 {
		r := produce(t, n, "orders?partition=1", "v"+strconv.Itoa(i))
		if r.Partition != 1 || r.Offset != int64(i) || r.Duplicate {
			t.Errorf("record %d: %+v", i, r)
		}
	}
	page := read(t, n, "orders", 1, "offset=0")
	if page.values() != "v0 v1 v2" || page.NextOffset != 3 || page.HighWatermark != 3 {
		t.Errorf("page: %+v", page)
	}
	if page := read(t, n, "orders", 0, "offset=0"); len(page.Records) != 0 || page.HighWatermark != 0 {
		t.Errorf("the other partition: %+v", page)
	}
}

func TestAutoCreate(t *testing.T) {
	n := Start(t)
	if r := produce(t, n, "fresh", "x"); r.Offset != 0 {
		t.Errorf("first record: %+v", r)
	}
	call(t, n, "GET /v1/topics/unseen/partitions/0/records?offset=0", "").want(t, http.StatusNotFound)
	if _, err := n.Broker.Topic("unseen"); !errors.Is(err, server.ErrUnknownTopic) {
		t.Errorf("a GET made a topic: %v", err)
	}
	a := call(t, n, "POST /v1/topics/__secret/records", "x", "Content-Type: text/plain")
	if a.StatusCode < 400 {
		t.Errorf("a reserved topic: %s", a.Status)
	}

	off := Start(t, WithConfig(func(c *config.Config) { c.AutoCreateTopics = false }))
	a = call(t, off, "POST /v1/topics/fresh/records", "x", "Content-Type: text/plain").want(t, http.StatusNotFound)
	if code := a.code(t); code != "unknown_topic" {
		t.Errorf("code %q", code)
	}
}

// Many producers that meet a new name at once get one topic.
func TestAutoCreateAtOnce(t *testing.T) {
	n := Start(t)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			if _, err := n.Broker.ResolveTopic(t.Context(), "new", true); err != nil {
				t.Errorf("producer %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	if list, _ := n.Broker.Topics("", "", 10); len(list) != 1 {
		t.Errorf("topics: %v", list)
	}
}

// What was acknowledged is there after a restart, in good order or not, and
// what depends on the past goes on: offsets, idempotence, producer names.
func TestRestart(t *testing.T) {
	for _, way := range []string{"in good order", "killed"} {
		t.Run(way, func(t *testing.T) {
			n := Start(t)
			create(t, n, `{"name":"t","partitions":3}`)
			for i := range 30 {
				produce(t, n, "t?partition="+strconv.Itoa(i%3), "v"+strconv.Itoa(i))
			}
			first := produce(t, n, "t?partition=0", "once", "Idempotency-Key: k1")
			pid, err := n.Broker.ProducerID(t.Context(), "device-7")
			if err != nil {
				t.Fatal(err)
			}
			cluster := n.Broker.Cluster().ClusterID
			before, err := n.Broker.Partition(t.Context(), "t", 0)
			if err != nil {
				t.Fatal(err)
			}

			if way == "killed" {
				n.Kill()
			}
			n.Restart()

			for p := range int32(3) {
				page := read(t, n, "t", p, "offset=0&limit=1000")
				want := 10
				if p == 0 {
					want = 11
				}
				if len(page.Records) != want || page.Records[0].Value != "v"+strconv.Itoa(int(p)) {
					t.Errorf("partition %d: %d records: %s", p, len(page.Records), page.values())
				}
			}
			again := produce(t, n, "t?partition=0", "once", "Idempotency-Key: k1")
			if !again.Duplicate || again.Offset != first.Offset {
				t.Errorf("the repeat of %+v got %+v", first, again)
			}
			if r := produce(t, n, "t?partition=0", "next"); r.Offset != first.Offset+1 {
				t.Errorf("the next record: %+v", r)
			}
			if now, err := n.Broker.ProducerID(t.Context(), "device-7"); err != nil || now != pid {
				t.Errorf("producer id %d became %d, %v", pid, now, err)
			}
			if now := n.Broker.Cluster().ClusterID; now != cluster || now == "" {
				t.Errorf("cluster %q became %q", cluster, now)
			}
			after, err := n.Broker.Partition(t.Context(), "t", 0)
			if err != nil {
				t.Fatal(err)
			}
			if after.LeaderEpoch <= before.LeaderEpoch {
				t.Errorf("leader epoch %d did not grow from %d", after.LeaderEpoch, before.LeaderEpoch)
			}
		})
	}
}

func TestReadWaits(t *testing.T) {
	n := Start(t)
	create(t, n, `{"name":"t"}`)
	begin := time.Now()
	type result struct {
		page readPage
		took time.Duration
	}
	got := make(chan result)
	go func() {
		page := read(t, n, "t", 0, "offset=0&wait=20s")
		got <- result{page, time.Since(begin)}
	}()
	time.Sleep(20 * time.Millisecond) // let it wait; the outcome does not depend on it
	produce(t, n, "t", "late")
	if r := <-got; r.page.values() != "late" || r.took > 10*time.Second {
		t.Errorf("after %v: %q", r.took, r.page.values())
	}
	if page := read(t, n, "t", 0, "offset=1&wait=30ms"); len(page.Records) != 0 || page.NextOffset != 1 {
		t.Errorf("an empty wait: %+v", page)
	}
	go func() {
		page := read(t, n, "t", 0, "offset=1&wait=20s")
		got <- result{page, time.Since(begin)}
	}()
	time.Sleep(20 * time.Millisecond)
	n.Broker.Drain()
	if r := <-got; len(r.page.Records) != 0 || r.took > 10*time.Second {
		t.Errorf("draining did not end the wait: %v", r.took)
	}
	call(t, n, "GET /readyz", "").want(t, http.StatusServiceUnavailable)
	call(t, n, "GET /livez", "").want(t, http.StatusOK)
}

func TestDeleteRemovesLogs(t *testing.T) {
	var dir string
	n := Start(t, WithConfig(func(c *config.Config) { dir = c.DataDir }))
	create(t, n, `{"name":"t","partitions":2}`)
	create(t, n, `{"name":"keep"}`)
	produce(t, n, "t?partition=0", "gone soon")
	produce(t, n, "keep", "stays")
	call(t, n, "DELETE /v1/topics/t", "").want(t, http.StatusNoContent)
	call(t, n, "GET /v1/topics/t", "").want(t, http.StatusNotFound)
	create(t, n, `{"name":"t","partitions":1}`)
	if r := produce(t, n, "t", "anew"); r.Offset != 0 {
		t.Errorf("the new topic continues the old one's offsets: %+v", r)
	}
	n.Restart()
	if page := read(t, n, "t", 0, "offset=0"); page.values() != "anew" {
		t.Errorf("after a restart: %q", page.values())
	}
	if page := read(t, n, "keep", 0, "offset=0"); page.values() != "stays" {
		t.Errorf("the other topic: %q", page.values())
	}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ".seg") {
			if raw, rerr := os.ReadFile(path); rerr == nil && strings.Contains(string(raw), "gone soon") {
				t.Errorf("%s still holds a deleted topic's record", path)
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestForeignDirectory(t *testing.T) {
	var dir string
	n := Start(t, WithConfig(func(c *config.Config) { dir = c.DataDir }))
	cfg := config.Default()
	cfg.DataDir, cfg.HTTP = dir, "127.0.0.1:0"
	if _, err := node.Start(t.Context(), cfg, node.Options{}); !errors.Is(err, node.ErrDataDir) {
		t.Errorf("a directory in use: %v", err)
	}
	n.stop()
	cfg.NodeID = 2
	_, err := node.Start(t.Context(), cfg, node.Options{})
	if !errors.Is(err, node.ErrDataDir) || !strings.Contains(err.Error(), "belongs to node 1") {
		t.Errorf("another node's directory: %v", err)
	}
}
