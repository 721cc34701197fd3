package kafka_test

import (
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/chroniklog/chronik/kafka"
	"github.com/chroniklog/chronik/storage/record"
)

// Positions in a batch's header.
const (
	atLength          = 8
	atMagic           = 16
	atAttributes      = 21
	atLastOffsetDelta = 23
	atCount           = 57
)

// Each bad batch gets Kafka's code, nothing of it is stored, and neither the
// request's other partition nor the connection is harmed.
func TestBadBatches(t *testing.T) {
	b := start(t, kafka.Limits{})
	b.topic(t, "bad", 1, map[string]string{"max.message.bytes": "2000"})
	b.topic(t, "compacted", 1, map[string]string{"cleanup.policy": "compact"})
	b.topic(t, "good", 1, nil)
	change := func(at int, value byte) func() []byte {
		return func() []byte {
			x := batch(record.CodecNone, "a", "b")
			x[at] = value
			return reseal(x)
		}
	}
	tests := []struct {
		name    string
		topic   string
		version int16
		records func() []byte
		want    *kerr.Error
	}{
		{"corrupt CRC", "bad", 9, func() []byte {
			x := batch(record.CodecNone, "a")
			x[len(x)-1] ^= 1
			return x
		}, kerr.CorruptMessage},
		{"too many counted", "bad", 9, change(atCount+3, 9), kerr.InvalidRecord},
		{"negative count", "bad", 9, change(atCount, 0xff), kerr.InvalidRecord},
		{"last offset delta", "bad", 9, change(atLastOffsetDelta+3, 7), kerr.InvalidRecord},
		{"unknown codec", "bad", 9, change(atAttributes+1, 7), kerr.UnsupportedCompressionType},
		{"not compressed as it says", "bad", 9, change(atAttributes+1, byte(record.CodecZstd)), kerr.InvalidRecord},
		{"control", "bad", 9, change(atAttributes+1, 1<<5), kerr.InvalidRecord},
		{"transactional", "bad", 9, change(atAttributes+1, 1<<4), kerr.InvalidRecord},
		{"unknown attribute", "bad", 9, change(atAttributes, 1<<3), kerr.InvalidRecord},
		{"old magic", "bad", 9, func() []byte {
			x := batch(record.CodecNone, "a")
			x[atMagic] = 1
			return x
		}, kerr.InvalidRecord},
		{"longer than it is", "bad", 9, func() []byte {
			x := batch(record.CodecNone, "a")
			binary.BigEndian.PutUint32(x[atLength:], 1<<30)
			return x
		}, kerr.MessageTooLarge},
		{"a little longer than it is", "bad", 9, func() []byte {
			x := batch(record.CodecNone, "a")
			x[atLength+3]++
			return x
		}, kerr.CorruptMessage},
		{"negative length", "bad", 9, func() []byte {
			x := batch(record.CodecNone, "a")
			x[atLength] = 0xff
			return x
		}, kerr.CorruptMessage},
		{"half a header", "bad", 9, func() []byte { return batch(record.CodecNone, "a")[:30] }, kerr.CorruptMessage},
		{"no batch", "bad", 9, func() []byte { return nil }, kerr.InvalidRecord},
		{"two batches", "bad", 9, func() []byte {
			return append(batch(record.CodecNone, "a"), batch(record.CodecNone, "b")...)
		}, kerr.InvalidRecord},
		{"oversized", "bad", 9, func() []byte { return batch(record.CodecNone, strings.Repeat("x", 3000)) }, kerr.MessageTooLarge},
		{"zstd in old version", "bad", 6, func() []byte { return batch(record.CodecZstd, "a") }, kerr.UnsupportedCompressionType},
		{"null key", "compacted", 9, func() []byte { return batch(record.CodecNone, "a") }, kerr.InvalidRecord},
		{"unknown topic", "nowhere", 9, func() []byte { return batch(record.CodecNone, "a") }, kerr.UnknownTopicOrPartition},
	}
	r := b.raw(t)
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r.t = t
			req := produceTo(tt.version, tt.topic, 0, tt.records())
			addBatch(req, "good", 0, batch(record.CodecNone, "fine"))
			resp := r.ask(req).(*kmsg.ProduceResponse)
			wantCode(t, resp.Topics[0].Partitions[0].ErrorCode, tt.want)
			wantCode(t, resp.Topics[1].Partitions[0].ErrorCode, nil)
			if got := resp.Topics[1].Partitions[0].BaseOffset; got != int64(i) {
				t.Errorf("the good batch has offset %d, want %d", got, i)
			}
		})
	}
	for _, topic := range []string{"bad", "compacted"} {
		if end := b.end(t, topic, 0); end != 0 {
			t.Errorf("%s has %d records", topic, end)
		}
	}
}

