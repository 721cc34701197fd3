package kafka

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.opentelemetry.io/otel/trace"

	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/server/telemetry"
)

// leastGrant is the share of an answer's memory that a fetch waits for when
// there is little. A larger batch waits for its size.
const leastGrant = 1 << 20

// Versions of Fetch that change something.
const (
	fetchSessions  = 7
	fetchFlexible  = 12
	fetchTopicIDs  = 13
	fetchEndpoints = 16
)

// fetchKey names a partition as the client does: by topic name, or by id from
// version 13 on.
type fetchKey struct {
	name  string
	id    server.TopicID
	index int32
}

// fetchPart is one partition that a client wants to read, and what it was
// last told of it.
type fetchPart struct {
	fetchKey
	offset       int64
	maxBytes     int32
	currentEpoch int32 // of the leader as the client knows it, -1 if it does not say
	lastEpoch    int32 // of the last record that it has, -1 if it does not say
	// What a session's client knows; -1: nothing yet.
	highWatermark, logStart int64
}

// fetched is what was found for a partition.
type fetched struct {
	code      int16
	offsets   partition.Offsets
	batches   []byte
	diverging *partition.EpochEnd
	leader    leader
}

// fetch is one request in work.
type fetch struct {
	k         *Listener
	version   int16
	isolation partition.Isolation
	minBytes  int
	maxBytes  int
	wait      time.Duration
	context   fetchContext
	results   []fetched // of context.parts
	grant     int64     // of the memory for answers
	bytes     int       // of all results
	settled   bool      // a result must be answered now
}

// answerFetch serves a fetch: it returns when MinBytes are there, an error is,
// or the client's time is over. Woken by the partitions, it never polls.
func answerFetch(ctx context.Context, c *call, out *output) error {
	req := c.req.(*kmsg.FetchRequest)
	k := c.frame.c.k
	f := &fetch{
		k: k, version: c.version, minBytes: int(req.MinBytes),
		maxBytes: min(int(max(req.MaxBytes, 1)), k.limits.FetchBytes),
		wait:     min(time.Duration(max(req.MaxWaitMillis, 0))*time.Millisecond, k.limits.Idle/2),
	}
	if req.IsolationLevel == int8(partition.ReadCommitted) {
		f.isolation = partition.ReadCommitted
	}
	code := k.sessions.open(req, &f.context)
	defer f.context.close()
	if code != codeNone {
		f.encode(out, code)
		return nil
	}
	if err := f.run(ctx); err != nil {
		f.letGo()
		return err
	}
	f.shrink()
	out.held, f.grant = f.grant, 0
	if f.bytes > 0 {
		c.traced = f.trace(ctx, c.clientID)
	}
	f.encode(out, codeNone)
	return nil
}

// trace makes the spans of an answer that holds records. Consumers poll for ever:
// the answers without any are not worth one. It returns the answer's own.
func (f *fetch) trace(ctx context.Context, client string) (sc trace.SpanContext) {
	ctx, end := telemetry.StartFetch(ctx, f.k.tracer, client)
	if end == nil {
		return sc
	}
	defer end()
	for i, p := range f.context.parts {
		name, err := f.k.topicOf(&p.fetchKey)
		if err != nil || len(f.results[i].batches) == 0 {
			continue
		}
		at := telemetry.ReceivedAt{Topic: name, Partition: p.index, Offset: p.offset}
		if t, err := f.k.broker.Topic(name); err == nil {
			at.MaxDecompressed = f.k.broker.TopicLimits(t).MaxDecompressed
		}
		telemetry.Batches(ctx, f.k.tracer, at, f.results[i].batches)
	}
	return trace.SpanContextFromContext(ctx)
}

// run gathers until there is enough to answer.
func (f *fetch) run(ctx context.Context) error {
	f.results = make([]fetched, len(f.context.parts))
	if err := f.gather(ctx); err != nil || f.enough() || f.wait <= 0 {
		return err
	}
	wake := make(chan struct{}, 1)
	for _, p := range f.context.parts {
		name, err := f.k.topicOf(&p.fetchKey)
		if err != nil {
			continue // the next gather says so
		}
		if cancel, err := f.k.logs.Subscribe(name, p.index, wake); err == nil {
			defer cancel()
		}
	}
	timer := time.NewTimer(f.wait)
	defer timer.Stop()
	for {
		// Once more after subscribing: what came between is not signalled.
		if err := f.gather(ctx); err != nil || f.enough() {
			return err
		}
		f.letGo()
		select {
		case <-wake:
			continue
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
		case <-f.k.broker.Draining():
		}
		return f.gather(ctx)
	}
}

// enough tells whether the answer is due before the client's time is over.
func (f *fetch) enough() bool { return f.settled || f.bytes >= f.minBytes || len(f.results) == 0 }

