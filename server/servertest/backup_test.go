package servertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chroniklog/chronik/server/backup"
	"github.com/chroniklog/chronik/server/client"
	"github.com/chroniklog/chronik/server/config"
	"github.com/chroniklog/chronik/storage/record"
)

// checked is a client whose exchanges are held against openapi.yaml.
func checked(t testing.TB, n *Node) *client.Client {
	t.Helper()
	c, err := client.New(n.URL)
	if err != nil {
		t.Fatal(err)
	}
	return c.Through(n.Client.Transport)
}

func backupOptions() backup.Options { return backup.Options{Release: "test", Now: time.Now} }

// busyTopics are topics of every kind with records of every kind.
func busyTopics(t *testing.T, c *Cluster) {
	t.Helper()
	n := c.Nodes[0]
	create(t, n, `{"name":"plain","partitions":3,"replication_factor":3,"configs":{"retention.ms":"-1"}}`)
	create(t, n, `{"name":"empty","partitions":2}`)
	create(t, n, `{"name":"trimmed","configs":{"cleanup.policy":"delete"}}`)
	create(t, n, `{"name":"compacted","replication_factor":3,`+
		`"configs":{"cleanup.policy":"compact","segment.bytes":"65536","min.cleanable.dirty.ratio":"0"}}`)
	for i := range 30 {
		produce(t, n, fmt.Sprintf("plain?key=k%d", i), fmt.Sprint("value ", i), "Log-Header: n="+fmt.Sprint(i))
	}
	produce(t, n, "plain?partition=0", "once", "Idempotency-Key: once")
	sequence := []string{"Producer-Id: p", "Producer-Epoch: 2", "Producer-Seq: 0"}
	call(t, n, "POST /v1/topics/plain/partitions/1/records", "first", append(sequence, "Content-Type: text/plain")...).
		want(t, http.StatusCreated)
	call(t, n, "PUT /v1/topics/plain/partitions/2/fence", `{"token":"sword"}`, jsonType).want(t, http.StatusNoContent)

	ten := strings.TrimSuffix(strings.Repeat(`{"value":"x","headers":[{"name":"h","value":"1"}]},`, 10), ",")
	for range 3 {
		call(t, n, "POST /v1/topics/trimmed/batches", `{"records":[`+ten+`]}`, jsonType)
	}
	produce(t, n, "trimmed?partition=0", "remembered", "Idempotency-Key: gone")
	call(t, n, "POST /v1/topics/trimmed/batches", `{"records":[`+ten+`]}`, jsonType)

	create(t, n, `{"name":"cut","replication_factor":3}`) // trimmed, with nothing to remember
	for range 2 {
		call(t, n, "POST /v1/topics/cut/batches", `{"records":[`+ten+`]}`, jsonType)
	}
	for i := range 60 {
		call(t, n, fmt.Sprintf("PUT /v1/topics/compacted/keys/k%d", i%4), strings.Repeat("v", 4000)+fmt.Sprint(i),
			"Content-Type: text/plain")
	}
	c.Stop(c.Nodes...) // what is only in the journal is not compacted
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	inSyncAgain(t, c, "plain", "compacted", "trimmed", "cut")
	call(t, n, "DELETE /v1/topics/cut/partitions/0/records?before=13", "").want(t, http.StatusNoContent)
	call(t, n, "DELETE /v1/topics/trimmed/partitions/0/records?before=35", "").want(t, http.StatusNoContent)
	eventually(t, "compaction", func() bool {
		page := read(t, n, "compacted", 0, "offset=0&limit=1")
		return page.Records[0].Offset > 0
	})
	call(t, n, "PUT /v1/groups/g/offsets", `{"topic":"plain","to":"offset","offset":4,"metadata":"note"}`, jsonType).
		want(t, http.StatusOK)
	call(t, n, "PUT /v1/groups/h/offsets", `{"topic":"trimmed","to":"latest"}`, jsonType).want(t, http.StatusOK)
}

