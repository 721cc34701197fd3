package telemetry

import (
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/chroniklog/chronik/storage/plog"
)

// Buckets are the bounds, in seconds, of every histogram of time: 100 µs
// apart where a sync to a fast disk lies, 10 s at the end.
func Buckets() []float64 {
	return []float64{
		.0001, .0002, .0003, .0004, .0005, .0007, .001, .0015, .002, .003, .005, .0075,
		.01, .015, .02, .03, .05, .1, .25, .5, 1, 2.5, 5, 10,
	}
}

// Metrics are the broker's own counters. The HTTP adapter registers its own.
type Metrics struct {
	// Records and Bytes count what was accepted for append, by topic-blind
	// kind: "record" (packed here) or "batch" (packed by the client).
	Records, Bytes *prometheus.CounterVec
	// Read counts the bytes of batches handed to readers.
	Read prometheus.Counter
	// Rejected counts refused appends by reason: "bytes_in_flight",
	// "disk_full", "draining".
	Rejected *prometheus.CounterVec

	cycleBytes, cycleBatches prometheus.Histogram
	cycleTime                prometheus.Histogram
	syncTime                 *prometheus.HistogramVec
	backlog, journal         prometheus.Gauge
	retained, compacted      prometheus.Counter
	scrubbed, corrupt        prometheus.Counter
	checkpoint               prometheus.Histogram
}

// NewRegistry makes a registry with the Go and process collectors and the
// build's version.
func NewRegistry(version string) *prometheus.Registry {
	r := prometheus.NewRegistry()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "chronik_build_info", Help: "1, labelled with the version.",
		ConstLabels: prometheus.Labels{"version": version, "go": runtime.Version()},
	})
	build.Set(1)
	r.MustRegister(collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), build)
	return r
}

// NewMetrics makes and registers the counters.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		Records: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "chronik_append_records_total", Help: "Records accepted for append.",
		}, []string{"kind"}),
		Bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "chronik_append_bytes_total", Help: "Bytes of records and batches accepted for append.",
		}, []string{"kind"}),
		Read: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "chronik_read_bytes_total", Help: "Bytes of batches handed to readers.",
		}),
		Rejected: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "chronik_append_rejections_total", Help: "Appends refused before they began, by reason.",
		}, []string{"reason"}),
		cycleBytes: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "chronik_commit_cycle_bytes", Help: "Bytes that one commit cycle synced.",
			Buckets: prometheus.ExponentialBuckets(256, 4, 10),
		}),
		cycleBatches: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "chronik_commit_cycle_batches", Help: "Batches that one commit cycle synced.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 12),
		}),
		cycleTime: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "chronik_commit_cycle_seconds", Help: "Time of one commit cycle.", Buckets: Buckets(),
		}),
		syncTime: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "chronik_commit_sync_seconds", Help: "Time of a cycle's sync, by way: journal or direct.",
			Buckets: Buckets(),
		}, []string{"way"}),
	}
	m.storeMetrics()
	r.MustRegister(m.Records, m.Bytes, m.Read, m.Rejected, m.cycleBytes, m.cycleBatches, m.cycleTime, m.syncTime,
		m.backlog, m.journal, m.retained, m.compacted, m.scrubbed, m.corrupt, m.checkpoint)
	return m
}

func (m *Metrics) storeMetrics() {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m.backlog = gauge("chronik_store_backlog_bytes", "Bytes on disk in the journal but not yet in segments.")
	m.journal = gauge("chronik_store_journal_bytes", "Bytes of journal files that a recovery would read.")
	m.retained = counter("chronik_store_retention_bytes_total", "Bytes of segments that retention removed.")
	m.compacted = counter("chronik_store_compaction_bytes_total", "Bytes that compaction saved.")
	m.scrubbed = counter("chronik_store_scrubbed_bytes_total", "Bytes of sealed segments whose checksums were verified.")
	m.corrupt = counter("chronik_store_corrupt_total", "Corruptions found. Each is a lost or damaged copy.")
	m.checkpoint = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "chronik_store_checkpoint_seconds", Help: "Time of a checkpoint.", Buckets: Buckets(),
	})
}

// Store is what a plog.Store reports to.
func (m *Metrics) Store() *plog.Metrics {
	return &plog.Metrics{
		Cycle:      m.ObserveCycle,
		Backlog:    func(bytes int64) { m.backlog.Set(float64(bytes)) },
		Journal:    func(_ int, bytes int64) { m.journal.Set(float64(bytes)) },
		Checkpoint: func(took time.Duration, _ int64) { m.checkpoint.Observe(took.Seconds()) },
		Retained:   func(_ int, bytes int64) { m.retained.Add(float64(bytes)) },
		Compacted:  func(before, after int64) { m.compacted.Add(float64(max(before-after, 0))) },
		Scrubbed:   func(bytes int64) { m.scrubbed.Add(float64(bytes)) },
		Corrupt:    m.corrupt.Inc,
	}
}

