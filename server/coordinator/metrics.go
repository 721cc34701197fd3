package coordinator

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chroniklog/chronik/server/group"
	"github.com/chroniklog/chronik/server/partition"
)

// Bounds of what a scrape shows, and asks for.
const (
	// maxMetricGroups bounds the groups, by name, that have series of their own.
	maxMetricGroups = 1000
	// maxMetricPartitions bounds the partitions whose lag is shown.
	maxMetricPartitions = 10_000
	// lagAsks bounds the partitions that are asked at once for their ends, and
	// lagWait the time that all of them have.
	lagAsks = 16
	lagWait = time.Second
	// lagEvery is how long ends that were asked for serve further scrapes.
	lagEvery = 5 * time.Second
)

// Ends tells where partitions end, whoever leads them; *server.Broker does.
type Ends interface {
	Offsets(ctx context.Context, topic string, p int32) (partition.Offsets, error)
}

// Collector shows the groups that this node coordinates as metrics. A group is
// shown by one node, its coordinator, once its log has been read there. Of more
// than 1,000 groups and 10,000 partitions the first by name are shown.
type Collector struct {
	c    *Coordinator
	ends Ends

	groups, members, generation, rebalances, lag, left *prometheus.Desc

	mu    sync.Mutex
	asked time.Time
	known map[group.TopicPartition]*partition.Offsets // nil: asked for in vain
}

// NewCollector makes the collector of a coordinator's groups.
func NewCollector(c *Coordinator, ends Ends) *Collector {
	d := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("chronik_group_"+name, help, labels, nil)
	}
	return &Collector{
		c: c, ends: ends,
		groups: prometheus.NewDesc("chronik_groups",
			"Consumer groups that this node coordinates, by protocol and state.", []string{"protocol", "state"}, nil),
		members:    d("members", "Members of a consumer group.", "group"),
		generation: d("generation", "A consumer group's generation, or its epoch.", "group"),
		rebalances: d("rebalances_total",
			"Generations that a consumer group has begun since this node coordinates it.", "group"),
		lag: d("lag", "Records that a consumer group has not committed yet, up to the high watermark.",
			"group", "topic", "partition"),
		left: d("series_left_out", "Groups and partitions that have no series of their own, beyond their bound.", "of"),
	}
}

// Describe implements prometheus.Collector.
func (m *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.groups, m.members, m.generation, m.rebalances, m.lag, m.left} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m *Collector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	snap := m.c.snapshot(maxMetricGroups, maxMetricPartitions)
	for k, n := range snap.counts {
		gauge(m.groups, float64(n), k.protocol, k.state.String())
	}
	gauge(m.left, float64(snap.groupsLeft), "groups")
	for i := range snap.shown {
		g := &snap.shown[i]
		gauge(m.members, float64(g.members), g.id)
		gauge(m.generation, float64(g.generation), g.id)
		ch <- prometheus.MustNewConstMetric(m.rebalances, prometheus.CounterValue, float64(g.rebalances), g.id)
	}
	lags := m.lags(snap.shown)
	gauge(m.left, float64(snap.partitionsLeft), "partitions")
	for _, l := range lags {
		gauge(m.lag, float64(l.lag), l.group, l.tp.Topic, decimal(l.tp.Partition))
	}
}