// A cluster that serves is backed up, and restored into another one: the same
// offsets, records, ids and memory.
func TestBackupAndRestore(t *testing.T) {
	quick := WithConfig(func(c *config.Config) { c.RetentionCheckInterval = 50 * time.Millisecond })
	a, b := StartCluster(t, 3, quick), StartCluster(t, 3, quick)
	busyTopics(t, a)
	dir := t.TempDir() + "/backup"
	loaded, stop := load(t, a.Nodes[1])
	m, err := backup.Take(t.Context(), checked(t, a.Nodes[2]), dir, backupOptions())
	if err != nil {
		t.Fatal(err)
	}
	acked := stop()
	_, records, _ := m.Totals()
	if len(m.Cluster.Topics) != 5 || len(m.Groups) != 2 || records < 60 || len(m.Skipped) > 0 || acked < loaded {
		t.Fatalf("%d topics, %d groups, %d records; skipped %v; %d appends", len(m.Cluster.Topics), len(m.Groups), records,
			m.Skipped, acked)
	}
	if _, err := backup.Verify(t.Context(), dir, backupOptions()); err != nil {
		t.Fatal(err)
	}
	if _, err := backup.Restore(t.Context(), checked(t, b.Nodes[1]), dir, backupOptions()); err != nil {
		t.Fatal(err)
	}
	sameLogs(t, m, a.Nodes[0], b.Nodes[2])
	sameMemory(t, m, b)
	// What the followers copied is the same, and goes on.
	c, err := client.New(b.Nodes[2].URL)
	if err != nil {
		t.Fatal(err)
	}
	b.Stop(b.Nodes[0])
	if _, err := c.Cluster(t.Context()); err != nil {
		t.Fatal(err)
	}
	sameLogs(t, m, a.Nodes[0], b.Nodes[2])
	produce(t, b.Nodes[1], "plain?partition=1", "on")
	_, err = backup.Restore(t.Context(), checked(t, b.Nodes[1]), dir, backupOptions())
	var p *client.Problem
	if !errors.As(err, &p) || p.Code != "cluster_not_empty" || !strings.Contains(p.Detail, "compacted") {
		t.Fatalf("restored twice: %v", err)
	}
}

// load appends until stop, which returns how many appends succeeded; it returns
// once it has begun.
func load(t *testing.T, n *Node) (begun int, stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	first := make(chan struct{})
	acked := 0
	wg.Go(func() {
		for ; ctx.Err() == nil; acked++ {
			for _, topic := range []string{"plain", "compacted"} {
				if _, err := appendKeyed(ctx, n, topic, fmt.Sprint("k", acked%4)); err != nil && ctx.Err() == nil {
					t.Errorf("append: %v", err)
					return
				}
			}
			if acked == 5 {
				close(first)
			}
		}
	})
	<-first
	return 5, func() int { cancel(); wg.Wait(); return acked }
}

func appendKeyed(ctx context.Context, n *Node, topic, key string) (int64, error) {
	url := n.URL + "/v1/topics/" + topic + "/records?key=" + key
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(strings.Repeat("w", 500)))
	if err != nil {
		return 0, err
	}
	resp, err := n.Client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		return 0, errors.New(resp.Status)
	}
	return 0, nil
}

// sameLogs compares what both show of each partition of the backup, byte for
// byte. Batches that hold nothing stand for records that compaction removed.
func sameLogs(t *testing.T, m *backup.Manifest, a, b *Node) {
	t.Helper()
	names := map[string]string{}
	for _, topic := range m.Cluster.Topics {
		names[topic.ID] = topic.Name
	}
	for _, l := range m.Logs {
		where := fmt.Sprintf("%s/%d", names[l.TopicID], l.Partition)
		want := recordsOf(t, a, names[l.TopicID], l, l.End)
		got := recordsOf(t, b, names[l.TopicID], l, l.End)
		if names[l.TopicID] == "compacted" { // the original goes on being compacted
			want = onlyOf(want, got)
			got = onlyOf(got, want)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: original (-) and restored (+):\n%.2000s", where, d)
		}
	}
}

// onlyOf is the records whose offsets other has, too.
func onlyOf(list, other map[int64]string) map[int64]string {
	out := map[int64]string{}
	for offset, r := range list {
		if _, ok := other[offset]; ok {
			out[offset] = r
		}
	}
	return out
}

