package kafka

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chroniklog/chronik/server/telemetry"
)

// metrics are what the listener counts.
type metrics struct {
	connections prometheus.Gauge
	seconds     *prometheus.HistogramVec // by api
	refused     *prometheus.CounterVec   // by reason
	received    prometheus.Counter
	sent        prometheus.Counter
	waits       prometheus.Counter // for memory
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		connections: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "chronik_kafka_connections", Help: "Connections of Kafka clients that are open.",
		}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "chronik_kafka_request_seconds",
			Help:    "Time from a Kafka request's last byte to its answer, waiting included, by API.",
			Buckets: telemetry.Buckets(),
		}, []string{"api"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "chronik_kafka_connections_closed_total",
			Help: "Kafka connections closed by this node, by reason.",
		}, []string{"reason"}),
		received: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "chronik_kafka_received_bytes_total", Help: "Bytes of Kafka requests.",
		}),
		sent: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "chronik_kafka_sent_bytes_total", Help: "Bytes of answers to Kafka requests.",
		}),
		waits: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "chronik_kafka_admission_waits_total",
			Help: "Times that a Kafka request or answer waited because the memory for all of them was taken.",
		}),
	}
	for _, reason := range [...]string{"protocol", "slow_reader", "dawdling", "idle"} {
		m.refused.WithLabelValues(reason) // 0 from the start: an increase is seen
	}
	if r != nil {
		r.MustRegister(m.connections, m.seconds, m.refused, m.received, m.sent, m.waits)
	}
	return m
}

// observe counts an answered call; its trace, if it is sampled, is the exemplar
// of its time.
func (m *metrics) observe(c *call) {
	m.received.Add(float64(4 + len(c.frame.b)))
	telemetry.Observe(m.seconds.WithLabelValues(c.api.name), time.Since(c.received).Seconds(), c.traced)
}
