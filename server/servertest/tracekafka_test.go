package servertest

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/chroniklog/chronik/server/telemetry/otlptest"
	"github.com/chroniklog/chronik/storage/record"
)

// tracedBatch is a batch of two records, of so many bytes each, with a context.
func tracedBatch(traceID string, size int) []byte {
	b := record.NewBuilder(record.CodecNone)
	b.Reset(0, 0)
	b.SetProducer(-1, -1, -1)
	for range 2 {
		b.Append(1, nil, make([]byte, size), []record.HeaderKV{{Key: "traceparent", Value: []byte(traceparent(traceID))}})
	}
	return b.Build(nil)
}

// Whatever a batch is refused for, its producer's trace shows the refusal.
func TestTraceOfRefusedBatches(t *testing.T) {
	receiver := otlptest.Start(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.Endpoint())
	t.Setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
	t.Setenv("OTEL_TRACES_SAMPLER_ARG", "0")
	n := Start(t)
	create(t, n, `{"name":"t","configs":{"max.message.bytes":"1000"}}`)
	cl, err := kgo.NewClient(kgo.SeedBrokers(n.Kafka), kgo.ClientID("loader"),
		kgo.MaxVersions(kversion.V2_8_0())) // topics by name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	corrupt := func(b []byte) []byte {
		b[20]++ // in the CRC
		return b
	}
	cases := []struct {
		name  string
		topic string
		part  int32
		batch func(traceID string) []byte
		code  int16 // 0: taken
	}{
		{"taken", "t", 0, func(id string) []byte { return tracedBatch(id, 10) }, 0},
		{"partition", "t", 9, func(id string) []byte { return tracedBatch(id, 10) }, 3},
		{"topic", "nosuch", 0, func(id string) []byte { return tracedBatch(id, 10) }, 3},
		{"corrupt", "t", 0, func(id string) []byte { return corrupt(tracedBatch(id, 10)) }, 2},
		{"too large", "t", 0, func(id string) []byte { return tracedBatch(id, 1000) }, 10},
		{"two", "t", 0, func(id string) []byte { return append(tracedBatch(id, 10), tracedBatch(id, 10)...) }, 87},
	}
	for i, c := range cases {
		req := kmsg.NewPtrProduceRequest()
		req.Acks, req.TimeoutMillis = -1, 5000
		topic, part := kmsg.NewProduceRequestTopic(), kmsg.NewProduceRequestTopicPartition()
		topic.Topic, part.Partition, part.Records = c.topic, c.part, c.batch(fmt.Sprintf("%s%02x", traceOne[:30], i))
		topic.Partitions = append(topic.Partitions, part)
		req.Topics = append(req.Topics, topic)
		resp, err := cl.Broker(1).Request(t.Context(), req)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if code := resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode; code != c.code {
			t.Errorf("%s: error code %d, want %d", c.name, code, c.code)
		}
	}
	n.stop()
	for i, c := range cases {
		id := fmt.Sprintf("%s%02x", traceOne[:30], i)
		s := spanNamed(t, receiver.Spans(), "Produce", id)
		if failed := s.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR; failed != (c.code != 0) {
			t.Errorf("%s: error %v: %v", c.name, failed, s.GetStatus())
		}
		if parent := hex.EncodeToString(s.GetParentSpanId()); parent != "b7ad6b7169203331" {
			t.Errorf("%s: a child of %s", c.name, parent)
		}
		want := map[string]string{
			"messaging.system": "chronik", "messaging.operation.name": "send", "messaging.operation.type": "send",
			"messaging.client.id": "loader", "messaging.destination.name": c.topic,
			"messaging.destination.partition.id": fmt.Sprint(c.part), "messaging.batch.message_count": "2",
		}
		if d := cmp.Diff(want, s.Attributes()); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}

// A client can't keep the others' spans from the collector with bytes that are
// no text.
func TestTracesSurviveWhatClientsSend(t *testing.T) {
	receiver := otlptest.Start(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.Endpoint())
	n := Start(t)
	create(t, n, `{"name":"t"}`)
	call(t, n, "GET /v1/topics/%ff", "", wrong, "traceparent: "+traceparent(traceOne)).want(t, 404)
	call(t, n, "GET /v1/groups/%fe%00g", "", wrong)
	produce(t, n, "t", "x", "traceparent: "+traceparent(traceTwo))
	n.stop()
	spanNamed(t, receiver.Spans(), "POST /v1/topics/{topic}/records", traceTwo)
	bad := spanNamed(t, receiver.Spans(), "GET /v1/topics/{topic}", traceOne)
	if path := bad.Attributes()["url.path"]; path != "/v1/topics/\uFFFD" {
		t.Errorf("path %q", path)
	}
}

// A context, however long its state, never makes a record too large: what would
// be is written without.
func TestTraceContextDoesNotRefuseRecords(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
	n := Start(t)
	create(t, n, `{"name":"t","configs":{"max.message.bytes":"1000"}}`)
	state := "tracestate: a=" + strings.Repeat("x", 200)
	fits := 0
	for size := 1000; size > 600 && fits == 0; size-- { // the largest that is taken without a context
		if a := call(t, n, "POST /v1/topics/t/records", strings.Repeat("v", size), "Content-Type: text/plain"); a.StatusCode == 201 {
			fits = size
		}
	}
	for _, size := range []int{fits, fits - 100, fits - 400} {
		value := strings.Repeat("v", size)
		produce(t, n, "t", value, "traceparent: "+traceparent(traceOne), state)
		call(t, n, "POST /v1/topics/t/records", value[60:], "Content-Type: text/plain", "Idempotency-Key: k"+fmt.Sprint(size),
			"traceparent: "+traceparent(traceOne), state).want(t, 201)
		line := `{"value":"` + value + `"}` + "\n"
		a := call(t, n, "POST /v1/topics/t/batches", line, "Content-Type: application/x-ndjson",
			"traceparent: "+traceparent(traceOne), state)
		if !strings.Contains(string(a.body), `"offset"`) {
			t.Errorf("%d bytes: %d %s", size, a.StatusCode, a.body)
		}
	}
	two := call(t, n, "POST /v1/topics/t/records", "two", "traceparent: "+traceparent(traceOne),
		"traceparent: "+traceparent(traceTwo)).want(t, 201)
	if timing := two.Header.Get("Server-Timing"); strings.Contains(timing, "traceparent") {
		t.Errorf("of two contexts one is believed: %s", timing)
	}
}
