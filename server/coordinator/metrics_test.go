package coordinator_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/coordinator"
	"github.com/chroniklog/chronik/server/group"
	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/server/servertest"
)

// ends are partitions of 0 to 100, but for those of topic "lost".
type ends struct{}

func (ends) Offsets(_ context.Context, topic string, _ int32) (partition.Offsets, error) {
	if topic == "lost" {
		return partition.Offsets{}, context.DeadlineExceeded
	}
	return partition.Offsets{LogStart: 10, HighWatermark: 100}, nil
}

// The coordinator shows its groups: members, generations and what is left to
// read, up to a bound.
func TestGroupMetrics(t *testing.T) {
	n := servertest.Start(t, servertest.Unchecked())
	ctx := within(t, 60*time.Second)
	now := time.Now()
	c := coordinator.New(coordinator.Options{
		Topics: n.Broker, Logs: n.Broker.LedLogs(), Node: 1, Now: func() time.Time { return now }, Partitions: 2,
		Group: group.Config{InitialDelay: -1},
	})
	t.Cleanup(c.Close)
	if _, err := c.Find(ctx, "g"); err != nil {
		t.Fatal(err)
	}
	commit := func(who coordinator.Committer, topic string, parts ...int64) {
		t.Helper()
		offsets := make(map[group.TopicPartition]group.Commit)
		for p, at := range parts {
			offsets[group.TopicPartition{Topic: topic, Partition: int32(p)}] = group.Commit{Offset: at}
		}
		if err := c.Commit(ctx, who, offsets); err != nil {
			t.Fatal(err)
		}
	}
	r, err := c.ConsumerHeartbeat(ctx, "busy", consumerJoin("m", "t"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err = c.ConsumerHeartbeat(ctx, "busy", consumerJoin("n", "t")); err != nil {
		t.Fatal(err)
	}
	commit(coordinator.Committer{Group: "busy", MemberID: "m", Generation: r.Generation}, "t", 40, 4, 120)
	commit(coordinator.Committer{Group: "idle", Generation: -1}, "lost", 1)
	m := coordinator.NewCollector(c, ends{})
	want := `
# HELP chronik_group_lag Records that a consumer group has not committed yet, up to the high watermark.
# TYPE chronik_group_lag gauge
chronik_group_lag{group="busy",partition="0",topic="t"} 60
chronik_group_lag{group="busy",partition="1",topic="t"} 90
chronik_group_lag{group="busy",partition="2",topic="t"} 0
# HELP chronik_group_members Members of a consumer group.
# TYPE chronik_group_members gauge
chronik_group_members{group="busy"} 2
chronik_group_members{group="idle"} 0
# HELP chronik_group_rebalances_total Generations that a consumer group has begun since this node coordinates it.
# TYPE chronik_group_rebalances_total counter
chronik_group_rebalances_total{group="busy"} 2
chronik_group_rebalances_total{group="idle"} 0
# HELP chronik_group_series_left_out Groups and partitions that have no series of their own, beyond their bound.
# TYPE chronik_group_series_left_out gauge
chronik_group_series_left_out{of="groups"} 0
chronik_group_series_left_out{of="partitions"} 0
# HELP chronik_groups Consumer groups that this node coordinates, by protocol and state.
# TYPE chronik_groups gauge
chronik_groups{protocol="classic",state="Empty"} 1
chronik_groups{protocol="consumer",state="Reconciling"} 1
`
	names := []string{
		"chronik_group_lag", "chronik_group_members", "chronik_group_rebalances_total", "chronik_group_series_left_out",
		"chronik_groups",
	}
	if err := testutil.CollectAndCompare(m, strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
	for i := range 1001 {
		commit(coordinator.Committer{Group: fmt.Sprintf("many-%04d", i), Generation: -1}, "t", make([]int64, 11)...)
	}
	r2 := prometheus.NewPedanticRegistry()
	r2.MustRegister(m)
	for name, want := range map[string]int{"chronik_group_members": 1000, "chronik_group_lag": 9999} {
		if got, err := testutil.GatherAndCount(r2, name); err != nil || got != want {
			t.Errorf("%d series of %s, want %d: %v", got, name, want, err)
		}
	}
	left := `
# HELP chronik_group_series_left_out Groups and partitions that have no series of their own, beyond their bound.
# TYPE chronik_group_series_left_out gauge
chronik_group_series_left_out{of="groups"} 3
chronik_group_series_left_out{of="partitions"} 982
`
	if err := testutil.CollectAndCompare(m, strings.NewReader(left), "chronik_group_series_left_out"); err != nil {
		t.Error(err)
	}
}

// A group that is deleted, and a topic that is, have no series any more.
func TestGroupMetricsVanish(t *testing.T) {
	n := servertest.Start(t, servertest.Unchecked())
	ctx := within(t, 60*time.Second)
	c := coordinator.New(coordinator.Options{
		Topics: n.Broker, Logs: n.Broker.LedLogs(), Node: 1, Now: time.Now, Partitions: 1,
		Group: group.Config{InitialDelay: -1},
	})
	t.Cleanup(c.Close)
	if _, err := c.Find(ctx, "g"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"kept", "gone"} {
		if _, err := n.Broker.CreateTopic(ctx, server.TopicSpec{Name: name, Partitions: 2}); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{"stays", "goes"} {
		err := c.Commit(ctx, coordinator.Committer{Group: id, Generation: -1}, map[group.TopicPartition]group.Commit{
			{Topic: "kept", Partition: 1}: {Offset: 1}, {Topic: "gone", Partition: 1}: {Offset: 1},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	m := coordinator.NewCollector(c, ends{})
	if got := testutil.CollectAndCount(m, "chronik_group_lag"); got != 4 {
		t.Fatalf("%d lags are shown, want 4", got)
	}
	if err := c.Delete(ctx, "goes"); err != nil {
		t.Fatal(err)
	}
	if err := n.Broker.DeleteTopic(ctx, "gone"); err != nil {
		t.Fatal(err)
	}
	awaitOffsets(ctx, t, c, "stays", "kept")
	want := `
# HELP chronik_group_lag Records that a consumer group has not committed yet, up to the high watermark.
# TYPE chronik_group_lag gauge
chronik_group_lag{group="stays",partition="1",topic="kept"} 90
# HELP chronik_group_members Members of a consumer group.
# TYPE chronik_group_members gauge
chronik_group_members{group="stays"} 0
`
	if err := testutil.CollectAndCompare(m, strings.NewReader(want), "chronik_group_lag", "chronik_group_members"); err != nil {
		t.Error(err)
	}
}
