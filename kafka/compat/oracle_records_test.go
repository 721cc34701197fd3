package compat

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/chroniklog/chronik/storage/record"
)

// oracleTime is the timestamp of every record, so that answers can be equal:
// the time of the test, or retention would take them.
var oracleTime = time.Now().UnixMilli()

// values builds a batch of records.
func values(codec record.Codec, list ...string) []byte {
	b := record.NewBuilder(codec)
	for i, v := range list {
		b.Append(oracleTime+int64(i), []byte("k"), []byte(v), []record.HeaderKV{{Key: "h", Value: []byte("1")}})
	}
	return b.Build(nil)
}

func produceTo(s *side, v int16, topic string, p int32, records []byte) *kmsg.ProduceRequest {
	req, t, part := kmsg.NewPtrProduceRequest(), kmsg.NewProduceRequestTopic(), kmsg.NewProduceRequestTopicPartition()
	req.Acks, req.TimeoutMillis = -1, 10_000
	t.Topic, part.Partition, part.Records = topic, p, records
	if v >= 13 {
		t.TopicID = s.topicID(topic)
		if topic == "nowhere" {
			t.TopicID = [16]byte{1, 2, 3}
		}
	}
	t.Partitions = append(t.Partitions, part)
	req.Topics = append(req.Topics, t)
	return req
}

// badBatches are what a broker must not store. Records that are null are not
// among them: Kafka never answers those.
func badBatches() map[string][]byte {
	flip := func(at int, reseal bool) []byte {
		b := values(record.CodecNone, "a", "b")
		b[at] ^= 1
		if reseal {
			record.StampAppendTime(b, oracleTime)
		}
		return b
	}
	return map[string][]byte{
		"crc":            flip(17, false),
		"value bit":      flip(70, false),
		"magic":          flip(16, false),
		"count":          flip(60, true),
		"last delta":     flip(26, true),
		"half a batch":   values(record.CodecNone, "a", "b")[:40],
		"no batch":       {},
		"two batches":    append(values(record.CodecNone, "a"), values(record.CodecNone, "b")...),
		"oversized":      values(record.CodecNone, string(make([]byte, 2<<20))),
		"trailing bytes": append(values(record.CodecNone, "a"), 0, 0),
		"not compressed": func() []byte {
			b := values(record.CodecNone, "a")
			b[22] |= 1 // gzip, it says
			record.StampAppendTime(b, oracleTime)
			return b
		}(),
		"unknown codec": func() []byte {
			b := values(record.CodecNone, "a")
			b[22] |= 7
			record.StampAppendTime(b, oracleTime)
			return b
		}(),
	}
}

// records compares produce and fetch.
func (o *oracle) records() {
	for codec := record.CodecNone; codec <= record.CodecZstd; codec++ {
		o.each("good "+codec.String(), func(s *side, v int16) kmsg.Request {
			return produceTo(s, v, "o-a", 0, values(codec, "a", "b", "c"))
		})
	}
	for name, batch := range badBatches() {
		o.each("bad: "+name, func(s *side, v int16) kmsg.Request { return produceTo(s, v, "o-bad", 0, batch) })
	}
	o.each("unknown topic", func(s *side, v int16) kmsg.Request {
		return produceTo(s, v, "nowhere", 0, values(record.CodecNone, "a"))
	})
	o.each("unknown partition", func(s *side, v int16) kmsg.Request {
		return produceTo(s, v, "o-a", 9, values(record.CodecNone, "a"))
	})
	o.each("acks 1", func(s *side, v int16) kmsg.Request {
		req := produceTo(s, v, "o-a", 1, values(record.CodecNone, "a"))
		req.Acks = 1
		return req
	})
	o.each("acks 5", func(s *side, v int16) kmsg.Request {
		req := produceTo(s, v, "o-a", 0, values(record.CodecNone, "a"))
		req.Acks = 5
		return req
	})
	o.each("null key, compacted", func(s *side, v int16) kmsg.Request {
		b := record.NewBuilder(record.CodecNone)
		b.Append(oracleTime, nil, []byte("v"), nil)
		return produceTo(s, v, "o-compact", 0, b.Build(nil))
	})
	o.fetches()
}

