package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.opentelemetry.io/otel/trace"

	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/server/replica"
	"github.com/chroniklog/chronik/server/telemetry"
	"github.com/chroniklog/chronik/storage/record"
)

// produce is a produce request whose batches were handed to their partitions,
// in order, by the connection's reader; the writer waits for the outcome.
type produce struct {
	acks    partition.Acks
	timeout time.Duration
	topics  []produceTopic
}

type produceTopic struct {
	name  string // empty where an unknown id was sent
	id    server.TopicID
	parts []producePart
}

// producePart is one partition's batch and what became of it.
type producePart struct {
	index   int32
	pending *replica.Pending
	err     error
	code    int16       // where the error alone does not tell
	bad     []int32     // the records of the batch that are to blame, by their place in it
	end     func(error) // ends the batch's span; nil: it has none
}

// Errors of a request that no package below knows.
var (
	errAcks      = errors.New("acks must be -1, 0 or 1")
	errNoBatch   = fmt.Errorf("%w: no record batch", record.ErrInvalid)
	errBatches   = fmt.Errorf("%w: more than one record batch for a partition", record.ErrInvalid)
	errOldZstd   = fmt.Errorf("%w: zstd needs version 7 of Produce", record.ErrCodec)
	errTxnID     = fmt.Errorf("%w: transactional producers are not served", partition.ErrTransactional)
	errUnknownID = fmt.Errorf("%w: id", server.ErrUnknownTopic)
)

// Bounds of the topics and partitions of a request, each of which has a place
// in memory and in the answer: there are no more than batches fit, and a few
// that have none.
const (
	barePlaces = 100
	maxPlaces  = 100_000
)

// unknownDecompressed bounds what is unpacked, for its trace context alone, of a
// batch for a topic that there is not.
const unknownDecompressed = 1 << 20

// Versions of Produce that change something.
const (
	produceZstd     = 7
	produceFlexible = 9
	produceTopicIDs = 13
)

// beginProduce walks the body and appends each batch in memory. Batches of one
// partition keep their order, whatever is still waiting before them.
func beginProduce(c *conn, call *call, body []byte) error {
	p := &produce{}
	call.produce = p
	r := reader{b: body}
	compact := call.version >= produceFlexible
	txn := r.length(compact, false)
	if txn >= 0 {
		r.take(txn)
	}
	p.acks = partition.Acks(r.int16())
	p.timeout = min(time.Duration(max(r.int32(), 0))*time.Millisecond, maxTimeout)
	var refusal error
	switch {
	case txn >= 0:
		refusal = errTxnID
	case p.acks < partition.AcksAll || p.acks > partition.AcksLeader:
		refusal = errAcks
	}
	// The whole request is read before anything of it is appended.
	whole, places := r, 0
	walkProduce(&whole, call.version, func(*produceTopic) { places++ }, func(*produceTopic, int32, []byte) { places++ })
	switch {
	case whole.bad:
		return fmt.Errorf("%w: Produce version %d is cut short", errProtocol, call.version)
	case places > min(len(body)/record.HeaderLen+barePlaces, maxPlaces):
		return fmt.Errorf("%w: a Produce request of %d topics and partitions in %d bytes", errProtocol, places, len(body))
	}
	a := &appender{c: c, call: call, p: p, refusal: refusal, expires: time.Now().Add(p.timeout)}
	walkProduce(&r, call.version, a.topic, a.batch)
	return nil
}

// walkProduce reads the topics of a produce request, which alias the frame.
func walkProduce(r *reader, version int16, topic func(*produceTopic), batch func(*produceTopic, int32, []byte)) {
	compact := version >= produceFlexible
	for range r.count(compact, 3) {
		var t produceTopic
		if version >= produceTopicIDs {
			copy(t.id[:], r.take(len(t.id)))
		} else {
			t.name = r.nullableString(compact)
		}
		n := r.count(compact, 5)
		if r.bad {
			return
		}
		topic(&t)
		for range n {
			index := r.int32()
			records := r.nullableBytes(compact)
			if compact {
				r.tags()
			}
			if r.bad {
				return
			}
			batch(&t, index, records)
		}
		if compact {
			r.tags()
		}
	}
	if compact {
		r.tags()
	}
}

