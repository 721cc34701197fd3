package servertest

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chroniklog/chronik/server/backup"
	"github.com/chroniklog/chronik/server/client"
	"github.com/chroniklog/chronik/server/config"
)

// during has something happen once, when the first batch has been read.
func during(o backup.Options, do func()) backup.Options {
	var once sync.Once
	o.Progress = func(backup.Progress) { once.Do(do) }
	return o
}

// large fills a partition with more than one request of a backup reads.
func large(t *testing.T, n *Node, target string, records int) {
	t.Helper()
	value := strings.Repeat("0123456789", 50_000)
	for i := range records {
		produce(t, n, target, value+fmt.Sprint(i))
	}
}

// A log whose start moves while it is read is backed up from where it starts
// then, be that beyond the end that was taken. A group that was before the start goes
// on from there, and retries of what is gone are known.
func TestBackupOfTrimmedLog(t *testing.T) {
	a, b := Start(t), Start(t)
	create(t, a, `{"name":"part","configs":{"cleanup.policy":"delete"}}`)
	create(t, a, `{"name":"whole","configs":{"cleanup.policy":"delete"}}`)
	for _, topic := range []string{"part", "whole"} {
		produce(t, a, topic+"?partition=0", "first", "Idempotency-Key: first")
		large(t, a, topic+"?partition=0", 29)
		call(t, a, "PUT /v1/groups/"+topic+"/offsets", `{"topic":"`+topic+`","to":"offset","offset":3,"metadata":"m"}`,
			jsonType).want(t, http.StatusOK)
	}
	o := during(backupOptions(), func() {
		produce(t, a, "whole?partition=0", "later")
		call(t, a, "DELETE /v1/topics/part/partitions/0/records?before=25", "").want(t, http.StatusNoContent)
		call(t, a, "DELETE /v1/topics/whole/partitions/0/records?before=31", "").want(t, http.StatusNoContent)
	})
	o.Parallel = 1
	dir := t.TempDir() + "/backup"
	m, err := backup.Take(t.Context(), checked(t, a), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []backup.Log{{Start: 25, End: 30, Records: 5}, {Start: 30, End: 30}} {
		if l := m.Logs[i]; l.Start != want.Start || l.End != want.End || l.Records != want.Records || l.First != l.Start {
			t.Errorf("log %d: %+v, want %+v", i, l, want)
		}
	}
	if _, err := backup.Restore(t.Context(), checked(t, b), dir, backupOptions()); err != nil {
		t.Fatal(err)
	}
	sameLogs(t, m, a, b)
	for topic, start := range map[string]int64{"part": 25, "whole": 30} {
		if r := produce(t, b, topic+"?partition=0", "first", "Idempotency-Key: first"); !r.Duplicate || r.Offset != 0 {
			t.Errorf("%s: the idempotency key was forgotten: %+v", topic, r)
		}
		if r := produce(t, b, topic+"?partition=0", "on"); r.Offset != 30 {
			t.Errorf("%s goes on at %+v", topic, r)
		}
		if page := read(t, b, topic, 0, "from=earliest"); page.LogStartOffset != start || page.Records[0].Offset != start {
			t.Errorf("%s starts at %d", topic, page.LogStartOffset)
		}
		got, err := checked(t, b).GroupOffsets(t.Context(), topic)
		if err != nil || len(got) != 1 || got[0].Offset != start || got[0].Metadata != "m" {
			t.Errorf("group %s: %+v %v", topic, got, err)
		}
	}
}

// Restored records that are older than the topic keeps them go at once, and
// that does not end the restoration; a log may start amid a batch.
func TestRestoreOfOldRecords(t *testing.T) {
	a, b := Start(t), Start(t, WithConfig(func(c *config.Config) { c.RetentionCheckInterval = 10 * time.Millisecond }))
	create(t, a, `{"name":"old","configs":{"retention.ms":"3600000","segment.bytes":"65536"}}`)
	one := `{"value":"` + strings.Repeat("x", 9000) + `","timestamp":1000000000000}`
	for range 20 {
		call(t, a, "POST /v1/topics/old/batches", `{"records":[`+one+`,`+one+`]}`, jsonType).want(t, http.StatusOK)
	}
	call(t, a, "DELETE /v1/topics/old/partitions/0/records?before=5", "").want(t, http.StatusNoContent)
	call(t, a, "PUT /v1/groups/g/offsets", `{"topic":"old","to":"offset","offset":7}`, jsonType).want(t, http.StatusOK)
	dir := t.TempDir() + "/backup"
	m, err := backup.Take(t.Context(), checked(t, a), dir, backupOptions())
	if err != nil || m.Logs[0].First != 4 || m.Logs[0].Start != 5 {
		t.Fatalf("%+v: %v", m, err)
	}
	if _, err := backup.Restore(t.Context(), checked(t, b), dir, backupOptions()); err != nil {
		t.Fatal(err)
	}
	if got, err := checked(t, b).GroupOffsets(t.Context(), "g"); err != nil || len(got) != 1 || got[0].Offset != 7 {
		t.Errorf("%+v %v", got, err)
	}
	if r := produce(t, b, "old", "on"); r.Offset != 40 {
		t.Errorf("goes on at %+v", r)
	}
	eventually(t, "retention", func() bool {
		page := read(t, b, "old", 0, "from=earliest&limit=1")
		return page.LogStartOffset > m.Logs[0].Start
	})
}

// A leader that is killed while its partition is read is read on from the next
// one. What was taken of three nodes is restored into one, if it is said how
// many replicas there shall be.
func TestBackupThroughFailover(t *testing.T) {
	a, b := StartCluster(t, 3), Start(t)
	create(t, a.Nodes[0], `{"name":"t","replication_factor":3,"configs":{"min.insync.replicas":"2"}}`)
	large(t, a.Nodes[0], "t?partition=0", 30)
	leader := partitions(t, a.Nodes[0], "t")[0].Leader
	asked := a.Nodes[leader%3]
	dir := t.TempDir() + "/backup"
	m, err := backup.Take(t.Context(), checked(t, asked), dir, during(backupOptions(), a.Nodes[leader-1].Kill))
	if err != nil || m.Logs[0].End != 30 || m.Logs[0].Records != 30 {
		t.Fatalf("%+v: %v", m, err)
	}
	_, err = backup.Restore(t.Context(), checked(t, b), dir, backupOptions())
	if !errors.Is(err, backup.ErrTooFewNodes) || !strings.Contains(err.Error(), "--replication-factor") {
		t.Errorf("into one node: %v", err)
	}
	o := backupOptions()
	o.Replication = 1
	if _, err := backup.Restore(t.Context(), checked(t, b), dir, o); err != nil {
		t.Fatal(err)
	}
	sameLogs(t, m, asked, b)
	produce(t, b, "t", "on")
	topic, err := checked(t, b).Topic(t.Context(), "t")
	if err != nil || topic.ID != m.Cluster.Topics[0].ID || topic.Configs["min.insync.replicas"] != "1" {
		t.Errorf("%+v: %v", topic, err)
	}
}

// Into a cluster that has something nothing is restored, and the answer says
// what it has.
func TestRestoreIntoUsedCluster(t *testing.T) {
	n := Start(t)
	create(t, n, `{"name":"mine"}`)
	produce(t, n, "mine", "x")
	dir := t.TempDir() + "/backup"
	if _, err := backup.Take(t.Context(), checked(t, n), dir, backupOptions()); err != nil {
		t.Fatal(err)
	}
	_, err := backup.Restore(t.Context(), checked(t, n), dir, backupOptions())
	var p *client.Problem
	if !errors.As(err, &p) || p.Code != "cluster_not_empty" || !strings.Contains(p.Detail, "mine") {
		t.Errorf("%v", err)
	}
	if r := produce(t, n, "mine", "y"); r.Offset != 1 {
		t.Errorf("%+v", r)
	}
}