func TestBadProduceRequests(t *testing.T) {
	b := start(t, kafka.Limits{})
	topic := b.topic(t, "t", 1, nil)
	one := func() []byte { return batch(record.CodecNone, "a") }
	byID := func(id [16]byte) *kmsg.ProduceRequest {
		req := produceTo(13, "", 0, one())
		req.Topics[0].TopicID = id
		return req
	}
	acks := produceTo(9, "t", 0, one())
	acks.Acks = 2
	txn := produceTo(9, "t", 0, one())
	txn.TransactionID = kmsg.StringPtr("x")
	tests := []struct {
		name string
		req  *kmsg.ProduceRequest
		want *kerr.Error
	}{
		{"acks", acks, kerr.InvalidRequiredAcks},
		{"transactional id", txn, kerr.InvalidRecord},
		{"partition", produceTo(9, "t", 1, one()), kerr.UnknownTopicOrPartition},
		{"negative partition", produceTo(9, "t", -1, one()), kerr.UnknownTopicOrPartition},
		{"topic id", byID([16]byte{1}), kerr.UnknownTopicID},
		{"right", byID(topic.ID), nil},
	}
	r := b.raw(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r.t = t
			wantCode(t, produced(r.ask(tt.req)).ErrorCode, tt.want)
		})
	}
	if end := b.end(t, "t", 0); end != 1 {
		t.Errorf("the topic has %d records, want 1", end)
	}
}

// Sequences as KIP-98 has them: a repeat gets the first answer, a gap and a
// stale epoch their codes, and nothing is stored twice.
func TestSequences(t *testing.T) {
	b := start(t, kafka.Limits{})
	b.topic(t, "t", 1, nil)
	r := b.raw(t)
	alloc := kmsg.NewPtrInitProducerIDRequest()
	alloc.Version = 4
	pid := r.ask(alloc).(*kmsg.InitProducerIDResponse)
	if pid.ErrorCode != 0 || pid.ProducerEpoch != 0 || pid.ProducerID < 0 {
		t.Fatalf("producer id %+v", pid)
	}
	steps := []struct {
		name   string
		epoch  int16
		seq    int32
		want   *kerr.Error
		offset int64
	}{
		{"first", 0, 0, nil, 0},
		{"second", 0, 2, nil, 2},
		{"repeat of the first", 0, 0, nil, 0},
		{"repeat of the second", 0, 2, nil, 2},
		{"gap", 0, 9, kerr.OutOfOrderSequenceNumber, -1},
		{"new epoch from the middle", 1, 3, kerr.OutOfOrderSequenceNumber, -1},
		{"new epoch", 1, 0, nil, 4},
		{"stale epoch", 0, 4, kerr.InvalidProducerEpoch, -1},
	}
	for _, s := range steps {
		got := produced(r.ask(produceTo(9, "t", 0, sequenced(pid.ProducerID, s.epoch, s.seq, "a", "b"))))
		if want := s.want; kerr.ErrorForCode(got.ErrorCode) == nil != (want == nil) || got.BaseOffset != s.offset {
			t.Errorf("%s: %v at %d, want %v at %d", s.name, kerr.ErrorForCode(got.ErrorCode), got.BaseOffset, want, s.offset)
		} else if want != nil {
			wantCode(t, got.ErrorCode, want)
		}
	}
	if end := b.end(t, "t", 0); end != 6 {
		t.Errorf("the topic has %d records, want 6", end)
	}
	alloc.TransactionalID = kmsg.StringPtr("x")
	wantCode(t, r.ask(alloc).(*kmsg.InitProducerIDResponse).ErrorCode, kerr.InvalidRequest)
}

// Requests that are sent without waiting are answered in their order.
func TestPipelining(t *testing.T) {
	b := start(t, kafka.Limits{})
	b.topic(t, "t", 1, nil)
	r := b.raw(t)
	var reqs []kmsg.Request
	for range 60 { // more than are read ahead
		reqs = append(reqs, produceTo(7, "t", 0, batch(record.CodecNone, "a")), kmsg.NewPtrMetadataRequest())
	}
	go func() {
		for _, req := range reqs {
			r.send(req)
		}
	}()
	for i, req := range reqs {
		resp := r.receive(req, int32(i+1))
		if p, ok := resp.(*kmsg.ProduceResponse); ok {
			if got := produced(p); got.ErrorCode != 0 || got.BaseOffset != int64(i/2) {
				t.Fatalf("answer %d: %+v", i, got)
			}
		}
	}
}

// A compacted topic tells which records have no key (KIP-467).
func TestRecordsWithoutKey(t *testing.T) {
	b := start(t, kafka.Limits{})
	b.topic(t, "compacted", 1, map[string]string{"cleanup.policy": "compact"})
	for _, codec := range []record.Codec{record.CodecNone, record.CodecZstd} {
		build := record.NewBuilder(codec)
		for i := range 6 {
			key := []byte("k")
			if i == 1 || i == 4 {
				key = nil
			}
			build.Append(time.Now().UnixMilli(), key, []byte("v"), nil)
		}
		p := produced(b.raw(t).ask(produceTo(9, "compacted", 0, build.Build(nil))))
		wantCode(t, p.ErrorCode, kerr.InvalidRecord)
		if len(p.ErrorRecords) != 2 || p.ErrorRecords[0].RelativeOffset != 1 || p.ErrorRecords[1].RelativeOffset != 4 {
			t.Errorf("%v: %+v", codec, p.ErrorRecords)
		}
	}
}
