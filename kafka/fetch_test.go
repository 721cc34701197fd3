package kafka_test

import (
	"bufio"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/chroniklog/chronik/kafka"
	"github.com/chroniklog/chronik/storage/record"
)

// fetchFrom is a fetch of one partition, without a session.
func fetchFrom(topic string, p int32, offset int64) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.ReplicaID, req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 12, -1, 100, 1, 1<<20
	req.SessionID, req.SessionEpoch = 0, -1
	req.Topics = append(req.Topics, fetchTopic(topic, p, offset))
	return req
}

func fetchTopic(topic string, p int32, offset int64) kmsg.FetchRequestTopic {
	t := kmsg.NewFetchRequestTopic()
	t.Topic = topic
	part := kmsg.NewFetchRequestTopicPartition()
	part.Partition, part.FetchOffset, part.PartitionMaxBytes = p, offset, 1<<20
	part.CurrentLeaderEpoch, part.LastFetchedEpoch = -1, -1
	t.Partitions = append(t.Partitions, part)
	return t
}

func (r *raw) put(topic string, p int32, values ...string) {
	r.t.Helper()
	wantCode(r.t, produced(r.ask(produceTo(9, topic, p, batch(record.CodecNone, values...)))).ErrorCode, nil)
}

func TestFetch(t *testing.T) {
	b := start(t, kafka.Limits{})
	topic := b.topic(t, "t", 2, nil)
	r := b.raw(t)
	r.put("t", 0, "a", "b", "c")
	r.put("t", 0, strings.Repeat("x", 500))
	byID := func(id [16]byte) *kmsg.FetchRequest {
		req := fetchFrom("", 0, 0)
		req.Version, req.Topics[0].TopicID = 18, id
		return req
	}
	epochs := func(current, last int32, offset int64) *kmsg.FetchRequest {
		req := fetchFrom("t", 0, offset)
		req.Topics[0].Partitions[0].CurrentLeaderEpoch, req.Topics[0].Partitions[0].LastFetchedEpoch = current, last
		return req
	}
	epoch := b.epoch(t, "t", 0)
	small := fetchFrom("t", 0, 1)
	small.MaxBytes, small.Topics[0].Partitions[0].PartitionMaxBytes = 1, 1
	tests := []struct {
		name    string
		req     *kmsg.FetchRequest
		want    *kerr.Error
		batches int
	}{
		{"all", fetchFrom("t", 0, 0), nil, 2},
		{"the middle of a batch returns all of it, whatever the limit", small, nil, 1},
		{"the end", fetchFrom("t", 0, 4), nil, 0},
		{"beyond the end", fetchFrom("t", 0, 5), kerr.OffsetOutOfRange, 0},
		{"negative", fetchFrom("t", 0, -1), kerr.OffsetOutOfRange, 0},
		{"empty", fetchFrom("t", 1, 0), nil, 0},
		{"unknown partition", fetchFrom("t", 2, 0), kerr.UnknownTopicOrPartition, 0},
		{"unknown topic", fetchFrom("u", 0, 0), kerr.UnknownTopicOrPartition, 0},
		{"by id", byID(topic.ID), nil, 2},
		{"unknown id", byID([16]byte{9}), kerr.UnknownTopicID, 0},
		{"right epoch", epochs(epoch, epoch, 0), nil, 2},
		{"newer epoch", epochs(epoch+1, -1, 0), kerr.UnknownLeaderEpoch, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r.t = t
			p := r.ask(tt.req).(*kmsg.FetchResponse).Topics[0].Partitions[0]
			wantCode(t, p.ErrorCode, tt.want)
			n := 0
			for rest := p.RecordBatches; len(rest) > 0; n++ {
				one, left, err := record.Split(rest)
				if err != nil {
					t.Fatal(err)
				}
				if err := record.CheckCRC(one); err != nil {
					t.Error(err)
				}
				rest = left
			}
			if n != tt.batches {
				t.Errorf("%d batches, want %d", n, tt.batches)
			}
			if tt.want == nil && tt.req.Topics[0].Partitions[0].Partition == 0 && p.HighWatermark != 4 {
				t.Errorf("high watermark %d", p.HighWatermark)
			}
		})
	}
}

func (b *broker) epoch(t *testing.T, topic string, p int32) int32 {
	t.Helper()
	info, err := b.Broker.PartitionState(topic, p)
	if err != nil {
		t.Fatal(err)
	}
	return info.LeaderEpoch
}

// A fetch that waits is woken by the append, long before its time is over; so
// is one that wants more bytes than the first append brings.
func TestLongPoll(t *testing.T) {
	b := start(t, kafka.Limits{})
	b.topic(t, "t", 1, nil)
	producer := b.raw(t)
	for _, minBytes := range []int32{1, 700} {
		r := b.raw(t)
		from := b.end(t, "t", 0)
		req := fetchFrom("t", 0, from)
		req.MaxWaitMillis, req.MinBytes = 15_000, minBytes
		began := time.Now()
		id := r.send(req)
		for range 10 {
			producer.put("t", 0, strings.Repeat("y", 40))
		}
		p := r.receive(req, id).(*kmsg.FetchResponse).Topics[0].Partitions[0]
		if len(p.RecordBatches) < int(minBytes) || time.Since(began) > 10*time.Second {
			t.Errorf("%d bytes after %v, want %d", len(p.RecordBatches), time.Since(began), minBytes)
		}
	}
}

