package api

import (
	"context"
	"time"

	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/server/replica"
	"github.com/chroniklog/chronik/server/telemetry"
	"github.com/chroniklog/chronik/storage/record"
)

// outcome is what became of one append, which may hold many records.
type outcome struct {
	partition int32
	pending   *replica.Pending
	appended  partition.Appended
	err       error
	waited    bool

	lane *lane // nil: it was refused before it could be sent
	// send begins the append, or begins it again, with the leader of an epoch
	// and no other.
	send func(partition.Pin) (*replica.Pending, error)
	safe bool // a repeat is known as one
	held bool // it is not sent, or to be sent again
	turn int  // lane.moved when it was sent
	// doubt: an attempt of which nobody knows what became, and which a later one
	// does not tell.
	doubt error
}

// wait waits for the answer, once.
func (o *outcome) wait(ctx context.Context, s *Server) {
	if o.waited {
		return
	}
	o.waited = true
	if o.lane != nil {
		o.lane.await(ctx, s, o)
	}
}

// result is one record's place in an outcome.
type result struct {
	*outcome
	delta     int32
	timestamp int64
	line      int64 // of NDJSON, from 1
	whole     bool  // it is about the whole batch, not about a record of it
}

// at is the outcome of the record itself.
func (r *result) at() partition.Appended {
	a := r.appended
	a.Offset += int64(r.delta)
	if a.Timestamp < 0 || r.pending == nil {
		a.Timestamp = r.timestamp
	}
	return a
}

// packer groups records by partition into record batches, in their order, and
// begins the appends. It takes the records of one body, or of one piece of a
// stream, at a time.
type packer struct {
	s      *Server
	ctx    context.Context //nolint:containedctx // a packer lives as long as its request
	p      *produce
	cond   partition.Conditions
	trace  []record.HeaderKV // what every record of a traced request gets
	now    int64             // the timestamp of records that have none
	sticky int32             // where records without key and partition go
	groups map[int32]*packed
	lanes  map[int32]*lane
	order  []*packed // groups with records, in the order of their first one
	seq    int32     // of the next record of an idempotent producer
	// patient: when the partition has no room, wait for it instead of failing.
	// A stream can: it is read no faster than it is stored.
	patient bool
}

// throttleTries bounds how often a patient packer offers a batch again, and
// throttleWait how long it waits between two tries.
const (
	throttleTries = 100
	throttleWait  = 250 * time.Millisecond
)

// packed is the batch that grows for one partition.
type packed struct {
	partition int32
	builder   *record.Builder
	first     batchRecord // while it is the only one
	open      *outcome    // what the records of the batch will share; nil: none yet
}

func (s *Server) newPacker(ctx context.Context, p *produce, cond partition.Conditions) *packer {
	k := &packer{
		s: s, ctx: ctx, p: p, cond: cond, groups: map[int32]*packed{}, lanes: map[int32]*lane{}, sticky: anyPartition,
	}
	if p.producer != nil {
		k.seq = p.producer.Seq
	}
	return k
}

// traceWith has every record carry the request's trace context.
func (k *packer) traceWith(ctx context.Context) { k.trace = telemetry.InjectHeaders(ctx, nil) }

// begin starts a body or a piece of one.
func (k *packer) begin() {
	k.now = k.s.now().UnixMilli()
	k.sticky = anyPartition
}

// check judges a record by the topic.
func (k *packer) check(rec *batchRecord) error {
	p := k.p
	switch {
	case rec.partition >= p.topic.Partitions:
		err := unknownPartition(p.topic.Name, rec.partition, p.topic.Partitions)
		return prefixed(err, "partition")
	case p.partition != anyPartition && rec.partition != anyPartition && rec.partition != p.partition:
		return badField("partition", "is %d, the query says partition=%d", rec.partition, p.partition)
	case p.limits.Compacted && rec.key == nil:
		return badField("key", "is missing: topic %s is compacted and keeps the last record of each key", p.topic.Name)
	}
	size := record.HeaderLen + record.RecordSize(rec.key, rec.value, rec.headers)
	if most := p.limits.MaxMessageBytes; most > 0 && size > most {
		return tooLarge("", "the record has %d bytes, the topic's max.message.bytes is %d", size, most)
	}
	return nil
}

