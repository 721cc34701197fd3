package server

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/chroniklog/chronik/raft"
	"github.com/chroniklog/chronik/raft/meta"
	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/server/telemetry"
	"github.com/chroniklog/chronik/storage/plog"
	"github.com/chroniklog/chronik/storage/record"
	"github.com/chroniklog/chronik/storage/vfs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// soleMeta is the metadata of a cluster of one, without a log under it.
type soleMeta struct {
	mu      sync.RWMutex
	image   *meta.Image
	index   uint64
	applied func(uint64, []meta.Event)
	now     func() time.Time

	voters     []NodeID
	removed    []NodeID // by RemoveNode
	controller NodeID   // by TransferController
	refuse     error    // of both
}

func (m *soleMeta) Propose(_ context.Context, c meta.Command) (meta.Result, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.index++
	r := meta.Request{TimeMs: m.now().UnixMilli(), Seq: m.image.Seq()}
	_, _ = rand.Read(r.ID[:])
	res, _, events, err := m.image.Apply(m.index, meta.Encode(r, c))
	m.applied(m.index, events)
	return res, err
}

// Await has nothing to wait for: Propose applies.
func (*soleMeta) Await(context.Context, uint64) error { return nil }

func (m *soleMeta) View(f func(*meta.Image)) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	f(m.image)
}

func (m *soleMeta) Status() raft.Status {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return raft.Status{Term: 1, Commit: m.index, Applied: m.index, LastIndex: m.index, Leader: 1, Voters: m.voters}
}

func (m *soleMeta) Quorum(context.Context) (raft.Quorum, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	self := raft.QuorumMember{Node: 1, Voter: true, Match: m.index, Active: true}
	return raft.Quorum{Controller: 1, Term: 1, Commit: m.index, Members: []raft.QuorumMember{self}}, m.refuse
}

func (m *soleMeta) RemoveNode(_ context.Context, node NodeID) error {
	m.removed = append(m.removed, node)
	return m.refuse
}

func (m *soleMeta) TransferController(_ context.Context, node NodeID) error {
	m.controller = node
	return m.refuse
}

func (m *soleMeta) Ready() <-chan struct{} {
	ch := make(chan struct{})
	close(ch)
	return ch
}

