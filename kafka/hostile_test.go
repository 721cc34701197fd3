package kafka_test

import (
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/chroniklog/chronik/kafka"
	"github.com/chroniklog/chronik/storage/record"
)

// prompt fails unless a produce request and a fetch are answered soon.
func (b *broker) prompt(t *testing.T, topic string) {
	t.Helper()
	r := b.raw(t)
	if err := r.nc.SetDeadline(time.Now().Add(8 * time.Second)); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	got := produced(r.ask(produceTo(9, topic, 0, batch(record.CodecNone, strings.Repeat("p", 6<<10)))))
	wantCode(t, got.ErrorCode, nil)
	p := r.ask(fetchFrom(topic, 0, got.BaseOffset)).(*kmsg.FetchResponse).Topics[0].Partitions[0]
	if p.ErrorCode != 0 || len(p.RecordBatches) == 0 {
		t.Errorf("fetch: %d bytes, error %d", len(p.RecordBatches), p.ErrorCode)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("a polite client waited %v", took)
	}
}

// Requests that were announced and do not come hold up nobody, whatever size
// they announce and however slowly they drip.
func TestHalfFramesHoldNothing(t *testing.T) {
	b := start(t, kafka.Limits{})
	b.topic(t, "t", 1, nil)
	for name, announce := range map[string]struct {
		key   int16
		size  uint32
		conns int
	}{
		"100 MiB of produce": {0, 100 << 20, 8},
		"3 MiB of metadata":  {3, 3 << 20, 8},
		"many small ones":    {3, 4000, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			for range announce.conns {
				half := frame(announce.key, 9, 0xff, 0xff)
				binary.BigEndian.PutUint32(half, announce.size)
				r := b.raw(t)
				r.write(half)
			}
			b.prompt(t, "t")
		})
	}
}

// Clients that fetch and do not read are cut off when others need the memory.
func TestSlowReadersHoldUpNobody(t *testing.T) {
	b := start(t, kafka.Limits{InFlightBytes: 32 << 20})
	b.topic(t, "t", 1, nil)
	r := b.raw(t)
	value := strings.Repeat("v", 64<<10)
	for range 64 {
		r.put("t", 0, value)
	}
	for range 100 {
		slow := b.raw(t)
		for range 20 {
			req := fetchFrom("t", 0, 0)
			req.MaxBytes = 4 << 20
			req.Topics[0].Partitions[0].PartitionMaxBytes = 4 << 20
			slow.send(req)
		}
	}
	b.prompt(t, "t")
}

// A request that asks for one thing many times is not answered many times.
func TestRepeatedQuestions(t *testing.T) {
	b := start(t, kafka.Limits{})
	b.topic(t, "t", 100, nil)
	meta := kmsg.NewPtrMetadataRequest()
	meta.Version = 9
	configs := kmsg.NewPtrDescribeConfigsRequest()
	configs.Version = 4
	parts := kmsg.NewPtrDescribeTopicPartitionsRequest()
	parts.ResponsePartitionLimit = 2000
	for range 20_000 {
		m := kmsg.NewMetadataRequestTopic()
		m.Topic = kmsg.StringPtr("t")
		meta.Topics = append(meta.Topics, m)
		c := kmsg.NewDescribeConfigsRequestResource()
		c.ResourceType, c.ResourceName = kmsg.ConfigResourceTypeTopic, "t"
		configs.Resources = append(configs.Resources, c)
		p := kmsg.NewDescribeTopicPartitionsRequestTopic()
		p.Topic = "t"
		parts.Topics = append(parts.Topics, p)
	}
	for _, req := range []kmsg.Request{meta, configs, parts} {
		t.Run(kmsg.NameForKey(req.Key()), func(t *testing.T) {
			r := b.raw(t)
			if n := len(r.body(r.send(req))); n > 1<<20 {
				t.Errorf("an answer of %d bytes", n)
			}
		})
	}
}

// A produce request of nothing but partitions without records is refused
// before it is given a place for each.
func TestEmptyPartitions(t *testing.T) {
	b := start(t, kafka.Limits{})
	b.topic(t, "t", 1, nil)
	const n = 4 << 20
	body := []byte{0xff, 0xff, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0x10, 0} // client id, tags, no transaction, acks, timeout
	body[3], body[4], body[5] = 0, 0xff, 0xff
	body = append(body[:6], 0, 0, 0x10, 0) // timeout
	body = append(body, 2, 2, 't')
	body = binary.AppendUvarint(body, n+1)
	for range n {
		body = append(body, 0, 0, 0, 0, 0, 0)
	}
	body = append(body, 0, 0)
	r := b.raw(t)
	go func() { _, _ = r.nc.Write(frame(0, 9, body...)) }()
	r.closed()
	b.prompt(t, "t")
}
