package telemetry

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// State is what a scrape reads from the node.
type State struct {
	Topics, Partitions, Led            int
	OfflinePartitions, UnderReplicated int
	UnderMinISR                        int // of the partitions that this node leads
	Moving                             int // partitions whose replicas are being moved
	Brokers, BrokersFenced             int
	RaftTerm, RaftCommit, RaftApplied  uint64
	RaftLast                           uint64
	RaftVoters, RaftLearners           int
	RaftLed                            bool  // a controller is known
	Controller                         bool  // this node is the controller
	LogBytes                           int64 // of all logs on this node
	DiskFree, DiskReserve              int64
	DiskFull                           bool
	PeerConnections                    int
	Ready                              bool
	Uptime                             time.Duration
	Lags                               []Lag // of the followers of partitions led here, by node
}

// Lag is how far a node is behind the partitions that this node leads and that
// it follows: the worst of them.
type Lag struct {
	Node    int32
	Records int64
	Behind  time.Duration // since it last had what this node had
}

// stateMetric is one gauge of StateCollector.
type stateMetric struct {
	desc  *prometheus.Desc
	value func(*State) float64
}

// StateCollector reads the node's state at scrape time.
type StateCollector struct {
	read                   func() State
	metrics                []stateMetric
	lagRecords, lagSeconds *prometheus.Desc
}

// NewStateCollector makes a collector over read, which must be quick and safe
// for concurrent use.
func NewStateCollector(read func() State) *StateCollector {
	c := &StateCollector{
		read: read,
		lagRecords: prometheus.NewDesc("chronik_replication_lag_records",
			"Offsets that a follower has not synced yet: of the partitions led here, the most, by follower.",
			[]string{"follower"}, nil),
		lagSeconds: prometheus.NewDesc("chronik_replication_lag_seconds",
			"Time since a follower had synced all that was there: of the partitions led here, the longest, by follower.",
			[]string{"follower"}, nil),
	}
	c.add("chronik_topics", "Topics of the cluster.", func(s *State) float64 { return float64(s.Topics) })
	c.add("chronik_partitions", "Partitions of the cluster.", func(s *State) float64 { return float64(s.Partitions) })
	c.add("chronik_partitions_led", "Partitions that this node leads.",
		func(s *State) float64 { return float64(s.Led) })
	c.add("chronik_offline_partitions", "Partitions of the cluster without a leader.",
		func(s *State) float64 { return float64(s.OfflinePartitions) })
	c.add("chronik_under_replicated_partitions", "Partitions of the cluster with a replica out of sync.",
		func(s *State) float64 { return float64(s.UnderReplicated) })
	c.add("chronik_under_min_isr_partitions",
		"Partitions led here with fewer in-sync replicas than min.insync.replicas: acks=all is refused.",
		func(s *State) float64 { return float64(s.UnderMinISR) })
	c.add("chronik_moving_partitions", "Partitions of the cluster whose replicas are being moved.",
		func(s *State) float64 { return float64(s.Moving) })
	c.add("chronik_brokers", "Brokers that are registered in the cluster.",
		func(s *State) float64 { return float64(s.Brokers) })
	c.add("chronik_brokers_fenced", "Registered brokers that the controller takes for dead.",
		func(s *State) float64 { return float64(s.BrokersFenced) })
	c.addRaft()
	c.addNode()
	return c
}

func (c *StateCollector) add(name, help string, value func(*State) float64) {
	c.metrics = append(c.metrics, stateMetric{prometheus.NewDesc(name, help, nil, nil), value})
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (c *StateCollector) addRaft() {
	c.add("chronik_raft_term", "Term of the metadata log.", func(s *State) float64 { return float64(s.RaftTerm) })
	c.add("chronik_raft_commit_index", "Last committed entry of the metadata log.",
		func(s *State) float64 { return float64(s.RaftCommit) })
	c.add("chronik_raft_applied_index", "Last applied entry of the metadata log.",
		func(s *State) float64 { return float64(s.RaftApplied) })
	c.add("chronik_raft_last_index", "Last entry of the metadata log on this node, committed or not.",
		func(s *State) float64 { return float64(s.RaftLast) })
	c.add("chronik_raft_voters", "Voters of the metadata group, as this node knows them.",
		func(s *State) float64 { return float64(s.RaftVoters) })
	c.add("chronik_raft_learners", "Learners of the metadata group, as this node knows them.",
		func(s *State) float64 { return float64(s.RaftLearners) })
	c.add("chronik_raft_has_leader", "1 while this node knows a controller.",
		func(s *State) float64 { return truth(s.RaftLed) })
	c.add("chronik_controller", "1 on the controller.", func(s *State) float64 { return truth(s.Controller) })
}

func (c *StateCollector) addNode() {
	c.add("chronik_store_log_bytes", "Bytes of all logs on this node.",
		func(s *State) float64 { return float64(s.LogBytes) })
	c.add("chronik_disk_free_bytes", "Bytes free on the data directory's disk.",
		func(s *State) float64 { return float64(s.DiskFree) })
	c.add("chronik_disk_reserve_bytes", "Free bytes below which appends are refused.",
		func(s *State) float64 { return float64(s.DiskReserve) })
	c.add("chronik_disk_full", "1 while appends are refused for want of space.",
		func(s *State) float64 { return truth(s.DiskFull) })
	c.add("chronik_peer_connections", "Connections of other nodes to this node's peer port.",
		func(s *State) float64 { return float64(s.PeerConnections) })
	c.add("chronik_ready", "1 while the node is ready.", func(s *State) float64 { return truth(s.Ready) })
	c.add("chronik_uptime_seconds", "Time since the node started.",
		func(s *State) float64 { return s.Uptime.Seconds() })
}

// Describe implements prometheus.Collector.
func (c *StateCollector) Describe(ch chan<- *prometheus.Desc) {
	for i := range c.metrics {
		ch <- c.metrics[i].desc
	}
	ch <- c.lagRecords
	ch <- c.lagSeconds
}

// Collect implements prometheus.Collector.
func (c *StateCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.read()
	for i := range c.metrics {
		m := &c.metrics[i]
		ch <- prometheus.MustNewConstMetric(m.desc, prometheus.GaugeValue, m.value(&s))
	}
	for _, l := range s.Lags {
		follower := strconv.Itoa(int(l.Node))
		ch <- prometheus.MustNewConstMetric(c.lagRecords, prometheus.GaugeValue, float64(l.Records), follower)
		ch <- prometheus.MustNewConstMetric(c.lagSeconds, prometheus.GaugeValue, l.Behind.Seconds(), follower)
	}
}