// gather reads every partition, in order, within the memory that it is
// granted. A batch that is larger than the grant waits for one of its size.
func (f *fetch) gather(ctx context.Context) error {
	for least := int64(leastGrant); ; least = int64(f.bytes) {
		if err := f.acquire(ctx, least); err != nil {
			return err
		}
		f.readAll(ctx)
		if int64(f.bytes) <= f.grant || f.grant == f.k.limits.InFlightBytes {
			return nil
		}
	}
}

func (f *fetch) readAll(ctx context.Context) {
	f.bytes, f.settled = 0, false
	left := min(f.maxBytes, int(f.grant))
	for i, p := range f.context.parts {
		r := &f.results[i]
		*r = fetched{leader: leader{id: -1, epoch: -1}}
		f.read(ctx, p, r, left)
		if f.bytes > 0 && len(r.batches) > left {
			r.batches = nil // only the first batch of an answer may exceed the limit (KIP-74)
			if f.bytes >= left {
				left = 0 // what is left is too little to read a batch of every other partition for nothing
			}
		}
		f.bytes += len(r.batches)
		left -= len(r.batches)
		f.settled = f.settled || r.code != codeNone || r.diverging != nil
	}
}

// acquire gets memory for the answer: all that the client wants if that is
// free, else less, so that one client's slow reading does not stop the others.
func (f *fetch) acquire(ctx context.Context, least int64) error {
	f.letGo()
	want := min(max(int64(f.maxBytes), least), f.k.limits.InFlightBytes)
	least = min(least, want)
	if f.k.room.answers.TryAcquire(want) {
		f.grant = want
		return nil
	}
	if err := f.k.take(ctx, f.k.room.answers, least); err != nil {
		return err
	}
	f.grant = least
	return nil
}

// letGo gives the memory back, and what was read.
func (f *fetch) letGo() {
	clear(f.results)
	if f.grant > 0 {
		f.k.room.answers.Release(f.grant)
		f.grant = 0
	}
}

// shrink keeps what the answer needs.
func (f *fetch) shrink() {
	if spare := f.grant - int64(f.bytes); spare > 0 {
		f.k.room.answers.Release(spare)
		f.grant -= spare
	}
}

// read fills in one partition's result.
func (f *fetch) read(ctx context.Context, p *fetchPart, r *fetched, left int) {
	name, err := f.k.topicOf(&p.fetchKey)
	if err != nil {
		r.code = codeUnknownTopic
		if f.version >= fetchTopicIDs {
			r.code = codeUnknownTopicID
		}
		return
	}
	if r.code = f.k.judgeEpoch(name, p.index, p.currentEpoch); r.code == codeNone && p.lastEpoch >= 0 {
		r.diverging, r.code = f.k.diverging(name, p)
	}
	switch {
	case r.code != codeNone:
		r.leader = f.k.leaderFor(name, p.index, r.code)
		return
	case r.diverging != nil || left <= 0:
		r.offsets, err = f.k.logs.Offsets(name, p.index)
	default:
		var found server.ReadResult
		found, err = f.k.logs.Read(ctx, server.ReadRequest{
			Topic: name, Partition: p.index, Offset: p.offset, Isolation: f.isolation,
			MaxBytes: min(left, int(max(p.maxBytes, 1))),
		})
		r.offsets, r.batches = found.Offsets, found.Batches
	}
	if err != nil {
		*r = fetched{code: codeOf(err)}
		r.leader = f.k.leaderFor(name, p.index, r.code)
	}
}

// topicOf is the name of the topic that a client means.
func (k *Listener) topicOf(key *fetchKey) (string, error) {
	if key.name != "" {
		return key.name, nil
	}
	t, err := k.broker.TopicByID(key.id)
	return t.Name, err
}

// judgeEpoch holds the leader epoch that a client knows against the
// partition's (KIP-320); -1 is not judged.
func (k *Listener) judgeEpoch(topic string, p, known int32) int16 {
	info, err := k.broker.PartitionState(topic, p)
	switch {
	case err != nil:
		return codeOf(err)
	case known < 0 || known == info.LeaderEpoch:
		return codeNone
	case known < info.LeaderEpoch:
		return codeFencedLeaderEpoch
	}
	return codeUnknownLeaderEpoch
}

// diverging tells where a reader's past parts from the log: its last record's
// epoch ended before its position (KIP-595).
func (k *Listener) diverging(topic string, p *fetchPart) (*partition.EpochEnd, int16) {
	end, err := k.logs.LeaderEpochEnd(topic, p.index, p.lastEpoch)
	switch {
	case err != nil:
		return nil, codeOf(err)
	case end.Epoch < 0:
		return nil, codeOffsetOutOfRange
	case end.Epoch < p.lastEpoch || end.End < p.offset:
		return &end, codeNone
	}
	return nil, codeNone
}