func fetchFrom(s *side, v int16, topic string, p int32, offset int64) *kmsg.FetchRequest {
	req, t, part := kmsg.NewPtrFetchRequest(), kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
	req.ReplicaID, req.ReplicaState.ID = -1, -1
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionEpoch = 100, 1, 1<<20, -1
	t.Topic, part.Partition, part.FetchOffset, part.PartitionMaxBytes = topic, p, offset, 1<<20
	part.CurrentLeaderEpoch, part.LastFetchedEpoch, part.LogStartOffset = -1, -1, -1
	if v >= 13 {
		if t.TopicID = s.topicID(topic); topic == "nowhere" {
			t.TopicID = [16]byte{1, 2, 3}
		}
	}
	t.Partitions = append(t.Partitions, part)
	req.Topics = append(req.Topics, t)
	return req
}

func (o *oracle) fetches() {
	for _, tt := range []struct {
		name   string
		topic  string
		p      int32
		offset int64
		change func(*kmsg.FetchRequest)
	}{
		{name: "all", topic: "o-a"},
		{name: "from the middle of a batch", topic: "o-a", offset: 1},
		{name: "few bytes", topic: "o-a", change: func(r *kmsg.FetchRequest) { r.MaxBytes = 1 }},
		{name: "few bytes of a partition", topic: "o-a",
			change: func(r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].PartitionMaxBytes = 1 }},
		{name: "read committed", topic: "o-a", change: func(r *kmsg.FetchRequest) { r.IsolationLevel = 1 }},
		{name: "unknown isolation", topic: "o-a", change: func(r *kmsg.FetchRequest) { r.IsolationLevel = 7 }},
		{name: "beyond the end", topic: "o-a", offset: 1 << 40},
		{name: "negative offset", topic: "o-a", offset: -5},
		{name: "unknown topic", topic: "nowhere"},
		{name: "unknown partition", topic: "o-a", p: 9},
		{name: "stale epoch", topic: "o-a",
			change: func(r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].CurrentLeaderEpoch = 99 }},
		{name: "diverging epoch", topic: "o-a", offset: 3,
			change: func(r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].LastFetchedEpoch = 0 }},
		{name: "new session", topic: "o-a", change: func(r *kmsg.FetchRequest) { r.SessionEpoch = 0 }},
		{name: "unknown session", topic: "o-a",
			change: func(r *kmsg.FetchRequest) { r.SessionID, r.SessionEpoch = 12345, 4 }},
	} {
		o.each(tt.name, func(s *side, v int16) kmsg.Request {
			req := fetchFrom(s, v, tt.topic, tt.p, tt.offset)
			if tt.change != nil {
				tt.change(req)
			}
			return req
		})
	}
}

