package coordinator_test

import (
	"context"
	"testing"
	"time"

	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/coordinator"
	"github.com/chroniklog/chronik/server/group"
	"github.com/chroniklog/chronik/server/servertest"
)

// consumerJoin is what a member of the consumer protocol says first.
func consumerJoin(id string, topics ...string) group.ConsumerHeartbeat {
	return group.ConsumerHeartbeat{
		MemberID: id, Rebalance: time.Minute, Names: topics, Owned: []group.PartitionID{}, Said: true,
	}
}

// The offsets of a deleted topic go, in groups of either protocol, with members
// and without; those of a topic of the same name that came after it stay, and
// so do those of topics that nobody knows. The next coordinator finds the same.
func TestOffsetsOfDeletedTopics(t *testing.T) {
	n := servertest.Start(t, servertest.Unchecked())
	ctx := within(t, 60*time.Second)
	open := func() *coordinator.Coordinator {
		c := coordinator.New(coordinator.Options{
			Topics: n.Broker, Logs: n.Broker.LedLogs(), Node: 1, Now: time.Now, Partitions: 1,
			Group: group.Config{InitialDelay: -1},
		})
		t.Cleanup(c.Close)
		if _, err := c.Find(ctx, "g"); err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := open()
	create := func(names ...string) {
		t.Helper()
		for _, name := range names {
			if _, err := n.Broker.CreateTopic(ctx, server.TopicSpec{Name: name, Partitions: 2}); err != nil {
				t.Fatal(err)
			}
		}
	}
	create("gone", "again", "kept")
	if _, err := c.Join(ctx, "classic", group.Join{
		NewID: "m", ProtocolType: "consumer", Session: 20 * time.Second, Rebalance: 20 * time.Second,
		Protocols: []group.Protocol{{Name: "range"}},
	}); err != nil {
		t.Fatal(err)
	}
	r, err := c.ConsumerHeartbeat(ctx, "consumer", consumerJoin("m", "gone", "again", "kept"))
	if err != nil {
		t.Fatal(err)
	}
	whose := []coordinator.Committer{
		{Group: "empty", Generation: -1},
		{Group: "classic", MemberID: "m", Generation: 1},
		{Group: "consumer", MemberID: "m", Generation: r.Generation},
	}
	commit := func(who coordinator.Committer, topics ...string) {
		t.Helper()
		offsets := make(map[group.TopicPartition]group.Commit)
		for _, name := range topics {
			offsets[group.TopicPartition{Topic: name, Partition: 1}] = group.Commit{Offset: 3}
		}
		if err := c.Commit(ctx, who, offsets); err != nil {
			t.Fatalf("%s: %v", who.Group, err)
		}
	}
	if _, err := c.Sync(ctx, "classic", group.Sync{MemberID: "m", Generation: 1}); err != nil {
		t.Fatal(err)
	}
	for _, who := range whose {
		commit(who, "gone", "again", "kept", "never")
	}
	for _, name := range []string{"gone", "again"} {
		if err := n.Broker.DeleteTopic(ctx, name); err != nil {
			t.Fatal(err)
		}
	}
	create("again")
	for _, who := range whose {
		awaitOffsets(ctx, t, c, who.Group, "kept", "never")
	}
	commit(whose[0], "again")
	c.Close()
	c = open()
	awaitOffsets(ctx, t, c, "empty", "again", "kept", "never")
	awaitOffsets(ctx, t, c, "classic", "kept", "never")
	awaitOffsets(ctx, t, c, "consumer", "kept", "never")
}

// awaitOffsets waits until the group has offsets of these topics alone.
func awaitOffsets(ctx context.Context, t *testing.T, c *coordinator.Coordinator, id string, topics ...string) {
	t.Helper()
	for {
		all, err := c.Offsets(ctx, id)
		if err != nil {
			t.Fatalf("%s: %v", id, err)
		}
		same := len(all) == len(topics)
		for _, name := range topics {
			_, has := all[group.TopicPartition{Topic: name, Partition: 1}]
			same = same && has
		}
		if same {
			return
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("%s has offsets of %v, want %v", id, all, topics)
		}
	}
}