// recordsOf reads a partition's records below end, each as text, by offset.
func recordsOf(t *testing.T, n *Node, topic string, l backup.Log, end int64) map[int64]string {
	t.Helper()
	c := checked(t, n)
	out := map[int64]string{}
	var r record.Reader
	for next := l.Start; next < end; {
		var f client.Fetched
		eventually(t, "read "+topic, func() (ok bool) {
			var err error
			f, err = c.Fetch(t.Context(), client.FetchRequest{
				Topic: topic, TopicID: l.TopicID, Partition: l.Partition, Offset: next,
			})
			return err == nil && f.HighWatermark >= end
		})
		if len(f.Batches) == 0 {
			return out
		}
		for rest := f.Batches; len(rest) > 0; {
			batch, after, err := record.Split(rest)
			if err != nil {
				t.Fatal(err)
			}
			h, err := r.Reset(batch, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			var rec record.Record
			for r.Next(&rec) {
				if rec.Offset >= l.Start && rec.Offset < end {
					out[rec.Offset] = fmt.Sprintf("%d %q %q %q epoch %d producer %d/%d/%d crc %x", rec.Timestamp, rec.Key,
						rec.Value, rec.Headers, h.LeaderEpoch, h.ProducerID, h.ProducerEpoch, h.BaseSequence, h.CRC)
				}
			}
			next, rest = h.NextOffset(), after
		}
	}
	return out
}

// sameMemory wants topics, groups and partitions to be what they were.
func sameMemory(t *testing.T, m *backup.Manifest, c *Cluster) {
	t.Helper()
	n := c.Nodes[0]
	api := checked(t, n)
	for _, want := range m.Cluster.Topics {
		got, err := api.Topic(t.Context(), want.Name)
		if err != nil || got.ID != want.ID || got.Partitions != want.Partitions || !got.CreatedAt.Equal(want.CreatedAt) {
			t.Errorf("%+v, was %+v: %v", got, want, err)
		}
		if d := cmp.Diff(want.Configs, got.Configs); d != "" {
			t.Errorf("%s: %s", want.Name, d)
		}
	}
	for _, want := range m.Groups {
		got, err := api.GroupOffsets(t.Context(), want.Group)
		if d := cmp.Diff(want.Offsets, got); d != "" || err != nil {
			t.Errorf("group %s: %s %v", want.Group, d, err)
		}
	}
	// Retries are answered as before, those of records that were trimmed, too.
	if r := produce(t, n, "plain?partition=0", "once", "Idempotency-Key: once"); !r.Duplicate {
		t.Errorf("the idempotency key was forgotten: %+v", r)
	}
	if r := produce(t, n, "trimmed?partition=0", "remembered", "Idempotency-Key: gone"); !r.Duplicate || r.Offset != 30 {
		t.Errorf("the idempotency key was forgotten: %+v", r)
	}
	for seq, status := range []int{http.StatusOK, http.StatusCreated} {
		call(t, n, "POST /v1/topics/plain/partitions/1/records", "first", "Content-Type: text/plain", "Producer-Id: p",
			"Producer-Epoch: 2", fmt.Sprint("Producer-Seq: ", seq)).want(t, status)
	}
	a := call(t, n, "POST /v1/topics/plain/partitions/2/records?fence=shield", "x", "Content-Type: text/plain")
	if a.want(t, http.StatusPreconditionFailed).code(t) != "fenced" {
		t.Errorf("%s", a.body)
	}
	if page := read(t, n, "trimmed", 0, "from=earliest&limit=1"); page.LogStartOffset != 35 || page.Records[0].Offset != 35 {
		t.Errorf("the trimmed log begins with %+v", page)
	}
	if page := read(t, n, "compacted", 0, "offset=0&limit=1"); page.Records[0].Offset == 0 {
		t.Error("what compaction had removed is there")
	}
	for k := range 4 {
		call(t, n, fmt.Sprintf("GET /v1/topics/compacted/keys/k%d", k), "").want(t, http.StatusOK)
	}
	for _, node := range c.Nodes {
		id, _, err := node.Broker.AllocateProducerID(t.Context())
		if err != nil || id < m.Cluster.NextProducer {
			t.Errorf("producer id %d was given out before the backup, up to %d: %v", id, m.Cluster.NextProducer, err)
		}
	}
}

// A restoration that was interrupted goes on, also when the nodes have been
// killed meanwhile; another backup is refused.
func TestRestoreGoesOn(t *testing.T) {
	a, b := Start(t), StartCluster(t, 3, WithConfig(func(c *config.Config) { c.AutoCreateTopics = false }))
	create(t, a, `{"name":"t","partitions":6}`)
	big := strings.Repeat("0123456789", 50_000)
	for i := range 60 {
		produce(t, a, fmt.Sprintf("t?partition=%d", i%6), big+fmt.Sprint(i))
	}
	first, second := t.TempDir()+"/first", t.TempDir()+"/second"
	m, err := backup.Take(t.Context(), checked(t, a), first, backupOptions())
	if err == nil {
		_, err = backup.Take(t.Context(), checked(t, a), second, backupOptions())
	}
	if err != nil {
		t.Fatal(err)
	}
	for round := range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		o := backupOptions()
		o.Parallel = 2
		o.Progress = func(p backup.Progress) {
			if p.Bytes > 4<<20 {
				cancel()
			}
		}
		_, err := backup.Restore(ctx, checked(t, b.Nodes[round]), first, o)
		cancel()
		if err == nil {
			t.Fatalf("round %d came to its end", round)
		}
		n := b.Nodes[round]
		n.Kill()
		n.Restart()
	}
	var p *client.Problem
	_, err = backup.Restore(t.Context(), checked(t, b.Nodes[0]), second, backupOptions())
	if !errors.As(err, &p) || p.Code != "cluster_not_empty" || !strings.Contains(p.Detail, m.ID) {
		t.Fatalf("another backup: %v", err)
	}
	// Nobody writes in between.
	if s := partitions(t, b.Nodes[1], "t"); s[5].Leader == 0 {
		a := call(t, b.Nodes[1], "POST /v1/topics/t/partitions/5/records", "x", "Content-Type: text/plain")
		if a.want(t, http.StatusServiceUnavailable).code(t) != "no_leader" {
			t.Errorf("%s", a.body)
		}
	}
	if _, err := backup.Restore(t.Context(), checked(t, b.Nodes[0]), first, backupOptions()); err != nil {
		t.Fatal(err)
	}
	sameLogs(t, m, a, b.Nodes[1])
}

