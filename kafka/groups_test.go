package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/chroniklog/chronik/kafka"
	"github.com/chroniklog/chronik/server/coordinator"
)

// Members that come and go read every record, and none twice that was
// committed.
func TestGroupSharesPartitions(t *testing.T) {
	b := start(t, kafka.Limits{})
	b.topic(t, "t", 6, nil)
	const records = 600
	p := b.client(t, kgo.DefaultProduceTopic("t"), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	ctx := within(t, 60*time.Second)
	var mu sync.Mutex
	seen := make(map[string]int)
	members := make(map[string]bool)
	var wg sync.WaitGroup
	done, finish := context.WithCancel(ctx)
	defer finish()
	for i := range 3 {
		c := b.client(t, kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"), kgo.ClientID(fmt.Sprint("m", i)),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
			kgo.HeartbeatInterval(100*time.Millisecond))
		wg.Go(func() {
			for done.Err() == nil {
				fetches := c.PollFetches(done)
				mu.Lock()
				fetches.EachRecord(func(r *kgo.Record) {
					seen[string(r.Value)]++
					members[fmt.Sprint(i)] = true
				})
				all := len(seen) == records
				mu.Unlock()
				if err := c.CommitUncommittedOffsets(done); err != nil && done.Err() == nil {
					t.Errorf("commit: %v", err)
				}
				c.AllowRebalance()
				if all {
					finish()
				}
			}
		})
	}
	for i := range records {
		if err := p.ProduceSync(ctx, kgo.StringRecord(fmt.Sprint(i))).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	if len(seen) != records {
		t.Fatalf("%d of %d records", len(seen), records)
	}
	for v, n := range seen {
		if n != 1 {
			t.Errorf("record %s was read %d times", v, n)
		}
	}
	if len(members) < 2 {
		t.Errorf("%d members had records", len(members))
	}
}

func TestOffsetsOfGroups(t *testing.T) {
	b := start(t, kafka.Limits{})
	b.topic(t, "t", 2, nil)
	ctx, adm := within(t, 30*time.Second), b.admin(t)
	commit := make(kadm.Offsets)
	commit.Add(kadm.Offset{Topic: "t", Partition: 0, At: 5, LeaderEpoch: 1, Metadata: "note"})
	commit.AddOffset("t", 1, 7, -1)
	commit.AddOffset("nowhere", 0, 7, -1)
	done, err := adm.CommitOffsets(ctx, "g", commit)
	if err != nil || done["t"][0].Err != nil || !errors.Is(done["nowhere"][0].Err, kerr.UnknownTopicOrPartition) {
		t.Fatalf("%+v %v", done, err)
	}
	check := func() {
		t.Helper()
		got, err := adm.FetchOffsets(ctx, "g")
		o, _ := got.Lookup("t", 0)
		if err != nil || o.At != 5 || o.LeaderEpoch != 1 || o.Metadata != "note" {
			t.Errorf("%+v %v", got, err)
		}
		if o, _ = got.Lookup("t", 1); o.At != 7 {
			t.Errorf("%+v", got)
		}
	}
	check()
	list, err := adm.ListGroups(ctx)
	if err != nil || len(list) != 1 || list["g"].State != "Empty" {
		t.Errorf("%+v %v", list, err)
	}
	gone, err := adm.DeleteOffsets(ctx, "g", kadm.TopicsSet{"t": {0: {}}})
	if err != nil || gone.Error() != nil {
		t.Errorf("%+v %v", gone, err)
	}
	if got, err := adm.FetchOffsets(ctx, "g"); err != nil || len(got["t"]) != 1 {
		t.Errorf("%+v %v", got, err)
	}
	deleted, err := adm.DeleteGroups(ctx, "g", "none")
	if err != nil || deleted["g"].Err != nil || !errors.Is(deleted["none"].Err, kerr.GroupIDNotFound) {
		t.Errorf("%+v %v", deleted, err)
	}
	if got, err := adm.FetchOffsets(ctx, "g"); err != nil || len(got) != 0 {
		t.Errorf("after deletion: %+v %v", got, err)
	}
}

// The answers to those who are no members, at every version.
func TestBadMembers(t *testing.T) {
	b := start(t, kafka.Limits{})
	b.topic(t, "t", 1, nil)
	r := b.raw(t)
	for v := int16(0); v <= 6; v++ {
		req := kmsg.NewPtrFindCoordinatorRequest()
		req.Version, req.CoordinatorKey, req.CoordinatorKeys = v, "g", []string{"g"}
		resp := r.ask(req).(*kmsg.FindCoordinatorResponse)
		if v >= 4 {
			resp.NodeID, resp.ErrorCode = resp.Coordinators[0].NodeID, resp.Coordinators[0].ErrorCode
		}
		if wantCode(t, resp.ErrorCode, nil); resp.NodeID != 1 {
			t.Errorf("version %d: coordinator %d", v, resp.NodeID)
		}
	}
	for v := int16(0); v <= 9; v++ {
		join := kmsg.NewPtrJoinGroupRequest()
		join.Version, join.Group, join.ProtocolType, join.SessionTimeoutMillis = v, "g", "consumer", 10_000
		join.RebalanceTimeoutMillis, join.MemberID = 10_000, "stranger"
		proto := kmsg.NewJoinGroupRequestProtocol()
		proto.Name = "range"
		join.Protocols = append(join.Protocols, proto)
		wantCode(t, r.ask(join).(*kmsg.JoinGroupResponse).ErrorCode, kerr.UnknownMemberID)
		join.MemberID, join.SessionTimeoutMillis = "", 0
		wantCode(t, r.ask(join).(*kmsg.JoinGroupResponse).ErrorCode, kerr.InvalidSessionTimeout)
		join.Group = ""
		wantCode(t, r.ask(join).(*kmsg.JoinGroupResponse).ErrorCode, kerr.InvalidGroupID)
		if v >= 4 {
			join.Group, join.SessionTimeoutMillis = "g", 10_000
			first := r.ask(join).(*kmsg.JoinGroupResponse)
			if wantCode(t, first.ErrorCode, kerr.MemberIDRequired); first.MemberID == "" {
				t.Error("no member id was given")
			}
		}
	}
	beat := kmsg.NewPtrHeartbeatRequest()
	beat.Version, beat.Group, beat.MemberID, beat.Generation = 4, "g", "stranger", 1
	wantCode(t, r.ask(beat).(*kmsg.HeartbeatResponse).ErrorCode, kerr.UnknownMemberID)
	for v := int16(2); v <= 9; v++ {
		commit := kmsg.NewPtrOffsetCommitRequest()
		commit.Version, commit.Group, commit.Generation, commit.MemberID = v, "g2", 3, "stranger"
		topic := kmsg.NewOffsetCommitRequestTopic()
		topic.Topic = "t"
		topic.Partitions = append(topic.Partitions, kmsg.NewOffsetCommitRequestTopicPartition())
		commit.Topics = append(commit.Topics, topic)
		code := r.ask(commit).(*kmsg.OffsetCommitResponse).Topics[0].Partitions[0].ErrorCode
		wantCode(t, code, kerr.IllegalGeneration)
	}
	wantCode(t, produced(r.ask(produceTo(9, coordinator.Topic, 0, batch(0, "x")))).ErrorCode, kerr.InvalidTopicException)
}
