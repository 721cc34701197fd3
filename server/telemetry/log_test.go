package telemetry

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/chroniklog/chronik/server/partition"
)

func sampled(last byte) trace.SpanContext {
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{15: last}, SpanID: trace.SpanID{7: 1}, TraceFlags: trace.FlagsSampled,
	})
}

// A line within a traced request names its trace, once; lines are counted.
func TestLinesHaveTraces(t *testing.T) {
	var out bytes.Buffer
	plain, err := NewLogger(&out, "info", "text")
	if err != nil {
		t.Fatal(err)
	}
	r := prometheus.NewRegistry()
	log := WithCounts(plain, r).With("part", "x")
	ctx := trace.ContextWithSpanContext(context.Background(), sampled(1))
	log.WarnContext(ctx, "in")
	log.WarnContext(ctx, "own", "trace_id", "mine")
	log.With("trace_id", "mine").ErrorContext(ctx, "own")
	log.Info("out")
	log.DebugContext(ctx, "not logged")
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	const id = "trace_id=00000000000000000000000000000001 span_id=0000000000000001"
	if len(lines) != 4 || !strings.Contains(lines[0], "part=x "+id) || strings.Contains(out.String()[len(lines[0]):], id) {
		t.Errorf("log:\n%s", out.String())
	}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]float64{}
	for _, m := range families[0].GetMetric() {
		counts[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
	}
	if counts["debug"] != 0 || counts["info"] != 1 || counts["warn"] != 2 || counts["error"] != 1 {
		t.Errorf("counts: %v", counts)
	}
}

// The histograms of a cycle lead to a trace that was in it; what is not
// sampled leads nowhere.
func TestCyclesHaveExemplars(t *testing.T) {
	r := prometheus.NewRegistry()
	m := NewMetrics(r)
	at := time.Unix(1000, 0)
	cycle := partition.Cycle{Start: at, SyncStart: at.Add(time.Millisecond), End: at.Add(4 * time.Millisecond)}
	m.cycleTime.Observe(.004)
	m.syncDirect.Observe(.003)
	m.Traced(&cycle, sampled(7).WithTraceFlags(0))
	if got := exemplars(t, r); len(got) != 0 {
		t.Fatalf("exemplars without a sampled trace: %v", got)
	}
	m.Traced(&cycle, sampled(7))
	got := exemplars(t, r)
	const id = "00000000000000000000000000000007"
	if got["chronik_commit_cycle_seconds"] != id || got["chronik_commit_sync_seconds"] != id {
		t.Errorf("exemplars: %v", got)
	}
}

// exemplars are the trace ids of exemplars, by metric; each must lie in its
// bucket.
func exemplars(t *testing.T, r *prometheus.Registry) map[string]string {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			below := 0.
			for _, b := range m.GetHistogram().GetBucket() {
				if e := b.GetExemplar(); e != nil {
					found[f.GetName()] = e.GetLabel()[0].GetValue()
					if v := e.GetValue(); v <= below || v > b.GetUpperBound() {
						t.Errorf("%s: exemplar %v in the bucket up to %v", f.GetName(), v, b.GetUpperBound())
					}
				}
				below = b.GetUpperBound()
			}
		}
	}
	return found
}
