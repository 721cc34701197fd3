package server

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/otel/trace"

	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/server/replica"
	"github.com/chroniklog/chronik/server/telemetry"
	"github.com/chroniklog/chronik/storage/record"
)

// stickiness is how many records without a key go to one partition before the
// next one's turn: enough to be packed into few batches, few enough to spread.
const stickiness = 64

// ResolveTopic is Topic for producers: with autoCreate, and if the node is
// configured to, it creates a topic that does not exist. Two producers that
// meet a new name at once get the same topic.
func (b *Broker) ResolveTopic(ctx context.Context, name string, autoCreate bool) (Topic, error) {
	e, err := b.dir.topic(name)
	if err == nil {
		return e.topic, nil
	}
	if bad := CheckTopicName(name); bad != nil {
		return Topic{}, bad
	}
	if !autoCreate || !b.o.AutoCreate || ReservedTopic(name) {
		return Topic{}, err
	}
	t, _, err := b.EnsureTopic(ctx, TopicSpec{Name: name})
	return t, err
}

// ChoosePartition picks the partition of a record that names none: by the key
// as Kafka's Java client does (murmur2), else by the Idempotency-Key, so that
// a retry through any node meets the first attempt, even where partitions were
// added between the two; else one that this node leads, the same for a while.
// An error, of a partition that had to be asked for the Idempotency-Key, is one
// of a leader that is not there: nothing was applied.
func (b *Broker) ChoosePartition(ctx context.Context, t Topic, key []byte, idempotencyKey string) (int32, error) {
	switch {
	case t.Partitions <= 1:
		return 0, nil
	case key != nil:
		return record.PartitionForKey(key, t.Partitions), nil
	case idempotencyKey != "":
		return b.homeOf(ctx, t, idempotencyKey)
	}
	e := b.dir.id(t.ID)
	if e == nil { // deleted since: the append will say so
		return 0, nil
	}
	turn := (e.sticky.Add(1) - 1) / stickiness
	if len(e.led) > 0 {
		return e.led[turn%uint32(len(e.led))], nil
	}
	return int32(turn % uint32(len(e.parts))), nil
}

// BeginRecord appends one record in memory, here or on the node that leads, and
// returns what to wait on. Errors that are known now are returned now: nothing
// was applied.
func (b *Broker) BeginRecord(ctx context.Context, topic string, p int32, r partition.RecordAppend,
) (*replica.Pending, error) {
	e, part, err := b.clientPart(topic, p)
	if err != nil {
		return nil, err
	}
	leader, err := b.remote(part)
	switch {
	case err != nil:
		return nil, fmt.Errorf("append %s/%d: %w", topic, p, err)
	case leader == nil:
		return b.beginRecord(ctx, e, part, r)
	}
	ctx, done := b.forwarding(ctx, e, p)
	return leader.Record(ctx, logID(e.topic.ID, p), &r, done), nil
}

// beginRecord appends one record to a partition that this node leads.
func (b *Broker) beginRecord(ctx context.Context, e *entry, part *part, r partition.RecordAppend,
) (*replica.Pending, error) {
	topic, p := e.topic.Name, part.number
	if r.Timestamp >= 0 {
		if err := b.checkTime(e, r.Timestamp, r.Timestamp); err != nil {
			return nil, err
		}
	}
	rep, err := b.replicaOf(e, part)
	if err != nil {
		return nil, err
	}
	span := b.appends.Start(ctx, topic, p, 1)
	if span != nil {
		ctx = span.Context()
		r.Trace = span.Trace()
	}
	own := r.Headers
	// A context that nobody keeps is not worth the bytes.
	if sc := trace.SpanContextFromContext(ctx); sc.IsSampled() || sc.IsRemote() {
		r.Headers = telemetry.InjectHeaders(ctx, r.Headers)
	}
	pending, err := rep.BeginRecord(r)
	if len(r.Headers) > len(own) && errors.Is(err, record.ErrTooLarge) {
		r.Headers = own // the record fits, its context does not
		pending, err = rep.BeginRecord(r)
	}
	if err != nil {
		return b.finalAppend(ctx, e, rep, b.refused(span, e, p, err))
	}
	b.counters.records.Inc()
	b.counters.recordBytes.Add(float64(len(r.Key) + len(r.Value)))
	follow(span, pending)
	return pending, nil
}

// BeginBatch appends one record batch in memory, here or on the node that
// leads, and returns what to wait on. Errors that are known now are returned
// now: nothing was applied.
func (b *Broker) BeginBatch(ctx context.Context, topic string, p int32, r partition.BatchAppend,
) (*replica.Pending, error) {
	e, part, err := b.clientPart(topic, p)
	if err != nil {
		return nil, err
	}
	leader, err := b.remote(part)
	switch {
	case err != nil:
		return nil, fmt.Errorf("append %s/%d: %w", topic, p, err)
	case leader == nil:
		return b.beginBatch(ctx, e, part, r)
	}
	ctx, done := b.forwarding(ctx, e, p)
	return leader.Batch(ctx, logID(e.topic.ID, p), &r, done), nil
}