// choose is the partition of a record. Records that may go anywhere stay
// together, so that they share a batch.
func (k *packer) choose(rec *batchRecord, idemKey string) (p int32, err error) {
	switch {
	case rec.partition != anyPartition:
		return rec.partition, nil
	case k.p.partition != anyPartition:
		return k.p.partition, nil
	case rec.key != nil || idemKey != "":
		return k.s.broker.ChoosePartition(k.ctx, k.p.topic, rec.key, idemKey)
	}
	if k.sticky == anyPartition {
		if k.sticky, err = k.s.broker.ChoosePartition(k.ctx, k.p.topic, nil, ""); err != nil {
			k.sticky = anyPartition
		}
	}
	return k.sticky, err
}

// add takes a record that check has let pass.
func (k *packer) add(rec *batchRecord) result {
	if rec.timestamp < 0 {
		rec.timestamp = k.now
	}
	if k.trace != nil {
		k.addTrace(rec)
	}
	number, err := k.choose(rec, "")
	if err != nil {
		return result{outcome: &outcome{err: err}, timestamp: rec.timestamp}
	}
	g := k.group(number)
	if g.open != nil && k.full(g, rec) {
		k.send(g)
	}
	if g.open == nil {
		g.open, g.first = &outcome{partition: g.partition}, *rec
		g.builder.Reset(0, 0)
		k.order = append(k.order, g)
	}
	delta := g.builder.Append(rec.timestamp, rec.key, rec.value, rec.headers)
	return result{outcome: g.open, delta: delta, timestamp: rec.timestamp}
}

// addTrace gives a record the trace context, unless it has its own, or would be
// too large with it.
func (k *packer) addTrace(rec *batchRecord) {
	if _, own := recordHeader(rec.headers, telemetry.TraceparentHeader); own {
		return
	}
	headers := append(rec.headers[:len(rec.headers):len(rec.headers)], k.trace...)
	size, most := record.HeaderLen+record.RecordSize(rec.key, rec.value, headers), k.p.limits.MaxMessageBytes
	if most <= 0 || size <= most {
		rec.headers = headers
	}
}

func (k *packer) group(p int32) *packed {
	g := k.groups[p]
	if g == nil {
		g = &packed{partition: p, builder: record.NewBuilder(k.p.limits.Compression)}
		k.groups[p] = g
	}
	return g
}

func (k *packer) full(g *packed, rec *batchRecord) bool {
	size := g.builder.Len() + record.RecordSize(rec.key, rec.value, rec.headers)
	lim := &k.p.limits
	return lim.MaxMessageBytes > 0 && size > lim.MaxMessageBytes ||
		lim.MaxBatchRecords > 0 && g.builder.Count() >= lim.MaxBatchRecords
}

// addKeyed appends a record under its own Idempotency-Key. It is no part of a
// batch of ours: the broker packs it.
func (k *packer) addKeyed(rec *batchRecord, idemKey string) result {
	hash := bodyHash(rec.key, rec.value, rec.headers, rec.timestamp)
	k.own(rec)
	o := &outcome{safe: true}
	if o.partition, o.err = k.choose(rec, idemKey); o.err != nil {
		return result{outcome: o, timestamp: rec.timestamp}
	}
	a := partition.RecordAppend{
		Key: rec.key, Value: rec.value, Headers: rec.headers, // the broker adds the trace context
		Timestamp: rec.timestamp, Acks: k.p.acks, Cond: partition.NoConditions,
		IdempotencyKey: idemKey, BodyHash: hash,
	}
	k.offer(o, func(pin partition.Pin) (*replica.Pending, error) {
		a.Pin = pin
		return k.s.broker.BeginRecord(k.ctx, k.p.topic.Name, o.partition, a)
	})
	return result{outcome: o, timestamp: rec.timestamp}
}
