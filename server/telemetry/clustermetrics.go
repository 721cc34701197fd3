package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chroniklog/chronik/raft"
)

// Elections count leaderships that came to this node, by cause.
type Elections struct {
	Failover prometheus.Counter // the last leader was fenced, dead or shut down, or there was none
	Handover prometheus.Counter // it lives: a drain, a preferred leader that is back
}

// labelled makes a counter that is one of a family.
func labelled(name, help, label, value string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{
		Name: name, Help: help, ConstLabels: prometheus.Labels{label: value},
	})
}

// clusterMetrics makes what is counted of partitions, replication and the
// controller.
func (m *Metrics) clusterMetrics() {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	const elections = "chronik_leader_elections_total"
	const electionsHelp = "Leaderships of partitions that came to this node, by cause: failover (the last leader " +
		"is dead or shut down, or there was none) or handover (a drain, a preferred leader that is back)."
	m.Elected.Failover = labelled(elections, electionsHelp, "cause", "failover")
	m.Elected.Handover = labelled(elections, electionsHelp, "cause", "handover")
	const changes = "chronik_isr_changes_total"
	const changesHelp = "Changes of in-sync replicas that this node proposed as leader, by change: shrink or grow."
	m.ISRShrunk = labelled(changes, changesHelp, "change", "shrink")
	m.ISRGrown = labelled(changes, changesHelp, "change", "grow")
	m.ReplicaSent = counter("chronik_replication_sent_bytes_total", "Bytes of batches sent to followers.")
	m.ReplicaReceived = counter("chronik_replication_received_bytes_total", "Bytes of batches taken over from leaders.")
	m.Diverged = counter("chronik_replication_truncations_total",
		"Times that a follower's log was compared with its leader's by epoch and cut.")
	m.ControllerTerms = counter("chronik_controller_terms_total", "Times that this node became the controller.")
	m.Fenced = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "chronik_brokers_fenced_total",
		Help: "Brokers that this node, as controller, took for dead, by cause: silent or refused.",
	}, []string{"cause"})
	m.Probe = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "chronik_disk_probe_seconds", Help: "Time of one small synced write, twice a second.", Buckets: Buckets(),
	})
}

// metadata is what the metadata log reports.
type metadata struct {
	round     prometheus.Histogram
	propose   prometheus.Histogram
	failed    prometheus.Counter
	snapshots prometheus.Counter
}

func newMetadata() metadata {
	return metadata{
		round: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "chronik_raft_round_seconds",
			Help: "Time of one round of the metadata log: save, sync, send, apply.", Buckets: Buckets(),
		}),
		propose: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "chronik_raft_propose_seconds",
			Help:    "Time from a metadata command's proposal here to its result, refusals included.",
			Buckets: Buckets(),
		}),
		failed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "chronik_raft_propose_failures_total",
			Help: "Metadata commands that got no result: no controller, no majority, or too late.",
		}),
		snapshots: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "chronik_raft_snapshots_installed_total",
			Help: "Metadata snapshots that this node took over because it was too far behind.",
		}),
	}
}

func (d *metadata) register(r prometheus.Registerer) {
	r.MustRegister(d.round, d.propose, d.failed, d.snapshots)
}

// Raft is what a raft.Node reports to.
func (m *Metrics) Raft() *raft.Metrics {
	return &raft.Metrics{
		Round: func(took time.Duration) { m.metadata.round.Observe(took.Seconds()) },
		Proposed: func(took time.Duration, answered bool) {
			m.metadata.propose.Observe(took.Seconds())
			if !answered {
				m.metadata.failed.Inc()
			}
		},
		Installed: m.metadata.snapshots.Inc,
	}
}
