package coordinator

import (
	"cmp"
	"context"
	"slices"
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

// groupMetrics is what is shown of a group.
type groupMetrics struct {
	id, protocol string
	state        group.State
	members      int
	generation   int32
	rebalances   uint64
	offsets      map[group.TopicPartition]int64
}

// snapshot is what is to be shown of the groups, by name.
func (c *Coordinator) snapshot() (list []groupMetrics) {
	c.mu.Lock()
	shards := make([]*shard, 0, len(c.shards))
	for _, s := range c.shards {
		shards = append(shards, s)
	}
	c.mu.Unlock()
	for _, s := range shards {
		select {
		case <-s.loaded:
		default:
			continue
		}
		if s.failed != nil || s.isGone() {
			continue
		}
		list = s.appendMetrics(list)
	}
	slices.SortFunc(list, func(a, b groupMetrics) int { return cmp.Compare(a.id, b.id) })
	return list
}

func (s *shard) appendMetrics(list []groupMetrics) []groupMetrics {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, e := range s.groups {
		g := groupMetrics{
			id: id, protocol: "classic", state: e.g.State(), members: e.g.Size(), generation: e.g.Generation(),
			rebalances: e.rebalances, offsets: make(map[group.TopicPartition]int64, len(e.offsets)),
		}
		if _, consumer := e.g.(*group.ConsumerGroup); consumer {
			g.protocol = "consumer"
		}
		for tp, k := range e.offsets {
			g.offsets[tp] = k.Offset
		}
		list = append(list, g)
	}
	return list
}

// Collect implements prometheus.Collector.
func (m *Collector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	list := m.c.snapshot()
	type kind struct{ protocol, state string }
	counts := make(map[kind]int)
	for i := range list {
		counts[kind{list[i].protocol, list[i].state.String()}]++
	}
	for k, n := range counts {
		gauge(m.groups, float64(n), k.protocol, k.state)
	}
	shown := list[:min(len(list), maxMetricGroups)]
	gauge(m.left, float64(len(list)-len(shown)), "groups")
	for i := range shown {
		g := &shown[i]
		gauge(m.members, float64(g.members), g.id)
		gauge(m.generation, float64(g.generation), g.id)
		ch <- prometheus.MustNewConstMetric(m.rebalances, prometheus.CounterValue, float64(g.rebalances), g.id)
	}
	lags, left := m.lags(shown)
	gauge(m.left, float64(left), "partitions")
	for _, l := range lags {
		gauge(m.lag, float64(l.lag), l.group, l.tp.Topic, decimal(l.tp.Partition))
	}
}
