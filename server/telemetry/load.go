package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Load is how much a node has done since its process began. All members grow
// only, so the difference of two is what was done between them.
type Load struct {
	// Records and Bytes were accepted for append, Read are bytes of batches
	// handed to readers.
	Records, Bytes, Read int64
	// Cycles are the commit cycles that took at most Buckets()[i], without those
	// of the buckets before; the last member is what took longer than any.
	Cycles []int64
}

// Load reads the counters.
func (m *Metrics) Load() Load {
	var h dto.Metric
	l := Load{Records: total(m.Records), Bytes: total(m.Bytes), Read: total(m.Read)}
	l.Cycles = make([]int64, len(Buckets())+1)
	if err := m.cycleTime.Write(&h); err != nil {
		return l
	}
	var below uint64
	for i, b := range h.GetHistogram().GetBucket() {
		l.Cycles[i] = int64(b.GetCumulativeCount() - below)
		below = b.GetCumulativeCount()
	}
	l.Cycles[len(l.Cycles)-1] = int64(h.GetHistogram().GetSampleCount() - below)
	return l
}

// total is the sum over a counter's labels.
func total(c prometheus.Collector) int64 {
	ch := make(chan prometheus.Metric, 8)
	go func() {
		defer close(ch)
		c.Collect(ch)
	}()
	var sum float64
	for metric := range ch {
		var v dto.Metric
		if metric.Write(&v) == nil {
			sum += v.GetCounter().GetValue()
		}
	}
	return int64(sum)
}
