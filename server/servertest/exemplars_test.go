package servertest

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/chroniklog/chronik/server/telemetry/otlptest"
)

// OpenMetrics shows the trace of a sampled request as the exemplar of its time:
// of an HTTP request, a Kafka request, and the commit cycle that they waited for.
func TestExemplarsAreServed(t *testing.T) {
	receiver := otlptest.Start(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.Endpoint())
	t.Setenv("OTEL_TRACES_SAMPLER", "always_on")
	n := Start(t)
	create(t, n, `{"name":"t"}`)
	const traceID = "0af7651916cd43dd8448eb211c80319c"
	produce(t, n, "t", "x", "traceparent: 00-"+traceID+"-b7ad6b7169203331-01")
	shows := func(series, trace string) func() bool {
		line := regexp.MustCompile(`(?m)^` + series + `.* # \{trace_id="` + trace + `"\} `)
		return func() bool {
			const open = "Accept: application/openmetrics-text; version=1.0.0"
			return line.Match(call(t, n, "GET /metrics", "", open).want(t, http.StatusOK).body)
		}
	}
	eventually(t, "the HTTP request's exemplar",
		shows(`chronik_http_request_seconds_bucket\{.*/records"`, traceID))
	eventually(t, "its cycle's exemplar", shows(`chronik_commit_cycle_seconds_bucket\{`, traceID))

	cl, err := kgo.NewClient(kgo.SeedBrokers(n.Kafka), kgo.DefaultProduceTopic("t"))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	kafkaTrace := strings.Repeat("ab", 16)
	r := kgo.StringRecord("y")
	r.Headers = []kgo.RecordHeader{{Key: "traceparent", Value: []byte("00-" + kafkaTrace + "-b7ad6b7169203331-01")}}
	if err := cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the Kafka request's exemplar",
		shows(`chronik_kafka_request_seconds_bucket\{api="Produce"`, kafkaTrace))
}