// ObserveCycle counts a commit cycle.
func (m *Metrics) ObserveCycle(c *plog.Cycle) {
	m.cycleBytes.Observe(float64(c.Bytes))
	m.cycleBatches.Observe(float64(c.Batches))
	m.cycleTime.Observe(c.End.Sub(c.Start).Seconds())
	way := "direct"
	if c.Journal {
		way = "journal"
	}
	m.syncTime.WithLabelValues(way).Observe(c.End.Sub(c.SyncStart).Seconds())
}

// State is what a scrape reads from the node.
type State struct {
	Topics, Partitions, Led            int
	OfflinePartitions, UnderReplicated int
	RaftTerm, RaftCommit, RaftApplied  uint64
	Controller                         bool  // this node is the controller
	InFlightBytes                      int64 // appends not yet answered
	DiskFree, DiskReserve              int64
	DiskFull                           bool
	Ready                              bool
	Uptime                             time.Duration
}

// stateMetric is one gauge of StateCollector.
type stateMetric struct {
	desc  *prometheus.Desc
	value func(*State) float64
}

// StateCollector reads the node's state at scrape time.
type StateCollector struct {
	read    func() State
	metrics []stateMetric
}

// NewStateCollector makes a collector over read, which must be quick and safe
// for concurrent use.
func NewStateCollector(read func() State) *StateCollector {
	gauge := func(name, help string, value func(*State) float64) stateMetric {
		return stateMetric{prometheus.NewDesc(name, help, nil, nil), value}
	}
	truth := func(b bool) float64 {
		if b {
			return 1
		}
		return 0
	}
	return &StateCollector{read: read, metrics: []stateMetric{
		gauge("chronik_topics", "Topics of the cluster.", func(s *State) float64 { return float64(s.Topics) }),
		gauge("chronik_partitions", "Partitions of the cluster.",
			func(s *State) float64 { return float64(s.Partitions) }),
		gauge("chronik_partitions_led", "Partitions that this node leads.",
			func(s *State) float64 { return float64(s.Led) }),
		gauge("chronik_offline_partitions", "Partitions without a leader.",
			func(s *State) float64 { return float64(s.OfflinePartitions) }),
		gauge("chronik_under_replicated_partitions", "Partitions with a replica out of sync.",
			func(s *State) float64 { return float64(s.UnderReplicated) }),
		gauge("chronik_raft_term", "Term of the metadata log.", func(s *State) float64 { return float64(s.RaftTerm) }),
		gauge("chronik_raft_commit_index", "Last committed entry of the metadata log.",
			func(s *State) float64 { return float64(s.RaftCommit) }),
		gauge("chronik_raft_applied_index", "Last applied entry of the metadata log.",
			func(s *State) float64 { return float64(s.RaftApplied) }),
		gauge("chronik_controller", "1 on the controller.", func(s *State) float64 { return truth(s.Controller) }),
		gauge("chronik_append_in_flight_bytes", "Bytes of appends that are not answered yet.",
			func(s *State) float64 { return float64(s.InFlightBytes) }),
		gauge("chronik_disk_free_bytes", "Bytes free on the data directory's disk.",
			func(s *State) float64 { return float64(s.DiskFree) }),
		gauge("chronik_disk_reserve_bytes", "Free bytes below which appends are refused.",
			func(s *State) float64 { return float64(s.DiskReserve) }),
		gauge("chronik_disk_full", "1 while appends are refused for want of space.",
			func(s *State) float64 { return truth(s.DiskFull) }),
		gauge("chronik_ready", "1 while the node is ready.", func(s *State) float64 { return truth(s.Ready) }),
		gauge("chronik_uptime_seconds", "Time since the node started.",
			func(s *State) float64 { return s.Uptime.Seconds() }),
	}}
}

// Describe implements prometheus.Collector.
func (c *StateCollector) Describe(ch chan<- *prometheus.Desc) {
	for i := range c.metrics {
		ch <- c.metrics[i].desc
	}
}

// Collect implements prometheus.Collector.
func (c *StateCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.read()
	for i := range c.metrics {
		m := &c.metrics[i]
		ch <- prometheus.MustNewConstMetric(m.desc, prometheus.GaugeValue, m.value(&s))
	}
}