// newBroker starts a broker of a cluster of one over a memory disk.
func newBroker(t testing.TB, change func(*Options)) *Broker {
	t.Helper()
	o := Options{
		Node: 1, Incarnation: [16]byte{1}, Directory: [16]byte{2}, HTTP: "127.0.0.1:1",
		Now: time.Now, Logger: slog.New(slog.DiscardHandler), Metrics: telemetry.NewMetrics(telemetry.NewRegistry("test")),
		AutoCreate: true, Partitions: 1, MaxPartitions: 100_000, MaxBatchRecords: 10_000, MaxDecompressed: 1 << 20,
	}
	if change != nil {
		change(&o)
	}
	store, err := plog.Open(t.Context(), plog.Options{
		FS: vfs.NewMem(), Dir: "logs", JournalFileBytes: 1 << 20, MaintenanceInterval: -1, ReserveBytes: -1,
		Fatal: func(err error) { t.Errorf("store: %v", err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	b := New(o)
	if err := b.Start(t.Context(), &soleMeta{image: meta.NewImage(), applied: b.Applied, now: o.Now}, store); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := errors.Join(b.Close(ctx), store.Close(ctx)); err != nil {
			t.Error(err)
		}
	})
	return b
}

func mustCreate(t testing.TB, b *Broker, spec TopicSpec) Topic {
	t.Helper()
	topic, err := b.CreateTopic(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return topic
}

func appendOne(t testing.TB, b *Broker, topic string, p int32, r partition.RecordAppend) (partition.Appended, error) {
	t.Helper()
	pending, err := b.BeginRecord(t.Context(), topic, p, r)
	if err != nil {
		return partition.Appended{}, err
	}
	return pending.Wait(t.Context())
}

func plain(value string) partition.RecordAppend {
	return partition.RecordAppend{
		Value: []byte(value), Timestamp: -1, Acks: partition.AcksAll, Cond: partition.NoConditions,
	}
}

func TestCreateTopicRefuses(t *testing.T) {
	b := newBroker(t, func(o *Options) { o.MaxPartitions = 50 })
	mustCreate(t, b, TopicSpec{Name: "taken"})
	tests := []struct {
		spec TopicSpec
		want error
	}{
		{TopicSpec{Name: "taken"}, ErrTopicExists},
		{TopicSpec{Name: "a b"}, ErrInvalidTopic},
		{TopicSpec{Name: "__x"}, ErrReservedTopic},
		{TopicSpec{Name: "t", Partitions: -1}, ErrInvalidPartitions},
		{TopicSpec{Name: "t", Partitions: 50}, ErrInvalidPartitions},
		{TopicSpec{Name: "t", Partitions: 10_001}, ErrInvalidPartitions},
		{TopicSpec{Name: "t", ReplicationFactor: 2}, ErrNotEnoughBrokers},
		{TopicSpec{Name: "t", ReplicationFactor: -1}, ErrInvalidReplication},
		{TopicSpec{Name: "t", Assignment: [][]NodeID{{2}}}, ErrInvalidReplication},
		{TopicSpec{Name: "t", Partitions: 2, Assignment: [][]NodeID{{1}}}, ErrInvalidPartitions},
		{TopicSpec{Name: "t", Configs: map[string]string{"retention": "1"}}, ErrInvalidConfig},
		{TopicSpec{Name: "t", Configs: map[string]string{"min.insync.replicas": "2"}}, ErrInvalidConfig},
	}
	for _, tt := range tests {
		for _, validate := range []bool{true, false} {
			tt.spec.ValidateOnly = validate
			if _, err := b.CreateTopic(t.Context(), tt.spec); !errors.Is(err, tt.want) {
				t.Errorf("%+v: %v, want %v", tt.spec, err, tt.want)
			}
		}
	}
	spec := TopicSpec{Name: "t", Partitions: 3, ValidateOnly: true}
	topic, err := b.CreateTopic(t.Context(), spec)
	if err != nil || topic.Partitions != 3 || topic.ReplicationFactor != 1 {
		t.Errorf("validate only: %+v %v", topic, err)
	}
	if _, err := b.Topic("t"); !errors.Is(err, ErrUnknownTopic) {
		t.Errorf("validating made a topic: %v", err)
	}
}

func TestTopicLife(t *testing.T) {
	b := newBroker(t, nil)
	topic, created, err := b.EnsureTopic(t.Context(), TopicSpec{Name: "t", Configs: map[string]string{"retention.ms": "5"}})
	if err != nil || !created {
		t.Fatal(created, err)
	}
	again, created, err := b.EnsureTopic(t.Context(), TopicSpec{Name: "t", Partitions: 9})
	if err != nil || created || again.ID != topic.ID || again.Partitions != 1 {
		t.Errorf("ensured again: %+v %v %v", again, created, err)
	}
	value := "LogAppendTime"
	topic, err = b.AlterConfigs(t.Context(), "t", map[string]*string{"retention.ms": nil, "message.timestamp.type": &value})
	if err != nil || len(topic.Configs) != 1 || !b.TopicLimits(topic).LogAppendTime {
		t.Errorf("altered: %+v %v", topic, err)
	}
	for name, v := range map[string]*string{"retention": nil, "segment.bytes": &value} {
		if _, err := b.AlterConfigs(t.Context(), "t", map[string]*string{name: v}); !errors.Is(err, ErrInvalidConfig) {
			t.Errorf("alter %s: %v", name, err)
		}
	}
	if topic, err = b.AddPartitions(t.Context(), "t", Growth{Total: 4}); err != nil || topic.Partitions != 4 {
		t.Errorf("grown: %+v %v", topic, err)
	}
	if _, err := b.AddPartitions(t.Context(), "t", Growth{Total: 3}); !errors.Is(err, ErrInvalidPartitions) {
		t.Errorf("shrunk: %v", err)
	}
	parts, err := b.Partitions(t.Context(), "t")
	if err != nil || len(parts) != 4 || parts[3].Leader != 1 || !parts[3].OffsetsKnown {
		t.Errorf("partitions: %+v %v", parts, err)
	}
	if err := b.DeleteTopic(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	if err := b.DeleteTopic(t.Context(), "t"); !errors.Is(err, ErrUnknownTopic) {
		t.Errorf("deleted twice: %v", err)
	}
	if _, err := b.TopicByID(topic.ID); !errors.Is(err, ErrUnknownTopic) {
		t.Errorf("after deletion: %v", err)
	}
}

// The keys of a compacted topic would move away from their last values.
func TestGrowCompacted(t *testing.T) {
	b := newBroker(t, nil)
	mustCreate(t, b, TopicSpec{Name: "c", Configs: map[string]string{"cleanup.policy": "compact"}})
	if _, err := b.AddPartitions(t.Context(), "c", Growth{Total: 2}); !errors.Is(err, ErrInvalidPartitions) {
		t.Errorf("not forced: %v", err)
	}
	if topic, err := b.AddPartitions(t.Context(), "c", Growth{Total: 2, Force: true}); err != nil || topic.Partitions != 2 {
		t.Errorf("forced: %+v %v", topic, err)
	}
}

func TestAppendAndRead(t *testing.T) {
	b := newBroker(t, nil)
	mustCreate(t, b, TopicSpec{Name: "t", Partitions: 2})
	for i := range 5 {
		if res, err := appendOne(t, b, "t", 1, plain(fmt.Sprint("v", i))); err != nil || res.Offset != int64(i) {
			t.Fatalf("append %d: %+v %v", i, res, err)
		}
	}
	res, err := b.Read(t.Context(), ReadRequest{Topic: "t", Partition: 1, Offset: 2, MaxBytes: 1 << 20})
	if err != nil || res.Offsets.HighWatermark != 5 {
		t.Fatalf("read: %+v %v", res.Offsets, err)
	}
	if got := valuesOf(t, res.Batches, 2); got != "v2 v3 v4" {
		t.Errorf("values %q", got)
	}
	for _, tt := range []struct {
		topic  string
		p      int32
		offset int64
		want   error
	}{{"x", 0, 0, ErrUnknownTopic}, {"t", 2, 0, ErrUnknownPartition}, {"t", 1, 6, ErrOffsetBeyondEnd}} {
		_, err := b.Read(t.Context(), ReadRequest{Topic: tt.topic, Partition: tt.p, Offset: tt.offset, MaxBytes: 1})
		if !errors.Is(err, tt.want) {
			t.Errorf("read %s/%d at %d: %v, want %v", tt.topic, tt.p, tt.offset, err, tt.want)
		}
	}
	if start, err := b.Trim(t.Context(), "t", 1, 3); err != nil || start != 3 {
		t.Errorf("trim: %d %v", start, err)
	}
	_, err = b.Read(t.Context(), ReadRequest{Topic: "t", Partition: 1, Offset: 2, MaxBytes: 1})
	var trimmed *OffsetTrimmedError
	if !errors.As(err, &trimmed) || trimmed.LogStart != 3 {
		t.Errorf("read what was trimmed: %v", err)
	}
}

// valuesOf joins the values of records from an offset on.
func valuesOf(t testing.TB, batches []byte, from int64) string {
	t.Helper()
	var out []string
	for len(batches) > 0 {
		batch, rest, err := record.Split(batches)
		if err != nil {
			t.Fatal(err)
		}
		var r record.Reader
		var rec record.Record
		if _, err := r.Reset(batch, 1<<20); err != nil {
			t.Fatal(err)
		}
		for r.Next(&rec) {
			if rec.Offset >= from {
				out = append(out, string(rec.Value))
			}
		}
		batches = rest
	}
	return strings.Join(out, " ")
}

func TestTimestampsAreJudged(t *testing.T) {
	now := time.UnixMilli(1_000_000_000)
	b := newBroker(t, func(o *Options) { o.Now = func() time.Time { return now } })
	mustCreate(t, b, TopicSpec{Name: "t", Configs: map[string]string{
		"message.timestamp.before.max.ms": "1000", "message.timestamp.after.max.ms": "2000",
	}})
	for delta, ok := range map[int64]bool{-1001: false, -1000: true, 2000: true, 2001: false} {
		r := plain("x")
		r.Timestamp = now.UnixMilli() + delta
		if _, err := appendOne(t, b, "t", 0, r); (err == nil) != ok || err != nil && !errors.Is(err, partition.ErrInvalidAppend) {
			t.Errorf("%+d ms: %v", delta, err)
		}
	}
}

// The repeat of a request meets the first attempt though partitions were added
// between the two.
func TestIdempotencyKeyKeepsItsHome(t *testing.T) {
	b := newBroker(t, nil)
	topic := mustCreate(t, b, TopicSpec{Name: "t", Partitions: 2})
	first := map[string]int32{}
	send := func(key string) (int32, partition.Appended) {
		p := mustChoose(t, b, topic, nil, key)
		r := plain("x")
		r.IdempotencyKey, r.BodyHash = key, [16]byte{1}
		res, err := appendOne(t, b, "t", p, r)
		if err != nil {
			t.Fatal(err)
		}
		return p, res
	}
	for i := range 40 {
		key := fmt.Sprint("k", i)
		first[key], _ = send(key)
	}
	var err error
	if topic, err = b.AddPartitions(t.Context(), "t", Growth{Total: 16}); err != nil {
		t.Fatal(err)
	}
	for key, p := range first {
		if again, res := send(key); again != p || !res.Duplicate {
			t.Errorf("%s went to %d, then to %d: %+v", key, p, again, res)
		}
	}
	fresh := map[int32]bool{}
	for i := range 100 {
		p, _ := send(fmt.Sprint("new", i))
		fresh[p] = true
	}
	if len(fresh) < 12 {
		t.Errorf("new keys went to %d of 16 partitions", len(fresh))
	}
}

func mustChoose(t *testing.T, b *Broker, topic Topic, key []byte, idempotencyKey string) int32 {
	p, err := b.ChoosePartition(t.Context(), topic, key, idempotencyKey)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestChoosePartition(t *testing.T) {
	b := newBroker(t, nil)
	topic := mustCreate(t, b, TopicSpec{Name: "t", Partitions: 4})
	key := []byte("some key")
	if got, want := mustChoose(t, b, topic, key, "idem"), record.PartitionForKey(key, 4); got != want {
		t.Errorf("a keyed record went to %d, not %d", got, want)
	}
	counts := map[int32]int{}
	runs, last := 0, int32(-1)
	for range 4 * 4 * stickiness {
		p := mustChoose(t, b, topic, nil, "")
		counts[p]++
		if p != last {
			runs++
		}
		last = p
	}
	if len(counts) != 4 || counts[0] != 4*stickiness || runs != 16 {
		t.Errorf("spread %v in %d runs", counts, runs)
	}
	if n := testing.AllocsPerRun(100, func() { mustChoose(t, b, topic, key, "") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestProducerIDs(t *testing.T) {
	now := time.UnixMilli(1_000_000_000)
	b := newBroker(t, func(o *Options) { o.Now = func() time.Time { return now } })
	seen := map[int64]bool{}
	for range 2*pidBlockSize + 1 {
		id, epoch, err := b.AllocateProducerID(t.Context())
		if err != nil || epoch != 0 || seen[id] {
			t.Fatalf("id %d epoch %d: %v", id, epoch, err)
		}
		seen[id] = true
	}
	a, err := b.ProducerID(t.Context(), "a")
	if err != nil || seen[a] {
		t.Fatal(a, err)
	}
	if other, err := b.ProducerID(t.Context(), "b"); err != nil || other == a {
		t.Errorf("another name: %d %v", other, err)
	}
	for range 5 { // used now and then, it lives on
		now = now.Add(producerTTL * 3 / 4)
		if again, err := b.ProducerID(t.Context(), "a"); err != nil || again != a {
			t.Errorf("id %d became %d: %v", a, again, err)
		}
	}
	now = now.Add(producerTTL + time.Millisecond)
	if again, err := b.ProducerID(t.Context(), "a"); err != nil || again == a {
		t.Errorf("an expired name kept its id %d: %v", again, err)
	}
	for _, bad := range []string{"", strings.Repeat("x", MaxProducerName+1), "\xff"} {
		if _, err := b.ProducerID(t.Context(), bad); !errors.Is(err, ErrInvalidProducer) {
			t.Errorf("%.10q: %v", bad, err)
		}
	}
}

// A partition whose leader dies goes on here, and the log tells it in the words
// that operators look for.
func TestFailoverHere(t *testing.T) {
	var log bytes.Buffer
	b := newBroker(t, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	propose := func(c meta.Command) {
		t.Helper()
		if _, err := b.propose(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	propose(&meta.RegisterBroker{ID: 2, Incarnation: [16]byte{9}, Directory: [16]byte{8}, HTTP: "two:1"})
	mustCreate(t, b, TopicSpec{Name: "t", Assignment: [][]NodeID{{2, 1}}})
	_, err := appendOne(t, b, "t", 0, plain("x"))
	var notLeader *NotLeaderError
	if !errors.As(err, &notLeader) || notLeader.Leader != 2 || notLeader.Addr != "two:1" {
		t.Fatalf("append while node 2 leads: %v", err)
	}
	if err := b.change(t.Context(), "fence", &meta.FenceBroker{ID: 2}); err != nil {
		t.Fatal(err)
	}
	if res, err := appendOne(t, b, "t", 0, plain("x")); err != nil || res.Offset != 0 || res.LeaderEpoch != 1 {
		t.Errorf("append after the failover: %+v %v", res, err)
	}
	if info, err := b.Partition(t.Context(), "t", 0); err != nil || info.Leader != 1 || len(info.ISR) != 1 {
		t.Errorf("partition: %+v %v", info, err)
	}
	if c := b.Cluster(); c.UnderReplicatedPartitions != 1 || len(c.Nodes) != 2 || c.Nodes[1].Alive {
		t.Errorf("cluster: %+v", c)
	}
	for _, want := range []string{
		`msg="initializing partition metadata" topic=t`, `msg="leader timeout" topic=t partition=0 leader=2`,
		`msg="elected new leader" topic=t partition=0 leader=1 epoch=1 isr=[1]`,
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, log.String())
		}
	}
}

// A deleted topic's waiting readers are told.
func TestDeleteWakesReaders(t *testing.T) {
	b := newBroker(t, nil)
	mustCreate(t, b, TopicSpec{Name: "t"})
	done := make(chan error)
	go func() {
		_, err := b.Read(t.Context(), ReadRequest{Topic: "t", MaxBytes: 1, Wait: time.Minute})
		done <- err
	}()
	for rep := (*part)(nil); rep == nil || rep.replica.Load() == nil; { // until the reader has opened it
		_, rep, _ = b.dir.part("t", 0)
		runtime.Gosched()
	}
	if err := b.DeleteTopic(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, ErrUnknownTopic) {
		t.Errorf("the waiting reader got %v", err)
	}
}

// An unused partition costs little, and making many is quick.
func TestManyPartitions(t *testing.T) {
	b := newBroker(t, nil)
	before := heap()
	begin := time.Now()
	mustCreate(t, b, TopicSpec{Name: "big", Partitions: 10_000})
	took := time.Since(begin)
	each := (heap() - before) / 10_000
	t.Logf("10,000 partitions in %v, %d bytes of heap each", took, each)
	if each > 1500 {
		t.Errorf("an unused partition costs %d bytes", each)
	}
	if took > 5*time.Second {
		t.Errorf("creation took %v", took)
	}
	if _, err := b.CreateTopic(t.Context(), TopicSpec{Name: "u", Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	runtime.KeepAlive(b)
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
