package api

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/server/replica"
	"github.com/chroniklog/chronik/storage/record"
)

// flush begins what has been gathered.
func (k *packer) flush() {
	for _, g := range k.order {
		if g.open != nil {
			k.send(g)
		}
	}
	clear(k.order)
	k.order = k.order[:0]
}

// send begins the append of one batch. A single record goes alone, so that the
// broker packs it with those of other requests.
func (k *packer) send(g *packed) {
	o, count := g.open, int64(g.builder.Count())
	g.open = nil
	if count == 1 && k.p.producer == nil {
		rec := &g.first
		k.own(rec)
		a := partition.RecordAppend{
			Key: rec.key, Value: rec.value, Headers: rec.headers,
			Timestamp: rec.timestamp, Acks: k.p.acks, Cond: k.cond,
		}
		k.offer(o, func(pin partition.Pin) (*replica.Pending, error) {
			a.Pin = pin
			return k.s.broker.BeginRecord(k.ctx, k.p.topic.Name, o.partition, a)
		})
	} else {
		k.sendBatch(g, o)
	}
	g.first = batchRecord{}
	if k.cond.ExpectOffset != partition.NoOffset {
		k.cond.ExpectOffset += count // what follows must follow: it fails with what failed
	}
}

// own gives a record of a stream bytes of its own: they may be wanted again, for
// another leader, when the stream's buffer holds the next lines. A body outlives
// its packer.
func (k *packer) own(rec *batchRecord) {
	if !k.patient {
		return
	}
	rec.key, rec.value = bytes.Clone(rec.key), bytes.Clone(rec.value)
	rec.headers = slices.Clone(rec.headers)
	for i := range rec.headers {
		rec.headers[i].Value = bytes.Clone(rec.headers[i].Value)
	}
}

func (k *packer) sendBatch(g *packed, o *outcome) {
	if pr := k.p.producer; pr != nil {
		g.builder.SetProducer(pr.ID, pr.Epoch, k.seq)
		k.seq = int32((int64(k.seq) + int64(g.builder.Count())) & (1<<31 - 1)) // wraps as Kafka's does
	}
	batch := g.builder.Build(make([]byte, 0, g.builder.Len())) // the partition's from now on
	h, err := record.ParseHeader(batch)
	if err != nil {
		o.err = err
		return
	}
	o.safe = k.p.producer != nil
	a := partition.BatchAppend{Batch: batch, Header: h, Acks: k.p.acks, Cond: k.cond}
	k.offer(o, k.s.sender(k.ctx, k.p.topic.Name, o.partition, a))
}

// sender makes what sends a batch. The partition owns the bytes that it was
// given, so a repeat is a copy.
func (s *Server) sender(ctx context.Context, topic string, number int32, a partition.BatchAppend,
) func(partition.Pin) (*replica.Pending, error) {
	sent := false
	return func(pin partition.Pin) (*replica.Pending, error) {
		if sent {
			a.Batch = bytes.Clone(a.Batch)
			var err error
			if a.Header, err = record.ParseHeader(a.Batch); err != nil {
				return nil, err
			}
		}
		sent, a.Pin = true, pin
		return s.broker.BeginBatch(ctx, topic, number, a)
	}
}

// offer begins an append, again and again while a patient packer is told that
// there is no room yet.
func (k *packer) offer(o *outcome, begin func(partition.Pin) (*replica.Pending, error)) {
	o.send = begin
	if k.patient {
		o.send = func(pin partition.Pin) (*replica.Pending, error) { return k.insist(pin, begin) }
	}
	l := k.lanes[o.partition]
	if l == nil {
		l = k.s.newLane(k.p.topic.Name, o.partition)
		k.lanes[o.partition] = l
	}
	if led, _ := k.s.broker.Leader(k.p.topic.Name, o.partition); k.p.hopped && !led.Here {
		o.err = notHere(&led)
		return
	}
	l.begin(o)
}

func (s *Server) newLane(topic string, number int32) *lane {
	return &lane{broker: s.broker, topic: topic, number: number}
}

func (k *packer) insist(pin partition.Pin, begin func(partition.Pin) (*replica.Pending, error)) (
	*replica.Pending, error,
) {
	for try := 0; ; try++ {
		pending, err := begin(pin)
		if err == nil || try == throttleTries {
			return pending, err
		}
		problem, after := problemOf(err)
		if problem.Code != CodeThrottled {
			return nil, err
		}
		k.pause(min(after, throttleWait))
	}
}

// pause waits, at most until the request ends.
func (k *packer) pause(d time.Duration) {
	t := getTimer(d)
	defer putTimer(t)
	select {
	case <-t.C:
	case <-k.ctx.Done():
	}
}
