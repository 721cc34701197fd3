package kafka_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/chroniklog/chronik/kafka"
)

// consumer makes a franz-go member of a group of the consumer protocol.
func (b *broker) consumer(t *testing.T, group string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	return b.client(t, append([]kgo.Opt{
		kgo.ConsumerGroup(group), kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
	}, opts...)...)
}

// A member joins, reads, commits and leaves; the next goes on where it stopped.
func TestConsumerGroup(t *testing.T) {
	b := start(t, kafka.Limits{})
	b.topic(t, "t", 3, nil)
	ctx, adm := within(t, 30*time.Second), b.admin(t)
	p := b.client(t, kgo.DefaultProduceTopic("t"), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	read := func(c *kgo.Client, n int) (values []string) {
		for len(values) < n {
			fetches := c.PollFetches(ctx)
			if err := fetches.Err(); err != nil {
				t.Fatal(err)
			}
			fetches.EachRecord(func(r *kgo.Record) { values = append(values, string(r.Value)) })
			if err := c.CommitUncommittedOffsets(ctx); err != nil {
				t.Fatal(err)
			}
			c.AllowRebalance()
		}
		return values
	}
	for round := range 2 {
		for i := range 30 {
			if err := p.ProduceSync(ctx, kgo.StringRecord(fmt.Sprint(round, i))).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		c := b.consumer(t, "g", kgo.ConsumeTopics("t"))
		seen := make(map[string]bool)
		for _, v := range read(c, 30) {
			if seen[v] || v[:1] != fmt.Sprint(round) {
				t.Errorf("round %d: read %q", round, v)
			}
			seen[v] = true
		}
		list, err := adm.ListGroups(ctx)
		if err != nil || len(list) != 1 || list["g"].State != "Stable" {
			t.Errorf("%+v %v", list, err)
		}
		c.Close()
		list, err = adm.ListGroups(ctx)
		if err != nil || list["g"].State != "Empty" {
			t.Errorf("%+v %v", list, err)
		}
	}
}

// Members that come and go read every record, and none twice that was
// committed.
func TestConsumersSharePartitions(t *testing.T) {
	b := start(t, kafka.Limits{})
	b.topic(t, "t", 6, nil)
	const records = 600
	p := b.client(t, kgo.DefaultProduceTopic("t"), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	ctx := within(t, 60*time.Second)
	var mu sync.Mutex
	seen, members := make(map[string]int), make(map[int]bool)
	var wg sync.WaitGroup
	done, finish := context.WithCancel(ctx)
	defer finish()
	for i := range 3 {
		c := b.consumer(t, "g", kgo.ConsumeTopics("t"))
		wg.Go(func() {
			for done.Err() == nil {
				fetches := c.PollFetches(done)
				mu.Lock()
				fetches.EachRecord(func(r *kgo.Record) {
					seen[string(r.Value)]++
					members[i] = true
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
