package api

import (
	"bytes"
	"cmp"
	"context"
	"net/http"
	"sort"
	"sync"
	"testing"
	"time"

	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/server/replica"
	"github.com/chroniklog/chronik/storage/plog"
	"github.com/chroniklog/chronik/storage/record"
)

// memLog is a log in memory: a "sync" is a turn of its goroutine.
type memLog struct {
	mu      sync.Mutex
	owner   plog.Owner
	batches []byte
	index   []memEntry
	start   int64
	end     int64
	flushed int64
	dirty   chan struct{}
	done    chan struct{}
	stalled chan struct{} // while not nil, a cycle waits for its close
}

type memEntry struct {
	next int64 // offset after the batch
	pos  int   // where the batch begins
	ts   int64 // MaxTimestamp
}

func newMemLog() *memLog {
	l := &memLog{dirty: make(chan struct{}, 1), done: make(chan struct{})}
	go l.cycles()
	return l
}

func (l *memLog) cycles() {
	defer close(l.done)
	for range l.dirty {
		l.mu.Lock()
		stalled := l.stalled
		l.mu.Unlock()
		if stalled != nil {
			<-stalled
		}
		l.owner.Seal()
		l.mu.Lock()
		end := l.end
		l.flushed = end
		l.mu.Unlock()
		l.owner.Flushed(end, &plog.Cycle{})
	}
}

func (l *memLog) Bind(o plog.Owner) { l.owner = o }

func (l *memLog) MarkDirty() {
	select {
	case l.dirty <- struct{}{}:
	default:
	}
}

func (l *memLog) Append(b []byte, h record.Header) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.index = append(l.index, memEntry{next: h.NextOffset(), pos: len(l.batches), ts: h.MaxTimestamp})
	l.batches = append(l.batches, b...)
	l.end = h.NextOffset()
}

func (l *memLog) get(p *int64) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return *p
}

func (l *memLog) StartOffset() int64   { return l.get(&l.start) }
func (l *memLog) EndOffset() int64     { return l.get(&l.end) }
func (l *memLog) FlushedOffset() int64 { return l.get(&l.flushed) }

func (l *memLog) Read(from, limit int64, maxBytes int) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := sort.Search(len(l.index), func(i int) bool { return l.index[i].next > from })
	last := first
	for last < len(l.index) && l.index[last].next <= limit {
		if last > first && l.stop(last)-l.index[first].pos > maxBytes {
			break
		}
		last++
	}
	if first == last {
		return nil, nil
	}
	return l.batches[l.index[first].pos:l.stop(last-1)], nil
}

func (l *memLog) stop(i int) int {
	if i+1 < len(l.index) {
		return l.index[i+1].pos
	}
	return len(l.batches)
}

func (l *memLog) OffsetForTime(int64, int64) (offset, timestamp int64, ok bool, err error) {
	return 0, 0, false, nil
}
func (l *memLog) EpochEnd(int32) (int32, int64)                { return 0, l.EndOffset() }
func (l *memLog) EpochAt(int64) int32                          { return 0 }
func (l *memLog) LastEpoch() int32                             { return 0 }
func (l *memLog) Trim(context.Context, int64) error            { return nil }
func (l *memLog) Truncate(context.Context, int64) error        { return nil }
func (l *memLog) SetHighWatermark(int64)                       {}
func (l *memLog) SaveState(int64, []byte) error                { return nil }
func (l *memLog) LoadState(int64) (int64, []byte, bool, error) { return 0, nil, false, nil }
func (l *memLog) Scan(context.Context, int64, func([]byte, record.Header) error) error {
	return nil
}

func (l *memLog) Reset(context.Context, int64) error { return nil }

// logBroker is a fakeBroker with real replicas over logs in memory.
type logBroker struct {
	fakeBroker
	t        testing.TB
	logMu    sync.RWMutex
	replicas map[string][]*replica.Replica
	logs     map[string][]*memLog
	staged   int64 // StagedBytes of replicas; 0: 16 MiB
	readErr  error // of every Read but the next readOK, guarded by logMu
	readOK   int
}

func newLogBroker(t testing.TB) *logBroker {
	b := &logBroker{t: t, replicas: map[string][]*replica.Replica{}, logs: map[string][]*memLog{}}
	b.draining = make(chan struct{})
	return b
}

// add makes a topic.
func (b *logBroker) add(name string, partitions int32) server.Topic {
	topic, err := b.create(server.TopicSpec{Name: name, Partitions: partitions})
	if err != nil {
		b.t.Fatal(err)
	}
	for p := range partitions {
		log := newMemLog()
		rep, err := replica.Open(context.Background(), replica.Options{
			Topic: name, ID: plog.ID{Partition: p}, Log: log, Node: 1, Now: time.Now, StagedBytes: cmp.Or(b.staged, 16<<20),
		})
		if err != nil {
			b.t.Fatal(err)
		}
		rep.BecomeLeader(0, 0, []int32{1}, []int32{1})
		b.logMu.Lock()
		b.replicas[name], b.logs[name] = append(b.replicas[name], rep), append(b.logs[name], log)
		b.logMu.Unlock()
		b.t.Cleanup(func() {
			if err := rep.Close(context.Background()); err != nil {
				b.t.Error(err)
			}
			close(log.dirty)
			<-log.done
		})
	}
	return topic
}

