package kafka

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what the listener counts.
type metrics struct {
	connections prometheus.Gauge
	seconds     *prometheus.HistogramVec // by api
	refused     *prometheus.CounterVec   // by reason
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		connections: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "chronik_kafka_connections", Help: "Connections of Kafka clients that are open.",
		}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "chronik_kafka_request_duration_seconds",
			Help: "Time from a Kafka request's last byte to its answer, waiting included, by API.",
			// From 100 µs, doubling: a synced append takes about a millisecond.
			Buckets: prometheus.ExponentialBuckets(100e-6, 2, 18),
		}, []string{"api"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "chronik_kafka_connections_closed_total",
			Help: "Kafka connections closed by this node, by reason.",
		}, []string{"reason"}),
	}
	if r != nil {
		r.MustRegister(m.connections, m.seconds, m.refused)
	}
	return m
}

func (m *metrics) observe(a *api, since time.Time) {
	m.seconds.WithLabelValues(a.name).Observe(time.Since(since).Seconds())
}
