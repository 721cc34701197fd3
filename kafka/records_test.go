package kafka_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/chroniklog/chronik/kafka"
	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/server/servertest"
	"github.com/chroniklog/chronik/storage/record"
)

// consume reads n records of a topic from its start.
func (b *broker) consume(t *testing.T, topic string, n int, opts ...kgo.Opt) []*kgo.Record {
	t.Helper()
	ctx := within(t, 20*time.Second)
	c := b.client(t, append(opts, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	var list []*kgo.Record
	for len(list) < n {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			t.Fatalf("%d of %d records: %v", len(list), n, err)
		}
		for _, e := range fetches.Errors() {
			t.Fatalf("%s/%d: %v", e.Topic, e.Partition, e.Err)
		}
		list = append(list, fetches.Records()...)
	}
	c.Close()
	return list
}

func TestEveryCodecIsStoredAndRead(t *testing.T) {
	b := start(t, kafka.Limits{})
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	for name, codec := range codecs {
		t.Run(name, func(t *testing.T) {
			topic := "codec-" + name
			p := b.client(t, kgo.AllowAutoTopicCreation(), kgo.DefaultProduceTopic(topic), kgo.ProducerBatchCompression(codec))
			ctx := within(t, 20*time.Second)
			var sent []*kgo.Record
			for i := range 300 {
				sent = append(sent, &kgo.Record{
					Key: fmt.Appendf(nil, "k%d", i%7), Value: fmt.Appendf(nil, "value %d of %s", i, name),
					Headers: []kgo.RecordHeader{{Key: "h", Value: []byte(name)}},
				})
			}
			if err := p.ProduceSync(ctx, sent...).FirstErr(); err != nil {
				t.Fatal(err)
			}
			got := b.consume(t, topic, len(sent))
			for i, r := range got {
				if r.Offset != int64(i) || string(r.Value) != string(sent[i].Value) || string(r.Key) != string(sent[i].Key) ||
					len(r.Headers) != 1 || string(r.Headers[0].Value) != name {
					t.Fatalf("record %d: offset %d %q=%q %v", i, r.Offset, r.Key, r.Value, r.Headers)
				}
			}
		})
	}
}

// A topic that names a codec stores batches of producers that chose another
// with its own; an idempotent producer's stay its own.
func TestTopicsCodecIsStored(t *testing.T) {
	b := start(t, kafka.Limits{})
	for want := record.CodecNone; want <= record.CodecZstd; want++ {
		topic, name := "as-"+want.String(), want.String()
		if want == record.CodecNone {
			name = "uncompressed"
		}
		b.topic(t, topic, 1, map[string]string{"compression.type": name})
		sent := 0
		for _, codec := range []kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression(), kgo.ZstdCompression()} {
			p := b.client(t, kgo.DefaultProduceTopic(topic), kgo.ProducerBatchCompression(codec))
			var list []*kgo.Record
			for range 20 {
				list = append(list, kgo.StringRecord(strings.Repeat("x", 100)))
				sent++
			}
			if err := p.ProduceSync(within(t, 20*time.Second), list...).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		if got := b.consume(t, topic, sent); len(got) != sent || len(got[sent-1].Value) != 100 {
			t.Errorf("%s: %d records of %d", topic, len(got), sent)
		}
		res, err := b.Broker.Read(within(t, 5*time.Second), server.ReadRequest{Topic: topic, MaxBytes: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		for rest := res.Batches; len(rest) > 0; {
			batch, tail, err := record.Split(rest)
			if err != nil {
				t.Fatal(err)
			}
			h, err := record.Validate(batch, record.Limits{})
			if err != nil || h.Codec() != want || !h.Idempotent() {
				t.Errorf("%s holds a batch of %v, idempotent %v: %v", topic, h.Codec(), h.Idempotent(), err)
			}
			rest = tail
		}
	}
}

// put appends one record as HTTP does.
func (b *broker) put(t *testing.T, topic, value, key string) {
	t.Helper()
	b.append(t, topic, partition.RecordAppend{Value: []byte(value), IdempotencyKey: key, Cond: partition.NoConditions})
}

func (b *broker) putFenced(t *testing.T, topic, value string, fence *string) {
	t.Helper()
	cond := partition.NoConditions
	cond.Fence = fence
	b.append(t, topic, partition.RecordAppend{Value: []byte(value), Cond: cond})
}

func (b *broker) append(t *testing.T, topic string, a partition.RecordAppend) {
	t.Helper()
	a.Acks, a.Timestamp = partition.AcksAll, -1
	ctx := within(t, 10*time.Second)
	p, err := b.Broker.BeginRecord(ctx, topic, 0, a)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Wait(ctx); err != nil {
		t.Fatal(err)
	}
}

// The node's own listener serves what was written before a restart, under a
// new leader epoch, to a producer that lives through it.
func TestNodeServesKafka(t *testing.T) {
	n := servertest.Start(t, servertest.Unchecked())
	ctx := within(t, 30*time.Second)
	b := &broker{Node: n, addr: n.Kafka}
	p := b.client(t, kgo.DefaultProduceTopic("t"), kgo.AllowAutoTopicCreation())
	if err := p.ProduceSync(ctx, kgo.StringRecord("before")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	n.Restart()
	b.addr = n.Kafka
	p = b.client(t, kgo.DefaultProduceTopic("t"))
	if err := p.ProduceSync(ctx, kgo.StringRecord("after")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	got := b.consume(t, "t", 2)
	if string(got[0].Value) != "before" || string(got[1].Value) != "after" || got[1].LeaderEpoch <= got[0].LeaderEpoch {
		t.Errorf("%q in epoch %d, %q in epoch %d", got[0].Value, got[0].LeaderEpoch, got[1].Value, got[1].LeaderEpoch)
	}
	older := fetchFrom("t", got[0].Partition, 0)
	older.Topics[0].Partitions[0].CurrentLeaderEpoch = got[1].LeaderEpoch - 1
	wantCode(t, b.raw(t).ask(older).(*kmsg.FetchResponse).Topics[0].Partitions[0].ErrorCode, kerr.FencedLeaderEpoch)
}
