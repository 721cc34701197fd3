package middleware

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/chroniklog/chronik/server/telemetry"
)

// Metrics are the HTTP adapter's own.
type Metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	received *prometheus.CounterVec
	sent     *prometheus.CounterVec
	panics   prometheus.Counter
}

// newMetrics makes and registers the metrics of chain's requests.
func newMetrics(r prometheus.Registerer, buckets []float64, c *Chain) *Metrics {
	byRoute := []string{"method", "route"}
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "chronik_http_requests_total", Help: "Requests answered, by route and status.",
		}, []string{"method", "route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "chronik_http_request_seconds", Help: "Time from a request's headers to the end of its answer.",
			Buckets: buckets,
		}, byRoute),
		received: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "chronik_http_received_bytes_total", Help: "Bytes of request bodies, as sent.",
		}, byRoute),
		sent: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "chronik_http_sent_bytes_total", Help: "Bytes of answers' bodies before compression.",
		}, byRoute),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "chronik_http_panics_total", Help: "Handlers that panicked. Each is a bug.",
		}),
	}
	r.MustRegister(m.requests, m.seconds, m.received, m.sent, m.panics,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "chronik_http_requests_in_flight", Help: "Requests that are being served.",
		}, func() float64 { return float64(c.inFlight.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "chronik_http_body_bytes_in_flight", Help: "Bytes of request bodies that are held.",
		}, func() float64 { return float64(c.admission.used.Load()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "chronik_http_admission_refusals_total", Help: "Requests refused because too many bytes were held.",
		}, func() float64 { return float64(c.admission.refused.Load()) }))
	return m
}

// commonStatus are the statuses whose counters a route resolves once.
var commonStatus = [...]int{200, 201, 202, 204, 207, 304}

// routeMetrics are one route's handles, resolved when the route is made.
type routeMetrics struct {
	vec            *prometheus.CounterVec
	method, route  string
	common         [len(commonStatus)]prometheus.Counter
	seconds        prometheus.Observer
	received, sent prometheus.Counter
}

func (m *Metrics) route(method, route string) *routeMetrics {
	rm := &routeMetrics{
		vec: m.requests, method: method, route: route,
		seconds:  m.seconds.WithLabelValues(method, route),
		received: m.received.WithLabelValues(method, route),
		sent:     m.sent.WithLabelValues(method, route),
	}
	for i, status := range commonStatus {
		rm.common[i] = m.requests.WithLabelValues(method, route, strconv.Itoa(status))
	}
	return rm
}

// observe counts one request; its trace, if it is sampled, is the exemplar of
// its time.
func (rm *routeMetrics) observe(resp *Response, status int, took time.Duration, received int64) {
	rm.status(status).Inc()
	var sc trace.SpanContext
	if resp.span != nil {
		sc = resp.span.SpanContext()
	}
	telemetry.Observe(rm.seconds, took.Seconds(), sc)
	sent := resp.written
	if received > 0 {
		rm.received.Add(float64(received))
	}
	if sent > 0 {
		rm.sent.Add(float64(sent))
	}
}

func (rm *routeMetrics) status(status int) prometheus.Counter {
	for i := range commonStatus {
		if commonStatus[i] == status {
			return rm.common[i]
		}
	}
	return rm.vec.WithLabelValues(rm.method, rm.route, strconv.Itoa(status))
}