// Topics that go while they are read are left out, and said to be.
func TestBackupOfDeletedTopic(t *testing.T) {
	n := Start(t)
	create(t, n, `{"name":"stays"}`)
	create(t, n, `{"name":"goes","partitions":4}`)
	produce(t, n, "stays", "x")
	produce(t, n, "goes?partition=3", "x")
	call(t, n, "PUT /v1/groups/g/offsets", `{"topic":"goes","to":"latest"}`, jsonType)
	o := backupOptions()
	var once sync.Once
	o.Parallel = 1
	o.Progress = func(backup.Progress) {
		once.Do(func() {
			call(t, n, "DELETE /v1/topics/goes", "").want(t, http.StatusNoContent)
			create(t, n, `{"name":"goes"}`)
		})
	}
	dir := t.TempDir()
	m, err := backup.Take(t.Context(), checked(t, n), dir, o)
	if err != nil || len(m.Cluster.Topics) != 1 || len(m.Groups) != 0 || len(m.Skipped) != 5 {
		t.Fatalf("%+v: %v", m, err)
	}
	if _, err := backup.Verify(t.Context(), dir, o); err != nil {
		t.Fatal(err)
	}
	if _, err := backup.Take(t.Context(), checked(t, n), dir, o); !errors.Is(err, backup.ErrNotEmpty) {
		t.Errorf("over another backup: %v", err)
	}
}

