package coordinator_test

import (
	"errors"
	"testing"
	"time"

	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/coordinator"
	"github.com/chroniklog/chronik/server/group"
	"github.com/chroniklog/chronik/server/servertest"
)

// A new coordinator, which has only the log, finds every member of a group of
// the consumer protocol, the first one too, in its epoch; and a group that was
// deleted, or became a classic one, is none.
func TestConsumerGroupsAreReplayed(t *testing.T) {
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
	if _, err := n.Broker.CreateTopic(ctx, server.TopicSpec{Name: "t", Partitions: 2}); err != nil {
		t.Fatal(err)
	}
	epochs := make(map[string]int32)
	beat := func(id string, e group.ConsumerHeartbeat) {
		t.Helper()
		r, err := c.ConsumerHeartbeat(ctx, id, e)
		if err != nil {
			t.Fatalf("%s in %s: %v", e.MemberID, id, err)
		}
		epochs[id+e.MemberID] = r.Generation
	}
	for _, id := range []string{"g", "deleted", "classic"} {
		beat(id, consumerJoin("first", "t"))
	}
	beat("g", consumerJoin("second", "t"))
	for _, id := range []string{"deleted", "classic"} {
		beat(id, group.ConsumerHeartbeat{MemberID: "first", Epoch: group.LeaveEpoch, Rebalance: -1})
	}
	if err := c.Delete(ctx, "deleted"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Join(ctx, "classic", group.Join{
		NewID: "m", ProtocolType: "consumer", Session: 20 * time.Second, Rebalance: 20 * time.Second,
		Protocols: []group.Protocol{{Name: "range"}},
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Sync(ctx, "classic", group.Sync{MemberID: "m", Generation: 1}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		c.Close()
		c = open()
		md, err := c.Describe(ctx, "g")
		if err != nil || md.Consumer == nil || len(md.Members) != 2 {
			t.Fatalf("%+v %v", md, err)
		}
		for _, m := range []string{"first", "second"} {
			beat("g", group.ConsumerHeartbeat{MemberID: m, Epoch: epochs["g"+m], Rebalance: -1})
		}
		if md, err := c.Describe(ctx, "deleted"); !errors.Is(err, group.ErrUnknownGroup) {
			t.Errorf("deleted: %+v %v", md, err)
		}
		if md, err := c.Describe(ctx, "classic"); err != nil || md.Consumer != nil || len(md.Members) != 1 {
			t.Errorf("classic: %+v %v", md, err)
		}
	}
}