// beginBatch appends one record batch to a partition that this node leads.
func (b *Broker) beginBatch(ctx context.Context, e *entry, part *part, r partition.BatchAppend,
) (*replica.Pending, error) {
	topic, p := e.topic.Name, part.number
	if err := b.checkTime(e, r.Header.BaseTimestamp, r.Header.MaxTimestamp); err != nil {
		return nil, err
	}
	rep, err := b.replicaOf(e, part)
	if err != nil {
		return nil, err
	}
	if err := e.recode(&r); err != nil {
		return nil, fmt.Errorf("append %s/%d: %w", topic, p, err)
	}
	size := len(r.Batch)
	span := b.appends.Start(ctx, topic, p, r.Header.Count)
	r.Trace = span.Trace()
	pending, err := rep.BeginBatch(r)
	if err != nil {
		return b.finalAppend(ctx, e, rep, b.refused(span, e, p, err))
	}
	b.counters.batchRecords.Add(float64(r.Header.Count))
	b.counters.batchBytes.Add(float64(size))
	follow(span, pending)
	return pending, nil
}

// SetFence sets a partition's fence token: appends that carry another one are
// refused from then on. With expect, only if that is the token now.
func (b *Broker) SetFence(ctx context.Context, topic string, p int32, token string, expect *string,
) (offset int64, err error) {
	e, part, err := b.dir.part(topic, p)
	if err != nil {
		return 0, err
	}
	leader, err := b.remote(part)
	switch {
	case err != nil:
		return 0, fmt.Errorf("set fence of %s/%d: %w", topic, p, err)
	case leader == nil:
		return b.setFence(ctx, e, part, token, expect)
	}
	ctx, answered := b.asking(ctx, e, p)
	offset, err = leader.SetFence(ctx, logID(e.topic.ID, p), token, expect)
	return offset, answered(err)
}

func (b *Broker) setFence(ctx context.Context, e *entry, part *part, token string, expect *string,
) (offset int64, err error) {
	rep, err := b.replicaOf(e, part)
	if err != nil {
		return 0, err
	}
	offset, err = rep.SetFence(ctx, token, expect)
	if err = b.final(ctx, e, rep, err); err != nil {
		return 0, b.explain(e, part.number, fmt.Errorf("set fence of %s/%d: %w", e.topic.Name, part.number, err))
	}
	return offset, nil
}

// Trim removes the records below before and returns the log's new start. It is
// durable when it returns.
func (b *Broker) Trim(ctx context.Context, topic string, p int32, before int64) (logStart int64, err error) {
	e, part, err := b.dir.part(topic, p)
	if err != nil {
		return 0, err
	}
	leader, err := b.remote(part)
	switch {
	case err != nil:
		return 0, fmt.Errorf("trim %s/%d: %w", topic, p, err)
	case leader == nil:
		return b.trim(ctx, e, part, before)
	}
	ctx, answered := b.asking(ctx, e, p)
	logStart, err = leader.Trim(ctx, logID(e.topic.ID, p), before)
	return logStart, answered(err)
}

func (b *Broker) trim(ctx context.Context, e *entry, part *part, before int64) (logStart int64, err error) {
	rep, err := b.replicaOf(e, part)
	if err != nil {
		return 0, err
	}
	logStart, err = rep.Trim(ctx, before)
	if err = b.final(ctx, e, rep, err); err != nil {
		return 0, b.explain(e, part.number, fmt.Errorf("trim %s/%d: %w", e.topic.Name, part.number, err))
	}
	return logStart, nil
}

// checkTime judges the clients' timestamps by message.timestamp.before.max.ms
// and after.max.ms (KIP-937); the broker's own clock needs no judge.
func (b *Broker) checkTime(e *entry, first, last int64) error {
	v := &e.values
	if v.LogAppendTime {
		return nil
	}
	now := b.o.Now().UnixMilli()
	if late := last - now; late > v.TimestampAfter.Milliseconds() {
		return timestampError("timestamp %d is %d ms ahead of the broker's clock; message.timestamp.after.max.ms is %d",
			last, late, v.TimestampAfter.Milliseconds())
	}
	if early := now - first; early > v.TimestampBefore.Milliseconds() {
		return timestampError("timestamp %d is %d ms behind the broker's clock; message.timestamp.before.max.ms is %d",
			first, early, v.TimestampBefore.Milliseconds())
	}
	return nil
}

// refused explains and counts an append that did not begin.
func (b *Broker) refused(span *telemetry.Append, e *entry, p int32, err error) error {
	switch {
	case errors.Is(err, partition.ErrThrottled):
		b.o.Metrics.Rejected.WithLabelValues("throttled").Inc()
	case errors.Is(err, partition.ErrDiskFull):
		b.o.Metrics.Rejected.WithLabelValues("disk_full").Inc()
	}
	err = b.explain(e, p, fmt.Errorf("append %s/%d: %w", e.topic.Name, p, err))
	if span != nil {
		span.Fail(err)
	}
	return err
}

func follow(span *telemetry.Append, pending *replica.Pending) {
	if span != nil {
		span.Follow(pending)
	}
}