// producers compares idempotent producers: their ids, and the rules of
// sequences.
func (o *oracle) producers() {
	o.each("idempotent", func(*side, int16) kmsg.Request {
		req := kmsg.NewPtrInitProducerIDRequest()
		req.TransactionTimeoutMillis, req.ProducerID, req.ProducerEpoch = 1000, -1, -1
		return req
	}, func(s *side, _ int16, resp kmsg.Response) {
		s.noted["producer"] = resp.(*kmsg.InitProducerIDResponse).ProducerID
	})
	send := func(name string, epoch int16, seq int32, list ...string) {
		o.each("sequence: "+name, func(s *side, v int16) kmsg.Request {
			if v != 9 {
				return nil
			}
			b := record.NewBuilder(record.CodecNone)
			b.SetProducer(s.noted["producer"].(int64), epoch, seq)
			for _, v := range list {
				b.Append(oracleTime, nil, []byte(v), nil)
			}
			return produceTo(s, v, "o-a", 1, b.Build(nil))
		})
	}
	send("first", 0, 0, "a", "b")
	send("second", 0, 2, "c")
	send("duplicate of the first", 0, 0, "a", "b")
	send("gap", 0, 7, "x")
	for i := range int32(6) {
		send(fmt.Sprintf("number %d", i+3), 0, 3+i, "x")
	}
	send("older than the window", 0, 0, "a", "b")
	send("new epoch, wrong start", 3, 4, "x")
	send("new epoch", 3, 0, "x")
	send("old epoch", 0, 9, "x")
	o.each("", func(_ *side, v int16) kmsg.Request {
		req, t := kmsg.NewPtrDescribeProducersRequest(), kmsg.NewDescribeProducersRequestTopic()
		t.Topic, t.Partitions = "o-a", []int32{0, 1, 9}
		req.Topics = append(req.Topics, t)
		return req
	})
}

// offsets compares questions about offsets and epochs.
func (o *oracle) offsets() {
	for _, ts := range []int64{-1, -2, -3, -4, -5, -6, -7, 0, oracleTime, oracleTime + 1, 1 << 60} {
		o.each(fmt.Sprintf("timestamp %d", ts), func(*side, int16) kmsg.Request { return listOffsets("o-a", 0, ts) })
	}
	o.each("unknown partition", func(*side, int16) kmsg.Request { return listOffsets("o-a", 9, -1) })
	o.each("unknown topic", func(*side, int16) kmsg.Request { return listOffsets("nowhere", 0, -1) })
	o.each("stale epoch", func(*side, int16) kmsg.Request {
		req := listOffsets("o-a", 0, -1)
		req.Topics[0].Partitions[0].CurrentLeaderEpoch = 50
		return req
	})
	for _, epoch := range []int32{-1, 0, 1, 9} {
		o.each(fmt.Sprintf("epoch %d", epoch), func(*side, int16) kmsg.Request {
			req, t := kmsg.NewPtrOffsetForLeaderEpochRequest(), kmsg.NewOffsetForLeaderEpochRequestTopic()
			req.ReplicaID = -1
			t.Topic = "o-a"
			for _, p := range []int32{0, 9} {
				part := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
				part.Partition, part.CurrentLeaderEpoch, part.LeaderEpoch = p, -1, epoch
				t.Partitions = append(t.Partitions, part)
			}
			req.Topics = append(req.Topics, t)
			return req
		})
	}
	for _, to := range []int64{2, 1 << 40, -1, -2} {
		o.each(fmt.Sprintf("to %d", to), func(*side, int16) kmsg.Request {
			req, t := kmsg.NewPtrDeleteRecordsRequest(), kmsg.NewDeleteRecordsRequestTopic()
			req.TimeoutMillis, t.Topic = 5000, "o-a"
			for _, p := range []int32{0, 9} {
				part := kmsg.NewDeleteRecordsRequestTopicPartition()
				part.Partition, part.Offset = p, to
				t.Partitions = append(t.Partitions, part)
			}
			req.Topics = append(req.Topics, t)
			return req
		})
	}
	o.each("after deletion", func(*side, int16) kmsg.Request { return listOffsets("o-a", 0, -2) })
}

func listOffsets(topic string, p int32, ts int64) *kmsg.ListOffsetsRequest {
	req, t := kmsg.NewPtrListOffsetsRequest(), kmsg.NewListOffsetsRequestTopic()
	part := kmsg.NewListOffsetsRequestTopicPartition()
	req.ReplicaID, req.TimeoutMillis = -1, 5000
	t.Topic, part.Partition, part.Timestamp, part.CurrentLeaderEpoch = topic, p, ts, -1
	t.Partitions = append(t.Partitions, part)
	req.Topics = append(req.Topics, t)
	return req
}
