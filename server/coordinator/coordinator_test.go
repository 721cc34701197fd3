package coordinator_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/chroniklog/chronik/server/coordinator"
	"github.com/chroniklog/chronik/server/group"
	"github.com/chroniklog/chronik/server/servertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// within bounds a test's waits.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// A new coordinator, which has only the log, goes on where the last one ended:
// offsets, deletions and the generation of a group with members.
func TestCoordinatorReplays(t *testing.T) {
	n := servertest.Start(t, servertest.Unchecked())
	ctx := within(t, 60*time.Second)
	open := func() *coordinator.Coordinator {
		c := coordinator.New(coordinator.Options{
			Topics: n.Broker, Logs: n.Broker.LedLogs(), Node: 1, Now: time.Now, Partitions: 2,
			Group: group.Config{InitialDelay: -1},
		})
		t.Cleanup(c.Close)
		return c
	}
	c := open()
	if _, err := c.Find(ctx, "g"); err != nil {
		t.Fatal(err)
	}
	join := group.Join{
		NewID: "m", ProtocolType: "consumer", Session: 20 * time.Second, Rebalance: 20 * time.Second,
		Protocols: []group.Protocol{{Name: "range", Metadata: []byte("s")}},
	}
	joined, err := c.Join(ctx, "g", join)
	if err != nil {
		t.Fatal(err)
	}
	sync, err := c.Sync(ctx, "g", group.Sync{
		MemberID: "m", Generation: joined.Generation, Assignments: map[string][]byte{"m": []byte("a")},
	})
	if err != nil || string(sync.Assignment) != "a" {
		t.Fatalf("%+v %v", sync, err)
	}
	tp := func(p int32) group.TopicPartition { return group.TopicPartition{Topic: "t", Partition: p} }
	for i := range int64(20) {
		who := coordinator.Committer{Group: "g", MemberID: "m", Generation: joined.Generation}
		both := map[group.TopicPartition]group.Commit{tp(0): {Offset: i}, tp(1): {Offset: 2 * i}}
		if err := c.Commit(ctx, who, both); err != nil {
			t.Fatal(err)
		}
		if err := c.Commit(ctx, coordinator.Committer{Group: "gone", Generation: -1},
			map[group.TopicPartition]group.Commit{tp(0): {Offset: i}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Delete(ctx, "gone"); err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(ctx, "g"); !errors.Is(err, group.ErrNotEmpty) {
		t.Errorf("a group with members was deleted: %v", err)
	}
	c.Close()
	if _, err := c.Describe(ctx, "g"); !errors.Is(err, coordinator.ErrUnavailable) {
		t.Errorf("a closed coordinator: %v", err)
	}
	for _, restart := range []bool{false, true} {
		if restart {
			n.Kill()
			n.Restart()
		}
		c := open()
		if _, err := c.Find(ctx, "g"); err != nil {
			t.Fatal(err)
		}
		offsets, err := c.Offsets(ctx, "g")
		if err != nil || offsets[tp(0)].Offset != 19 || offsets[tp(1)].Offset != 38 {
			t.Errorf("%+v %v", offsets, err)
		}
		if offsets, err := c.Offsets(ctx, "gone"); err != nil || len(offsets) != 0 {
			t.Errorf("deleted: %+v %v", offsets, err)
		}
		beat := group.Heartbeat{MemberID: "m", Generation: joined.Generation}
		if _, err := c.Heartbeat(ctx, "g", beat); err != nil {
			t.Errorf("the member is not known: %v", err)
		}
		list, err := c.List(ctx)
		if err != nil || len(list) != 1 || list[0].State != group.Stable {
			t.Errorf("%+v %v", list, err)
		}
		c.Close()
	}
}

// Java's hash: s[0]*31^(n-1) + … + s[n-1], over UTF-16.
func TestPartitionOf(t *testing.T) {
	for name, hash := range map[string]int32{"": 0, "abc": 96354, "group": 98629247, "😀": 1772899} {
		if got := coordinator.PartitionOf(name, 50); got != hash%50 {
			t.Errorf("%q: %d, want %d", name, got, hash%50)
		}
	}
	if p := coordinator.PartitionOf("a group with a long name", 50); p < 0 || p >= 50 {
		t.Errorf("partition %d", p)
	}
}

// Old offsets of a group without members are forgotten, for the next
// coordinator too; young ones and those of members are kept.
func TestExpiry(t *testing.T) {
	n := servertest.Start(t, servertest.Unchecked())
	ctx := within(t, 30*time.Second)
	now := time.Now().Add(-8 * 24 * time.Hour) // the log takes no times that are to come
	open := func() *coordinator.Coordinator {
		return coordinator.New(coordinator.Options{
			Topics: n.Broker, Logs: n.Broker.LedLogs(), Node: 1, Now: func() time.Time { return now }, Partitions: 1,
			Group: group.Config{InitialDelay: -1, MaxSession: 1000 * time.Hour},
		})
	}
	c := open()
	if _, err := c.Find(ctx, "g"); err != nil {
		t.Fatal(err)
	}
	commit := func(id, topic string) {
		t.Helper()
		offsets := map[group.TopicPartition]group.Commit{{Topic: topic}: {Offset: 1}}
		if err := c.Commit(ctx, coordinator.Committer{Group: id, Generation: -1}, offsets); err != nil {
			t.Fatal(err)
		}
	}
	commit("old", "t")
	commit("both", "old")
	commit("member", "t")
	_, err := c.Join(ctx, "member", group.Join{
		NewID: "m", ProtocolType: "consumer", Session: 999 * time.Hour, Rebalance: 999 * time.Hour,
		Protocols: []group.Protocol{{Name: "range"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	c.Expire()
	left := func(id string, want int) {
		t.Helper()
		if got, err := c.Offsets(ctx, id); err != nil || len(got) != want {
			t.Errorf("%s: %v %v, want %d", id, got, err, want)
		}
	}
	left("old", 1)
	now = now.Add(8 * 24 * time.Hour)
	commit("both", "young")
	c.Expire()
	for range 2 {
		left("old", 0)
		left("both", 1)
		left("member", 1)
		if _, err := c.Describe(ctx, "old"); !errors.Is(err, group.ErrUnknownGroup) {
			t.Errorf("the group is still there: %v", err)
		}
		c.Close()
		c = open()
		if _, err := c.Find(ctx, "g"); err != nil {
			t.Fatal(err)
		}
	}
	c.Close()
}
