package telemetry

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/server/telemetry/otlptest"
	"github.com/chroniklog/chronik/storage/plog"
	"github.com/chroniklog/chronik/storage/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakePending is an append whose answer the test gives.
type fakePending struct {
	done  chan struct{}
	res   partition.Appended
	err   error
	cycle *partition.Cycle
}

func (p *fakePending) Done() <-chan struct{} { return p.done }
func (p *fakePending) Wait(context.Context) (partition.Appended, error) {
	<-p.done
	return p.res, p.err
}
func (p *fakePending) Cycle() *partition.Cycle { return p.cycle }
func newFakePending(res partition.Appended, c *partition.Cycle) *fakePending {
	return &fakePending{done: make(chan struct{}), res: res, cycle: c}
}

func startReceiver(t *testing.T) *otlptest.Receiver {
	receiver := otlptest.Start(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.Endpoint())
	return receiver
}

// startTracing exports to a receiver as the environment of a node would.
func startTracing(t *testing.T) (*Tracing, *otlptest.Receiver) {
	t.Helper()
	receiver := startReceiver(t)
	t.Setenv("OTEL_TRACES_SAMPLER", "always_on")
	tracing, err := NewTracing(t.Context(), TracingOptions{Node: 7, Version: "v0"})
	if err != nil {
		t.Fatal(err)
	}
	return tracing, receiver
}

func TestAppendTree(t *testing.T) {
	tracing, receiver := startTracing(t)
	appends := NewAppends(tracing.Tracer(), nil)
	cycle := &partition.Cycle{
		ID: 3, Start: time.Unix(100, 0), SyncStart: time.Unix(100, 1000), End: time.Unix(100, 501_000),
		Bytes: 4096, Batches: 2, Journal: true,
	}
	ctx, root := tracing.Tracer().Start(t.Context(), "POST /x")
	var pendings []*fakePending
	for i := range int64(2) {
		ap := appends.Start(ctx, "orders", 4, 1)
		p := newFakePending(partition.Appended{Offset: 10 + i, LeaderEpoch: 2}, cycle)
		ap.Follow(p)
		pendings = append(pendings, p)
	}
	for _, p := range pendings { // as one cycle does: both are done before either is followed up
		close(p.done)
	}
	appends.Wait()
	root.End()
	if err := tracing.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}

	spans := receiver.Wait(t.Context(), t, func(s []otlptest.Span) bool { return len(s) == 5 })
	byName := map[string][]otlptest.Span{}
	for _, s := range spans {
		byName[s.GetName()] = append(byName[s.GetName()], s)
		if s.Resource["service.name"] != "chronik" || s.Resource["service.instance.id"] != "7" {
			t.Errorf("resource of %s: %v", s.GetName(), s.Resource)
		}
	}
	rootSpan := byName["POST /x"][0]
	offsets := map[string]bool{}
	links := 0
	for _, a := range byName["append"] {
		if !bytes.Equal(a.GetParentSpanId(), rootSpan.GetSpanId()) {
			t.Error("append is not the server span's child")
		}
		attrs := a.Attributes()
		offsets[attrs["messaging.kafka.offset"]] = true
		if attrs["messaging.destination.name"] != "orders" || attrs["messaging.destination.partition.id"] != "4" ||
			attrs["chronik.leader_epoch"] != "2" {
			t.Errorf("append: %v", attrs)
		}
	}
	if !offsets["10"] || !offsets["11"] {
		t.Errorf("offsets: %v", offsets)
	}
	for _, c := range byName["commit"] {
		if c.GetStartTimeUnixNano() != 100_000_000_000 || c.GetEndTimeUnixNano() != 100_000_501_000 {
			t.Errorf("commit from %d to %d", c.GetStartTimeUnixNano(), c.GetEndTimeUnixNano())
		}
		if a := c.Attributes(); a["chronik.commit.way"] != "journal" || a["chronik.commit.bytes"] != "4096" {
			t.Errorf("commit: %v", a)
		}
		links += len(c.GetLinks())
	}
	if links == 0 {
		t.Error("no commit span links to the append that shared its sync")
	}
}

func TestFailedAppend(t *testing.T) {
	tracing, receiver := startTracing(t)
	appends := NewAppends(tracing.Tracer(), nil)
	ctx, root := tracing.Tracer().Start(t.Context(), "root")
	p := newFakePending(partition.Appended{}, nil)
	p.err = errors.New("gone")
	appends.Start(ctx, "t", 0, 1).Follow(p)
	close(p.done)
	appends.Start(ctx, "t", 0, 1).Fail(errors.New("refused"))
	appends.Wait()
	root.End()
	if err := tracing.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, s := range receiver.Wait(t.Context(), t, func(s []otlptest.Span) bool { return len(s) == 3 }) {
		if s.GetName() == "append" && s.GetStatus().GetCode() != 2 {
			t.Errorf("status of a failed append: %v", s.GetStatus())
		}
	}
}