func (b *logBroker) replica(topic string, p int32) (*replica.Replica, error) {
	b.logMu.RLock()
	defer b.logMu.RUnlock()
	if list := b.replicas[topic]; int(p) < len(list) {
		return list[p], nil
	}
	return nil, server.ErrUnknownPartition
}

func (b *logBroker) ResolveTopic(_ context.Context, name string, _ bool) (server.Topic, error) {
	return b.Topic(name)
}

func (b *logBroker) TopicLimits(server.Topic) server.TopicLimits {
	return server.TopicLimits{MaxMessageBytes: 1048588, MaxBatchRecords: 10_000}
}

func (b *logBroker) ChoosePartition(context.Context, server.Topic, []byte, string) (int32, error) {
	return 0, nil
}

func (b *logBroker) Leader(topic string, p int32) (server.Leader, error) {
	_, err := b.replica(topic, p)
	return server.Leader{Node: 1, HTTP: "127.0.0.1:8080", Here: true, Proven: true}, err
}

func (b *logBroker) Confirmed(ctx context.Context, topic string, p int32) (partition.Offsets, error) {
	return b.Offsets(ctx, topic, p)
}

func (b *logBroker) ProducerID(context.Context, string) (int64, error) { return 7, nil }

func (b *logBroker) BeginRecord(_ context.Context, topic string, p int32, a partition.RecordAppend) (
	*replica.Pending, error,
) {
	rep, err := b.replica(topic, p)
	if err != nil {
		return nil, err
	}
	return rep.BeginRecord(a)
}

func (b *logBroker) BeginBatch(_ context.Context, topic string, p int32, a partition.BatchAppend) (
	*replica.Pending, error,
) {
	rep, err := b.replica(topic, p)
	if err != nil {
		return nil, err
	}
	return rep.BeginBatch(a)
}

func (b *logBroker) Read(_ context.Context, req server.ReadRequest) (server.ReadResult, error) {
	rep, err := b.replica(req.Topic, req.Partition)
	if err != nil {
		return server.ReadResult{}, err
	}
	if err := b.readFailure(); err != nil {
		return server.ReadResult{}, err
	}
	batches, offsets, err := rep.Read(req.Offset, req.MaxBytes, req.Isolation)
	if err != nil {
		return server.ReadResult{}, err
	}
	topic, err := b.Topic(req.Topic)
	return server.ReadResult{TopicID: topic.ID, Batches: batches, Offsets: offsets}, err
}

// failReads makes reads fail after the next ok ones.
func (b *logBroker) failReads(ok int, err error) {
	b.logMu.Lock()
	defer b.logMu.Unlock()
	b.readOK, b.readErr = ok, err
}

func (b *logBroker) readFailure() error {
	b.logMu.Lock()
	defer b.logMu.Unlock()
	if b.readOK > 0 {
		b.readOK--
		return nil
	}
	return b.readErr
}

// stall holds back the commit cycles of a topic until the function that it
// returns is called.
func (b *logBroker) stall(topic string) (resume func()) {
	gate := make(chan struct{})
	b.logMu.RLock()
	defer b.logMu.RUnlock()
	for _, l := range b.logs[topic] {
		l.mu.Lock()
		l.stalled = gate
		l.mu.Unlock()
	}
	return func() {
		b.logMu.RLock()
		defer b.logMu.RUnlock()
		for _, l := range b.logs[topic] {
			l.mu.Lock()
			l.stalled = nil
			l.mu.Unlock()
		}
		close(gate)
	}
}

// fill appends count records of size bytes to partition 0, in batches of
// about batchBytes.
func (b *logBroker) fill(topic string, count, size, batchBytes int) {
	build := record.NewBuilder(record.CodecNone)
	value := bytes.Repeat([]byte("v"), size)
	for count > 0 {
		build.Reset(0, 0)
		for build.Len() < batchBytes && count > 0 {
			build.Append(1767225600000, nil, value, nil)
			count--
		}
		batch := build.Build(nil)
		head, err := record.ParseHeader(batch)
		if err != nil {
			b.t.Fatal(err)
		}
		p, err := b.BeginBatch(context.Background(), topic, 0, partition.BatchAppend{
			Batch: batch, Header: head, Acks: partition.AcksAll, Cond: partition.NoConditions,
		})
		if err == nil {
			_, err = p.Wait(context.Background())
		}
		if err != nil {
			b.t.Fatal(err)
		}
	}
}

func (b *logBroker) Offsets(_ context.Context, topic string, p int32) (partition.Offsets, error) {
	rep, err := b.replica(topic, p)
	if err != nil {
		return partition.Offsets{}, err
	}
	return rep.Offsets(), nil
}

func (b *logBroker) Subscribe(topic string, p int32, ch chan<- struct{}) (func(), error) {
	rep, err := b.replica(topic, p)
	if err != nil {
		return nil, err
	}
	return rep.Subscribe(ch), nil
}

// testHandler is the HTTP adapter over b.
func testHandler(t testing.TB, b Broker, change func(*Deps)) http.Handler {
	t.Helper()
	d := testDeps(t, b)
	if change != nil {
		change(&d)
	}
	return New(d)
}
