package kafka_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/chroniklog/chronik/kafka"
	"github.com/chroniklog/chronik/server/config"
	"github.com/chroniklog/chronik/server/servertest"
)

func (b *broker) admin(t *testing.T) *kadm.Client {
	t.Helper()
	return kadm.NewClient(b.client(t))
}

func TestTopics(t *testing.T) {
	b := start(t, kafka.Limits{})
	ctx, adm := within(t, 30*time.Second), b.admin(t)
	made, err := adm.CreateTopic(ctx, 3, 1, map[string]*string{"retention.ms": kmsg.StringPtr("1000")}, "orders")
	if err != nil || made.NumPartitions != 3 || made.ReplicationFactor != 1 || made.ID == (kadm.TopicID{}) {
		t.Fatalf("%+v %v", made, err)
	}
	refused := []struct {
		name       string
		partitions int32
		rf         int16
		configs    map[string]*string
		want       error
	}{
		{"orders", 1, 1, nil, kerr.TopicAlreadyExists},
		{"no/slash", 1, 1, nil, kerr.InvalidTopicException},
		{"__reserved", 1, 1, nil, kerr.InvalidTopicException},
		{"zero", 0, 1, nil, kerr.InvalidPartitions},
		{"three", 1, 3, nil, kerr.InvalidReplicationFactor},
		{"conf", 1, 1, map[string]*string{"no.such": kmsg.StringPtr("1")}, kerr.InvalidConfig},
		{"null", 1, 1, map[string]*string{"retention.ms": nil}, kerr.InvalidConfig},
	}
	for _, tt := range refused {
		if _, err := adm.CreateTopic(ctx, tt.partitions, tt.rf, tt.configs, tt.name); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	if _, err := adm.ValidateCreateTopics(ctx, 1, 1, nil, "dry"); err != nil {
		t.Error(err)
	}
	grown, err := adm.UpdatePartitions(ctx, 5, "orders", "nowhere")
	if err != nil || grown["orders"].Err != nil || !errors.Is(grown["nowhere"].Err, kerr.UnknownTopicOrPartition) {
		t.Errorf("%+v %v", grown, err)
	}
	if again, err := adm.UpdatePartitions(ctx, 5, "orders"); err != nil || !errors.Is(again["orders"].Err, kerr.InvalidPartitions) {
		t.Errorf("%+v %v", again, err)
	}
	list, err := b.admin(t).ListTopics(ctx) // a client keeps what it was told for a while
	if err != nil || !slices.Equal(list.Names(), []string{"orders"}) || len(list["orders"].Partitions) != 5 {
		t.Errorf("%v %v", list, err)
	}
	for _, p := range list["orders"].Partitions {
		if p.Leader != 1 || len(p.Replicas) != 1 || len(p.ISR) != 1 || p.Err != nil {
			t.Errorf("partition %+v", p)
		}
	}
	gone, err := adm.DeleteTopics(ctx, "orders", "nowhere")
	if err != nil || gone["orders"].Err != nil || !errors.Is(gone["nowhere"].Err, kerr.UnknownTopicOrPartition) {
		t.Errorf("%+v %v", gone, err)
	}
	meta, err := b.admin(t).Metadata(ctx)
	if err != nil || len(meta.Topics) != 0 || meta.Controller != 1 || len(meta.Brokers) != 1 || meta.Cluster == "" {
		t.Errorf("%+v %v", meta, err)
	}
}

// By id, every version that has ids.
func TestDeleteByID(t *testing.T) {
	b := start(t, kafka.Limits{})
	topic := b.topic(t, "t", 1, nil)
	r := b.raw(t)
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.Version, req.TimeoutMillis = 6, 5000
	for _, id := range [][16]byte{topic.ID, {7}} {
		want := kmsg.NewDeleteTopicsRequestTopic()
		want.TopicID = id
		req.Topics = append(req.Topics, want)
	}
	resp := r.ask(req).(*kmsg.DeleteTopicsResponse)
	wantCode(t, resp.Topics[0].ErrorCode, nil)
	wantCode(t, resp.Topics[1].ErrorCode, kerr.UnknownTopicID)
	if name := resp.Topics[0].Topic; name == nil || *name != "t" {
		t.Errorf("name %v", name)
	}
}

func TestConfigs(t *testing.T) {
	b := start(t, kafka.Limits{})
	ctx, adm := within(t, 30*time.Second), b.admin(t)
	b.topic(t, "t", 1, map[string]string{"retention.ms": "1000"})
	found, err := adm.DescribeTopicConfigs(ctx, "t")
	if err != nil || found[0].Err != nil {
		t.Fatal(err, found)
	}
	byName := make(map[string]kadm.Config)
	for _, c := range found[0].Configs {
		byName[c.Key] = c
	}
	set, unset := byName["retention.ms"], byName["segment.bytes"]
	if *set.Value != "1000" || set.Source != kmsg.ConfigSourceDynamicTopicConfig || len(set.Synonyms) != 2 ||
		set.Synonyms[1].Key != "log.retention.ms" || *set.Synonyms[1].Value != "604800000" {
		t.Errorf("retention.ms: %+v", set)
	}
	if unset.Source != kmsg.ConfigSourceDefaultConfig || len(unset.Synonyms) != 1 || unset.Synonyms[0].Key != "log.segment.bytes" {
		t.Errorf("segment.bytes: %+v", unset)
	}
	alter := func(want error, changes ...kadm.AlterConfig) {
		t.Helper()
		resps, err := adm.AlterTopicConfigs(ctx, changes, "t")
		if err != nil || !errors.Is(resps[0].Err, want) {
			t.Errorf("%+v: %v %v, want %v", changes, err, resps, want)
		}
	}
	alter(nil, kadm.AlterConfig{Op: kadm.SetConfig, Name: "max.message.bytes", Value: kmsg.StringPtr("5000")},
		kadm.AlterConfig{Op: kadm.DeleteConfig, Name: "retention.ms"})
	alter(nil, kadm.AlterConfig{Op: kadm.AppendConfig, Name: "cleanup.policy", Value: kmsg.StringPtr("compact")})
	alter(nil, kadm.AlterConfig{Op: kadm.SubtractConfig, Name: "cleanup.policy", Value: kmsg.StringPtr("delete")})
	alter(kerr.InvalidConfig, kadm.AlterConfig{Op: kadm.AppendConfig, Name: "segment.ms", Value: kmsg.StringPtr("1")})
	alter(kerr.InvalidConfig, kadm.AlterConfig{Op: kadm.SetConfig, Name: "segment.ms", Value: kmsg.StringPtr("x")})
	alter(kerr.InvalidRequest, kadm.AlterConfig{Op: kadm.SetConfig, Name: "segment.ms"})
	after, err := b.Broker.Topic("t")
	if err != nil || after.Configs["max.message.bytes"] != "5000" || after.Configs["retention.ms"] != "" ||
		after.Configs["cleanup.policy"] != "compact" {
		t.Errorf("%v %v", after.Configs, err)
	}
	all, err := adm.AlterTopicConfigsState(ctx, []kadm.AlterConfig{{Name: "segment.ms", Value: kmsg.StringPtr("70000")}}, "t")
	if err != nil || all[0].Err != nil {
		t.Fatal(err, all)
	}
	if after, _ = b.Broker.Topic("t"); len(after.Configs) != 1 || after.Configs["segment.ms"] != "70000" {
		t.Errorf("what is not named goes back to its default: %v", after.Configs)
	}
	nodes, err := adm.DescribeBrokerConfigs(ctx, 1)
	if err != nil || nodes[0].Err != nil {
		t.Error(err, nodes)
	}
}

func TestListOffsetsAndDelete(t *testing.T) {
	b := start(t, kafka.Limits{})
	ctx, adm := within(t, 30*time.Second), b.admin(t)
	b.topic(t, "t", 2, nil)
	p := b.client(t, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	now := time.Now().UnixMilli()
	for i, ago := range []int64{5000, 1000, 3000, 2000} { // the largest is not the last
		rec := &kgo.Record{Topic: "t", Value: []byte{byte(i)}, Timestamp: time.UnixMilli(now - ago)}
		if err := p.ProduceSync(ctx, rec).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	check := func(name string, list kadm.ListedOffsets, err error, want ...int64) {
		t.Helper()
		for i, w := range want {
			if o, ok := list.Lookup("t", int32(i)); err != nil || !ok || o.Err != nil || o.Offset != w {
				t.Errorf("%s/%d: %+v %v, want %d", name, i, o, err, w)
			}
		}
	}
	list, err := adm.ListStartOffsets(ctx, "t")
	check("start", list, err, 0, 0)
	list, err = adm.ListEndOffsets(ctx, "t")
	check("end", list, err, 4, 0)
	list, err = adm.ListCommittedOffsets(ctx, "t")
	check("committed", list, err, 4, 0)
	list, err = adm.ListOffsetsAfterMilli(ctx, now-4000, "t")
	check("after", list, err, 1, 0)
	list, err = adm.ListMaxTimestampOffsets(ctx, "t")
	check("max timestamp", list, err, 1, -1)

	cut := make(kadm.Offsets)
	cut.AddOffset("t", 0, 3, -1)
	gone, err := adm.DeleteRecords(ctx, cut)
	if d := gone["t"][0]; err != nil || d.Err != nil || d.LowWatermark != 3 {
		t.Errorf("%+v %v", gone, err)
	}
	list, err = adm.ListStartOffsets(ctx, "t")
	check("start after deletion", list, err, 3, 0)
	cut.AddOffset("t", 0, 99, -1)
	if gone, err = adm.DeleteRecords(ctx, cut); err != nil || !errors.Is(gone["t"][0].Err, kerr.OffsetOutOfRange) {
		t.Errorf("%+v %v", gone, err)
	}
}

// Every special timestamp, where the version has it.
func TestListOffsetsVersions(t *testing.T) {
	b := start(t, kafka.Limits{})
	b.topic(t, "t", 1, nil)
	r := b.raw(t)
	r.put("t", 0, "a", "b")
	for version := int16(1); version <= 11; version++ {
		for ts, since := range map[int64]int16{-1: 1, -2: 1, -3: 7, -4: 8, -5: 9, -6: 11, -7: 99} {
			req := kmsg.NewPtrListOffsetsRequest()
			req.Version, req.ReplicaID = version, -1
			topic := kmsg.NewListOffsetsRequestTopic()
			topic.Topic = "t"
			p := kmsg.NewListOffsetsRequestTopicPartition()
			p.Timestamp, p.CurrentLeaderEpoch = ts, -1
			topic.Partitions = append(topic.Partitions, p)
			req.Topics = append(req.Topics, topic)
			got := r.ask(req).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]
			if version < since {
				wantCode(t, got.ErrorCode, kerr.UnsupportedVersion)
				continue
			}
			wantCode(t, got.ErrorCode, nil)
			if want := map[int64]int64{-1: 2, -2: 0, -4: 0, -5: -1, -6: -1}[ts]; ts != -3 && got.Offset != want {
				t.Errorf("version %d, timestamp %d: offset %d, want %d", version, ts, got.Offset, want)
			}
		}
	}
}

func TestDescribeTopicPartitions(t *testing.T) {
	b := start(t, kafka.Limits{})
	b.topic(t, "a", 3, nil)
	b.topic(t, "b", 2, nil)
	r := b.raw(t)
	req := kmsg.NewPtrDescribeTopicPartitionsRequest()
	req.ResponsePartitionLimit = 2
	var seen []string
	for range 10 {
		resp := r.ask(req).(*kmsg.DescribeTopicPartitionsResponse)
		for _, topic := range resp.Topics {
			wantCode(t, topic.ErrorCode, nil)
			seen = append(seen, *topic.Topic+strings.Repeat("+", len(topic.Partitions)))
		}
		if resp.NextCursor == nil {
			break
		}
		next := kmsg.NewDescribeTopicPartitionsRequestCursor()
		next.Topic, next.Partition = resp.NextCursor.Topic, resp.NextCursor.Partition
		req.Cursor = &next
	}
	if got := strings.Join(seen, " "); got != "a++ a+ b+ b+" {
		t.Errorf("pages %s", got)
	}
	cluster := kmsg.NewPtrDescribeClusterRequest()
	cluster.Version, cluster.EndpointType = 2, 1
	got := r.ask(cluster).(*kmsg.DescribeClusterResponse)
	if len(got.Brokers) != 1 || got.ErrorCode != 0 || got.ControllerID != 1 {
		t.Errorf("%+v", got)
	}
	cluster.EndpointType = 2
	wantCode(t, r.ask(cluster).(*kmsg.DescribeClusterResponse).ErrorCode, kerr.MismatchedEndpointType)
}

// Topics are made on first use by those who ask for it, unless the node says
// no; a request for all topics makes none.
func TestAutoCreate(t *testing.T) {
	for _, allowed := range []bool{true, false} {
		b := start(t, kafka.Limits{}, servertest.WithConfig(func(c *config.Config) { c.AutoCreateTopics = allowed }))
		r := b.raw(t)
		ask := func(version int16, create bool, name string) int16 {
			req := kmsg.NewPtrMetadataRequest()
			req.Version, req.AllowAutoTopicCreation = version, create
			topic := kmsg.NewMetadataRequestTopic()
			topic.Topic = kmsg.StringPtr(name)
			req.Topics = append(req.Topics, topic)
			return r.ask(req).(*kmsg.MetadataResponse).Topics[0].ErrorCode
		}
		missing := kerr.UnknownTopicOrPartition
		wantCode(t, ask(9, false, "asked"), missing)
		if allowed {
			missing = nil
		}
		wantCode(t, ask(9, true, "flag"), missing)
		wantCode(t, ask(1, false, "old"), missing)
		wantCode(t, ask(9, true, "__own"), kerr.UnknownTopicOrPartition)
		wantCode(t, ask(9, true, "a b"), kerr.InvalidTopicException)
	}
}

// OffsetForLeaderEpoch tells where an epoch ended, across a restart's new
// epoch.
func TestLeaderEpochEnds(t *testing.T) {
	b := start(t, kafka.Limits{})
	b.topic(t, "t", 1, nil)
	r := b.raw(t)
	r.put("t", 0, "a", "b")
	epoch := b.epoch(t, "t", 0)
	for _, tt := range []struct {
		asked, epoch int32
		end          int64
	}{{epoch, epoch, 2}, {epoch + 1, -1, -1}} {
		req := kmsg.NewPtrOffsetForLeaderEpochRequest()
		req.Version, req.ReplicaID = 4, -1
		topic := kmsg.NewOffsetForLeaderEpochRequestTopic()
		topic.Topic = "t"
		p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
		p.CurrentLeaderEpoch, p.LeaderEpoch = -1, tt.asked
		topic.Partitions = append(topic.Partitions, p)
		req.Topics = append(req.Topics, topic)
		got := r.ask(req).(*kmsg.OffsetForLeaderEpochResponse).Topics[0].Partitions[0]
		wantCode(t, got.ErrorCode, nil)
		if got.LeaderEpoch != tt.epoch || got.EndOffset != tt.end {
			t.Errorf("epoch %d: %+v, want %d, %d", tt.asked, got, tt.epoch, tt.end)
		}
	}
}

// What HTTP writes beside the records does not trouble a Kafka consumer: the
// idempotency header is a header, a fence's control batch is skipped.
func TestHTTPsOwnRecords(t *testing.T) {
	b := start(t, kafka.Limits{})
	b.topic(t, "t", 1, nil)
	ctx := within(t, 20*time.Second)
	b.put(t, "t", "first", "key-1")
	if _, err := b.Broker.SetFence(ctx, "t", 0, "token", nil); err != nil {
		t.Fatal(err)
	}
	token := "token"
	b.putFenced(t, "t", "second", &token)
	got := b.consume(t, "t", 2)
	if string(got[0].Value) != "first" || got[0].Offset != 0 || string(got[1].Value) != "second" || got[1].Offset != 2 {
		t.Errorf("%q at %d, %q at %d", got[0].Value, got[0].Offset, got[1].Value, got[1].Offset)
	}
	ends, err := b.admin(t).ListEndOffsets(ctx, "t")
	if o, _ := ends.Lookup("t", 0); err != nil || o.Offset != 3 {
		t.Errorf("end %+v %v", o, err)
	}
}
