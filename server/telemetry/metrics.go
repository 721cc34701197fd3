package telemetry

import (
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.opentelemetry.io/otel/trace"

	"github.com/chroniklog/chronik/server/partition"
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
	// Rejected counts refused appends by reason: "throttled", "disk_full".
	Rejected *prometheus.CounterVec

	// Elected counts the leaderships that came to this node: one election is
	// counted on one node.
	Elected Elections
	// ISRShrunk and ISRGrown count changes of in-sync replicas, on the leader.
	ISRShrunk, ISRGrown prometheus.Counter
	// ReplicaSent and ReplicaReceived count bytes of batches, as leader and as
	// follower.
	ReplicaSent, ReplicaReceived prometheus.Counter
	// Diverged counts the times that a follower cut its log to agree with its
	// leader's.
	Diverged prometheus.Counter

	// ControllerTerms counts how often this node became the controller; Fenced
	// the brokers that it took for dead, by cause: "silent", "refused".
	ControllerTerms prometheus.Counter
	Fenced          *prometheus.CounterVec
	// Probe is the disk's time for one small synced write.
	Probe prometheus.Histogram

	// Spans count what becomes of the spans of sampled requests.
	Spans SpanCounters

	metadata metadata

	cycleBytes, cycleBatches prometheus.Histogram
	cycleTime                *TracedHistogram
	syncDirect, syncJournal  *TracedHistogram
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
		cycleTime: NewTracedHistogram(prometheus.HistogramOpts{
			Name: "chronik_commit_cycle_seconds", Help: "Time of one commit cycle.", Buckets: Buckets(),
		}),
		syncDirect: newSync("direct"), syncJournal: newSync("journal"),
	}
	m.storeMetrics()
	m.clusterMetrics()
	// 0 from the start: an increase from nothing is none to Prometheus.
	for _, reason := range [...]string{"throttled", "disk_full"} {
		m.Rejected.WithLabelValues(reason)
	}
	for _, cause := range [...]string{"silent", "refused"} {
		m.Fenced.WithLabelValues(cause)
	}
	m.Spans = newSpanCounters()
	m.metadata = newMetadata()
	r.MustRegister(m.Records, m.Bytes, m.Read, m.Rejected, m.cycleBytes, m.cycleBatches, m.cycleTime,
		m.syncDirect, m.syncJournal, m.backlog, m.journal, m.retained, m.compacted, m.scrubbed, m.corrupt, m.checkpoint,
		m.Elected.Failover, m.Elected.Handover, m.ISRShrunk, m.ISRGrown, m.ReplicaSent, m.ReplicaReceived, m.Diverged,
		m.ControllerTerms, m.Fenced, m.Probe, m.Spans.Delivered, m.Spans.Lost)
	m.metadata.register(r)
	return m
}

// newSync makes the histogram of the syncs of one way.
func newSync(way string) *TracedHistogram {
	return NewTracedHistogram(prometheus.HistogramOpts{
		Name: "chronik_commit_sync_seconds", Help: "Time of a cycle's sync, by way: journal or direct.",
		Buckets: Buckets(), ConstLabels: prometheus.Labels{"way": way},
	})
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
	m.sync(c.Journal).Observe(c.End.Sub(c.SyncStart).Seconds())
}

func (m *Metrics) sync(journal bool) *TracedHistogram {
	if journal {
		return m.syncJournal
	}
	return m.syncDirect
}

// Traced notes that a sampled append of the given trace was in a cycle, which
// was counted: the histograms of its time show the trace as an exemplar.
func (m *Metrics) Traced(c *partition.Cycle, sc trace.SpanContext) {
	m.cycleTime.Exemplify(c.End.Sub(c.Start).Seconds(), c.End, sc)
	m.sync(c.Journal).Exemplify(c.End.Sub(c.SyncStart).Seconds(), c.End, sc)
}