// appender takes the batches of one request.
type appender struct {
	c       *conn
	call    *call
	p       *produce
	refusal error // of the whole request
	expires time.Time

	known  server.Topic
	err    error // the topic is not known
	limits record.Limits
}

// topic begins a topic.
func (a *appender) topic(t *produceTopic) {
	b := a.c.k.broker
	a.limits = record.Limits{MaxDecompressed: unknownDecompressed}
	if a.call.version >= produceTopicIDs {
		a.known, a.err = b.TopicByID(t.id)
		t.name = a.known.Name
		if errors.Is(a.err, server.ErrUnknownTopic) {
			a.err = errUnknownID
		}
	} else {
		a.known, a.err = b.Topic(t.name)
	}
	if a.err == nil && a.known.Internal {
		a.err = fmt.Errorf("%w: %q", server.ErrReservedTopic, t.name)
	}
	if a.err == nil {
		lim := b.TopicLimits(a.known)
		a.limits = record.Limits{
			MaxBatchBytes: lim.MaxMessageBytes, MaxDecompressed: lim.MaxDecompressed, RequireKey: lim.Compacted,
		}
	}
	a.p.topics = append(a.p.topics, *t)
}

// batch begins one partition's append.
func (a *appender) batch(_ *produceTopic, index int32, records []byte) {
	t := &a.p.topics[len(a.p.topics)-1]
	part := producePart{index: index}
	ctx := a.trace(t.name, &part, records)
	switch {
	case a.refusal != nil:
		part.err = a.refusal
	case a.err != nil:
		part.err = a.err
	default:
		part.pending, part.err = a.begin(ctx, t.name, index, records)
	}
	if part.err != nil || a.p.acks == partition.AcksNone { // nobody waits
		part.ended(part.err)
	}
	switch {
	case errors.Is(part.err, errUnknownID):
		part.code = codeUnknownTopicID
	case errors.Is(part.err, errAcks):
		part.code = codeInvalidAcks
	default:
		part.code = codeOf(part.err)
	}
	if errors.Is(part.err, record.ErrNullKey) {
		part.bad = nullKeys(records, a.limits.MaxDecompressed)
	}
	t.parts = append(t.parts, part)
}

// trace begins the span of a batch, which is there also when the batch is refused.
func (a *appender) trace(topic string, part *producePart, records []byte) (ctx context.Context) {
	ctx, part.end = telemetry.StartProduce(a.c.ctx, a.c.k.tracer, telemetry.Produced{
		ClientID: a.call.clientID, Topic: topic, Partition: part.index, Batch: records,
		MaxDecompressed: a.limits.MaxDecompressed,
	})
	if part.end != nil {
		a.call.traced = trace.SpanContextFromContext(ctx)
	}
	return ctx
}

// nullKeys are the records of a batch that have no key, so that a client can
// fail those for good and the others for their company (KIP-467).
func nullKeys(batch []byte, maxDecompressed int) (list []int32) {
	var r record.Reader
	if _, err := r.Reset(batch, maxDecompressed); err != nil {
		return nil
	}
	var rec record.Record
	for i := int32(0); r.Next(&rec); i++ {
		if rec.Key == nil {
			list = append(list, i)
		}
	}
	return list
}

// begin validates a batch and hands it to its partition. While the partition
// has no room it waits, which holds the connection's next requests back.
func (a *appender) begin(ctx context.Context, topic string, index int32, records []byte) (*replica.Pending, error) {
	if index < 0 || index >= a.known.Partitions {
		return nil, fmt.Errorf("%w: %s/%d", server.ErrUnknownPartition, topic, index)
	}
	h, err := a.validate(records)
	if err != nil {
		return nil, err
	}
	// The log keeps the batch: a small one must not keep a large request.
	batch := records
	if len(batch) < len(a.call.frame.b)/2 {
		batch = append(make([]byte, 0, len(records)), records...)
	}
	for {
		pending, err := a.c.k.logs.BeginBatch(ctx, topic, index, partition.BatchAppend{
			Batch: batch, Header: h, Acks: a.p.acks, Cond: partition.NoConditions,
		})
		if err == nil || !errors.Is(err, partition.ErrThrottled) || !a.pause(err) {
			return pending, err
		}
	}
}

