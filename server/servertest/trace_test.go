package servertest

import (
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/chroniklog/chronik/server/telemetry/otlptest"
)

// One produce leaves one trace: the request, the append with its offset, the
// commit; and the record carries the context to its consumers.
func TestTraceOfOneProduce(t *testing.T) {
	receiver := otlptest.Start(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.Endpoint())
	t.Setenv("OTEL_TRACES_SAMPLER", "always_on")
	n := Start(t)
	create(t, n, `{"name":"t"}`)
	const traceID = "0af7651916cd43dd8448eb211c80319c"
	produce(t, n, "t", "x", "traceparent: 00-"+traceID+"-b7ad6b7169203331-01")
	page := read(t, n, "t", 0, "offset=0")
	if len(page.Records) != 1 {
		t.Fatalf("%d records", len(page.Records))
	}
	context := ""
	for _, h := range page.Records[0].Headers {
		if strings.EqualFold(h.Name, "traceparent") {
			context = h.Value
		}
	}
	if !strings.Contains(context, traceID) {
		t.Errorf("the record's traceparent is %q", context)
	}
	n.stop() // exports what is left

	spans := slices.DeleteFunc(receiver.Spans(), func(s otlptest.Span) bool {
		return hex.EncodeToString(s.GetTraceId()) != traceID
	})
	parents := map[string]string{}
	names := map[string]string{}
	for _, s := range spans {
		id := hex.EncodeToString(s.GetSpanId())
		names[id], parents[s.GetName()] = s.GetName(), hex.EncodeToString(s.GetParentSpanId())
		if a := s.Attributes(); s.GetName() == "append" && (a["messaging.destination.name"] != "t" ||
			a["messaging.kafka.offset"] != "0" || a["messaging.destination.partition.id"] != "0") {
			t.Errorf("append: %v", a)
		}
		if s.GetEndTimeUnixNano() < s.GetStartTimeUnixNano() {
			t.Errorf("%s ends before it begins", s.GetName())
		}
	}
	const root = "POST /v1/topics/{topic}/records"
	if parents[root] != "b7ad6b7169203331" || names[parents["append"]] != root || names[parents["commit"]] != "append" {
		t.Errorf("spans %v, parents %v", names, parents)
	}
}

// A context that comes in is passed on to consumers though this node exports
// nothing.
func TestContextPassesThrough(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
	n := Start(t)
	create(t, n, `{"name":"t"}`)
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	produce(t, n, "t", "x", "traceparent: "+parent)
	produce(t, n, "t", "y")
	page := read(t, n, "t", 0, "offset=0")
	if len(page.Records) != 2 {
		t.Fatalf("%d records", len(page.Records))
	}
	carried := func(i int) (value string) {
		for _, h := range page.Records[i].Headers {
			if strings.EqualFold(h.Name, "traceparent") {
				value = h.Value
			}
		}
		return value
	}
	if got := carried(0); got != parent {
		t.Errorf("traceparent %q became %q", parent, got)
	}
	if got := carried(1); got != "" {
		t.Errorf("a record without context got %q", got)
	}
}

func TestMetricsAreServed(t *testing.T) {
	n := Start(t)
	create(t, n, `{"name":"t","partitions":3}`)
	produce(t, n, "t", "x")
	body := string(call(t, n, "GET /metrics", "").want(t, http.StatusOK).body)
	for _, want := range []string{
		"chronik_topics 1", "chronik_partitions 3", "chronik_partitions_led 3", "chronik_offline_partitions 0",
		`chronik_append_records_total{kind="record"} 1`, "chronik_commit_cycle_seconds_bucket", "chronik_raft_term ",
		"chronik_ready 1", "chronik_connections ", "chronik_build_info", "go_goroutines", "chronik_http_requests_total",
		`le="0.0002"`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("/metrics lacks %q", want)
		}
	}
}