// Without an endpoint there is no tracer, and nothing is made on the way of an
// append.
func TestOff(t *testing.T) {
	for _, env := range []map[string]string{
		{},
		{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"},
	} {
		t.Run("", func(t *testing.T) {
			for _, name := range []string{
				"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_SDK_DISABLED",
				"OTEL_TRACES_EXPORTER",
			} {
				t.Setenv(name, env[name])
			}
			tracing, err := NewTracing(t.Context(), TracingOptions{Node: 1})
			if err != nil {
				t.Fatal(err)
			}
			if tracing.Tracer() != nil {
				t.Fatal("there is a tracer")
			}
			appends := NewAppends(tracing.Tracer(), nil)
			ctx := t.Context()
			if n := testing.AllocsPerRun(100, func() {
				if appends.Start(ctx, "t", 0, 1) != nil {
					t.Error("there is a span")
				}
				InjectHeaders(ctx, nil)
			}); n != 0 {
				t.Errorf("%v allocations", n)
			}
			appends.Wait()
			if err := tracing.Shutdown(ctx); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestHeaders(t *testing.T) {
	sc := trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1, 2}, SpanID: trace.SpanID{3}, TraceFlags: trace.FlagsSampled,
	})
	ctx := trace.ContextWithSpanContext(context.Background(), sc)
	headers := InjectHeaders(ctx, []record.HeaderKV{{Key: "a", Value: []byte("b")}})
	if len(headers) != 2 || headers[1].Key != "traceparent" {
		t.Fatalf("headers: %v", headers)
	}
	got := HeaderSpanContext(headers)
	if got.TraceID() != sc.TraceID() || got.SpanID() != sc.SpanID() || !got.IsSampled() {
		t.Errorf("extracted %v", got)
	}
	own := []record.HeaderKV{{Key: "Traceparent", Value: []byte("00-x")}}
	if got := InjectHeaders(ctx, own); len(got) != 1 {
		t.Errorf("the record's own context was not kept: %v", got)
	}
	if HeaderSpanContext(own).IsValid() {
		t.Error("a malformed context is valid")
	}
	if got := InjectHeaders(context.Background(), nil); got != nil {
		t.Errorf("without a context: %v", got)
	}
}

func TestMetrics(t *testing.T) {
	registry := NewRegistry("v1")
	m := NewMetrics(registry)
	m.ObserveCycle(&plog.Cycle{
		Start: time.Unix(0, 0), SyncStart: time.Unix(0, 0), End: time.Unix(0, 150_000), Bytes: 1000,
	})
	m.Records.WithLabelValues("record").Inc()
	registry.MustRegister(NewStateCollector(func() State { return State{Topics: 3, Ready: true} }))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	gauges := map[string]float64{}
	for _, f := range families {
		if g := f.GetMetric()[0].GetGauge(); g != nil {
			gauges[f.GetName()] = g.GetValue()
		}
		if f.GetName() != "chronik_commit_sync_seconds" {
			continue
		}
		for _, b := range f.GetMetric()[0].GetHistogram().GetBucket() {
			bound, n := b.GetUpperBound(), b.GetCumulativeCount()
			if bound == .0001 && n != 0 || bound == .0002 && n != 1 {
				t.Errorf("150 µs is not between 100 and 200: %v", b)
			}
		}
	}
	if gauges["chronik_topics"] != 3 || gauges["chronik_ready"] != 1 || gauges["chronik_build_info"] != 1 {
		t.Errorf("gauges: %v", gauges)
	}
	if err := prometheus.Register(m.Read); err != nil { // the default registry must still be empty of ours
		t.Errorf("metrics were registered globally: %v", err)
	}
	prometheus.Unregister(m.Read)
}

func TestNewLogger(t *testing.T) {
	var out bytes.Buffer
	log, err := NewLogger(&out, "warn", "json")
	if err != nil {
		t.Fatal(err)
	}
	log.Info("no")
	log.Warn("yes", "k", 1)
	if got := out.String(); strings.Contains(got, "no") || !strings.Contains(got, `"msg":"yes","k":1`) {
		t.Errorf("log: %s", got)
	}
	for _, bad := range [][2]string{{"loud", "json"}, {"info", "xml"}} {
		if _, err := NewLogger(&out, bad[0], bad[1]); err == nil {
			t.Errorf("%v was accepted", bad)
		}
	}
}