// ended ends the span of the batch.
func (p *producePart) ended(err error) {
	if p.end != nil {
		p.end(err)
		p.end = nil
	}
}

// pause waits as long as a full partition asks for; false if the request's
// time does not last for it.
func (a *appender) pause(err error) bool {
	wait := 10 * time.Millisecond
	var full *partition.ThrottledError
	if errors.As(err, &full) {
		wait = max(wait, full.RetryAfter)
	}
	if time.Now().Add(wait).After(a.expires) {
		return false
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-a.c.ctx.Done():
		return false
	case <-a.c.k.broker.Draining():
		return false
	}
}

// validate judges what a partition was sent: exactly one batch.
func (a *appender) validate(records []byte) (record.Header, error) {
	if len(records) == 0 {
		return record.Header{}, errNoBatch
	}
	h, err := record.ParseHeader(records)
	switch {
	case err != nil:
		return h, err
	case h.Size() < len(records):
		return h, errBatches
	case h.Codec() == record.CodecZstd && a.call.version < produceZstd:
		return h, errOldZstd
	}
	return record.Validate(records, a.limits)
}

// answerProduce waits for the outcome of each batch. With acks=0 there is no
// answer; an error then closes the connection, which is all that the client
// can be told.
func answerProduce(ctx context.Context, c *call, out *output) error {
	p := c.produce
	k := c.frame.c.k
	if p.acks == partition.AcksNone {
		out.silent = true
		for i := range p.topics {
			for j := range p.topics[i].parts {
				if err := p.topics[i].parts[j].err; err != nil {
					return fmt.Errorf("%w: acks=0: %w", errAborted, err)
				}
			}
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	resp := kmsg.NewPtrProduceResponse()
	resp.Version = c.version
	var h hints
	for i := range p.topics {
		t := &p.topics[i]
		rt := kmsg.NewProduceResponseTopic()
		rt.Topic, rt.TopicID = t.name, t.id
		rt.Partitions = make([]kmsg.ProduceResponseTopicPartition, 0, len(t.parts))
		for j := range t.parts {
			rt.Partitions = append(rt.Partitions, k.awaitPart(ctx, t.name, &t.parts[j], &h))
		}
		resp.Topics = append(resp.Topics, rt)
	}
	for _, e := range h.endpoints(k.broker) {
		b := kmsg.NewProduceResponseBroker()
		b.NodeID, b.Host, b.Port = e.id, e.host, e.port
		resp.Brokers = append(resp.Brokers, b)
	}
	out.buf = resp.AppendTo(out.buf)
	return nil
}

// awaitPart waits for one batch.
func (k *Listener) awaitPart(ctx context.Context, topic string, part *producePart, h *hints,
) kmsg.ProduceResponseTopicPartition {
	answer := kmsg.NewProduceResponseTopicPartition()
	answer.Partition, answer.BaseOffset, answer.LogAppendTime, answer.LogStartOffset = part.index, -1, -1, -1
	err, code := part.err, part.code
	if err == nil {
		var done partition.Appended
		done, err = part.pending.Wait(ctx)
		if part.ended(err); err == nil {
			answer.BaseOffset, answer.LogAppendTime, answer.LogStartOffset = done.Offset, done.Timestamp, done.LogStart
			return answer
		}
		code = codeOf(err)
	}
	answer.ErrorCode, answer.ErrorMessage = code, message(err)
	for _, i := range part.bad {
		e := kmsg.NewProduceResponseTopicPartitionErrorRecord()
		e.RelativeOffset, e.ErrorMessage = i, kmsg.StringPtr("the topic is compacted: the record needs a key")
		answer.ErrorRecords = append(answer.ErrorRecords, e)
	}
	l := k.leaderFor(topic, part.index, code)
	answer.CurrentLeader.LeaderID, answer.CurrentLeader.LeaderEpoch = l.id, l.epoch
	h.add(l)
	return answer
}