// The client's time is over before there is anything.
func TestFetchTimesOut(t *testing.T) {
	b := start(t, kafka.Limits{})
	b.topic(t, "t", 1, nil)
	r := b.raw(t)
	began := time.Now()
	p := r.ask(fetchFrom("t", 0, 0)).(*kmsg.FetchResponse).Topics[0].Partitions[0]
	if took := time.Since(began); took < 90*time.Millisecond || len(p.RecordBatches) != 0 || p.ErrorCode != 0 {
		t.Errorf("after %v: %+v", took, p)
	}
}

// Sessions (KIP-227): an incremental answer has what changed, and nothing
// else.
func TestFetchSession(t *testing.T) {
	b := start(t, kafka.Limits{})
	b.topic(t, "t", 3, nil)
	r := b.raw(t)
	r.put("t", 0, "a")
	full := fetchFrom("t", 0, 0)
	full.SessionEpoch = 0
	for p := int32(1); p < 3; p++ {
		more := fetchTopic("t", p, 0)
		full.Topics[0].Partitions = append(full.Topics[0].Partitions, more.Partitions...)
	}
	first := r.ask(full).(*kmsg.FetchResponse)
	if first.SessionID == 0 || len(first.Topics[0].Partitions) != 3 {
		t.Fatalf("first answer: %+v", first)
	}
	next := func(epoch int32, topics ...kmsg.FetchRequestTopic) *kmsg.FetchResponse {
		req := fetchFrom("", 0, 0)
		req.Topics, req.SessionID, req.SessionEpoch = topics, first.SessionID, epoch
		return r.ask(req).(*kmsg.FetchResponse)
	}
	if quiet := next(1, fetchTopic("t", 0, 1)); quiet.ErrorCode != 0 || len(quiet.Topics) != 0 {
		t.Errorf("nothing changed: %+v", quiet)
	}
	r.put("t", 2, "b")
	changed := next(2)
	if len(changed.Topics) != 1 || len(changed.Topics[0].Partitions) != 1 ||
		changed.Topics[0].Partitions[0].Partition != 2 {
		t.Errorf("partition 2 changed: %+v", changed.Topics)
	}
	wantCode(t, next(9).ErrorCode, kerr.InvalidFetchSessionEpoch)
	forget := fetchFrom("", 0, 0)
	forget.Topics, forget.SessionID, forget.SessionEpoch = nil, first.SessionID, 3
	gone := kmsg.NewFetchRequestForgottenTopic()
	gone.Topic, gone.Partitions = "t", []int32{2}
	forget.ForgottenTopics = append(forget.ForgottenTopics, gone)
	if left := r.ask(forget).(*kmsg.FetchResponse); left.ErrorCode != 0 || len(left.Topics) != 0 {
		t.Errorf("partition 2 was forgotten: %+v", left.Topics)
	}
	end := fetchFrom("t", 0, 0)
	end.SessionID, end.SessionEpoch = first.SessionID, -1
	if last := r.ask(end).(*kmsg.FetchResponse); last.SessionID != 0 || len(last.Topics) != 1 {
		t.Errorf("the last answer: %+v", last)
	}
	wantCode(t, next(4).ErrorCode, kerr.FetchSessionIDNotFound)
}

// An answer that is as good as full reads no batch of every other partition,
// only to find that it doesn't fit.
func TestFullAnswerReadsNoMore(t *testing.T) {
	const partitions, size = 40, 20_000
	b := start(t, kafka.Limits{})
	b.topic(t, "t", partitions, nil)
	r := b.raw(t)
	for p := range int32(partitions) {
		r.put("t", p, strings.Repeat("x", size))
	}
	req := fetchFrom("t", 0, 0)
	req.MaxBytes = 5*size + size/2
	for p := range int32(partitions - 1) {
		req.Topics[0].Partitions = append(req.Topics[0].Partitions, fetchTopic("t", p+1, 0).Partitions...)
	}
	before := b.readBytes(t)
	filled := 0
	for _, p := range r.ask(req).(*kmsg.FetchResponse).Topics[0].Partitions {
		if len(p.RecordBatches) > 0 {
			filled++
		}
		if p.ErrorCode != 0 || p.HighWatermark != 1 {
			t.Errorf("partition %d: error %d, watermark %d", p.Partition, p.ErrorCode, p.HighWatermark)
		}
	}
	if filled != 5 {
		t.Errorf("%d batches in the answer, 5 have room", filled)
	}
	if n := b.readBytes(t) - before; n > 7*size {
		t.Errorf("%d bytes were read for an answer of %d", n, 5*size)
	}
}

// readBytes is what the node has read from its logs for anyone.
func (b *broker) readBytes(t *testing.T) int {
	t.Helper()
	resp, err := http.Get(b.URL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), "chronik_read_bytes_total "); ok {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatal(err)
			}
			return int(n)
		}
	}
	t.Fatal("no chronik_read_bytes_total")
	return 0
}