// What is no whole backup is refused before the cluster is asked.
func TestDamagedBackups(t *testing.T) {
	n := Start(t)
	create(t, n, `{"name":"t","partitions":2}`)
	for range 5 {
		produce(t, n, "t?partition=0", "x", "Idempotency-Key: a")
		produce(t, n, "t?partition=0", strings.Repeat("y", 300))
	}
	call(t, n, "PUT /v1/groups/g/offsets", `{"topic":"t","to":"latest"}`, jsonType)
	dir := t.TempDir() + "/b"
	m, err := backup.Take(t.Context(), checked(t, n), dir, backupOptions())
	if err != nil {
		t.Fatal(err)
	}
	log := fmt.Sprintf("logs/%s-0.log", m.Logs[0].TopicID)
	state := fmt.Sprintf("logs/%s-0.state", m.Logs[0].TopicID)
	edit := func(name string, change func([]byte) []byte) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			t.Helper()
			text, err := os.ReadFile(dir + "/" + name)
			if err == nil {
				err = os.WriteFile(dir+"/"+name, change(text), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	remove := func(name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			if err := os.Remove(dir + "/" + name); err != nil {
				t.Fatal(err)
			}
		}
	}
	flip := func(at int) func([]byte) []byte {
		return func(b []byte) []byte { b[(at+len(b))%len(b)] ^= 1; return b }
	}
	cut := func(b []byte) []byte { return b[:len(b)-1] }
	for name, tc := range map[string]struct {
		damage func(*testing.T, string)
		want   error
	}{
		"unfinished":       {remove("SHA256SUMS"), backup.ErrUnfinished},
		"log flipped":      {edit(log, flip(100)), backup.ErrCorrupt},
		"log's epoch":      {edit(log, flip(15)), backup.ErrCorrupt},
		"log's end":        {edit(log, flip(-1)), backup.ErrCorrupt},
		"log cut":          {edit(log, cut), backup.ErrCorrupt},
		"log gone":         {remove(log), backup.ErrCorrupt},
		"state flipped":    {edit(state, flip(3)), backup.ErrCorrupt},
		"state cut":        {edit(state, cut), backup.ErrCorrupt},
		"state gone":       {remove(state), backup.ErrCorrupt},
		"manifest changed": {edit("manifest.json", flip(-30)), backup.ErrCorrupt},
		"manifest gone":    {remove("manifest.json"), backup.ErrForeign},
		"sums flipped":     {edit("SHA256SUMS", flip(3)), backup.ErrCorrupt},
		"sums cut": {edit("SHA256SUMS", func(b []byte) []byte {
			return b[:bytes.IndexByte(b, '\n')+1]
		}), backup.ErrCorrupt},
		"sums climb": {edit("SHA256SUMS", func(b []byte) []byte {
			return append(b, []byte(strings.Repeat("0", 64)+"  ../x\n")...)
		}), backup.ErrCorrupt},
		"a stranger": {func(t *testing.T, dir string) {
			if err := os.WriteFile(dir+"/logs/x", nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, backup.ErrCorrupt},
		"newer": {edit("manifest.json", func(b []byte) []byte {
			return bytes.Replace(b, []byte(`"version": 1`), []byte(`"version": 2, "new": 1`), 1)
		}), backup.ErrNewer},
		"something else": {edit("manifest.json", func([]byte) []byte { return []byte(`{"a":1}`) }), backup.ErrForeign},
		"no backup": {func(t *testing.T, dir string) {
			if err := errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700)); err != nil {
				t.Fatal(err)
			}
		}, backup.ErrForeign},
	} {
		t.Run(name, func(t *testing.T) {
			copied := t.TempDir() + "/b"
			if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			tc.damage(t, copied)
			nobody, err := client.New("127.0.0.1:1")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := backup.Verify(t.Context(), copied, backupOptions()); !errors.Is(err, tc.want) {
				t.Errorf("verified: %v, want %v", err, tc.want)
			}
			if _, err := backup.Restore(t.Context(), nobody, copied, backupOptions()); !errors.Is(err, tc.want) {
				t.Errorf("restored: %v, want %v", err, tc.want)
			}
		})
	}
}
