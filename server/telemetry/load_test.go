package telemetry

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

// A load sums counters over their labels and keeps the cycles apart by time.
func TestLoad(t *testing.T) {
	m := NewMetrics(prometheus.NewRegistry())
	want := Load{Cycles: make([]int64, len(Buckets())+1)}
	if diff := cmp.Diff(want, m.Load()); diff != "" {
		t.Fatalf("at the start: %s", diff)
	}
	m.Records.WithLabelValues("record").Add(3)
	m.Records.WithLabelValues("batch").Add(40)
	m.Bytes.WithLabelValues("batch").Add(500)
	m.Read.Add(7)
	for _, seconds := range []float64{.00005, .0002, .0002, 11} {
		m.cycleTime.Observe(seconds)
	}
	want.Records, want.Bytes, want.Read = 43, 500, 7
	want.Cycles[0], want.Cycles[1], want.Cycles[len(want.Cycles)-1] = 1, 2, 1
	if diff := cmp.Diff(want, m.Load()); diff != "" {
		t.Error(diff)
	}
}
