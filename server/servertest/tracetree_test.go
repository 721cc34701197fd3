package servertest

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/chroniklog/chronik/server/telemetry/otlptest"
)

// tracedCluster is three nodes that send every span to a receiver, and where the
// only partition of topic t is led.
func tracedCluster(t *testing.T, opts ...Option) (c *Cluster, receiver *otlptest.Receiver, leader, front *Node) {
	t.Helper()
	receiver = otlptest.Start(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.Endpoint())
	t.Setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
	t.Setenv("OTEL_TRACES_SAMPLER_ARG", "0") // what brings no sampled context leaves no trace
	c = StartCluster(t, 3, opts...)
	create(t, c.Nodes[0], `{"name":"t","partitions":1,"replication_factor":3}`)
	expectPlaced(t, c, "t")
	at := int(partitions(t, c.Nodes[0], "t")[0].Leader) - 1
	return c, receiver, c.Nodes[at], c.Nodes[(at+1)%3]
}

// traceTree draws the spans of a trace, each with the node that made it; those
// of one parent in alphabetical order.
func traceTree(spans []otlptest.Span, traceID string) string {
	children := map[string][]otlptest.Span{}
	known := map[string]bool{}
	for _, s := range spans {
		known[string(s.GetSpanId())] = true
	}
	for _, s := range spans {
		if hex.EncodeToString(s.GetTraceId()) != traceID {
			continue
		}
		parent := string(s.GetParentSpanId())
		if !known[parent] {
			parent = ""
		}
		children[parent] = append(children[parent], s)
	}
	var b strings.Builder
	var draw func(parent, indent string)
	draw = func(parent, indent string) {
		line := func(s otlptest.Span) string { return s.GetName() + " @" + s.Resource["service.instance.id"] }
		slices.SortFunc(children[parent], func(x, y otlptest.Span) int { return strings.Compare(line(x), line(y)) })
		for _, s := range children[parent] {
			fmt.Fprintf(&b, "%s%s\n", indent, line(s))
			draw(string(s.GetSpanId()), indent+"  ")
		}
	}
	draw("", "")
	return b.String()
}

func spanNamed(t *testing.T, spans []otlptest.Span, name, traceID string) otlptest.Span {
	t.Helper()
	for _, s := range spans {
		if s.GetName() == name && hex.EncodeToString(s.GetTraceId()) == traceID {
			return s
		}
	}
	t.Fatalf("no span %q in trace %s:\n%s", name, traceID, traceTree(spans, traceID))
	return otlptest.Span{}
}

const (
	traceOne = "0af7651916cd43dd8448eb211c80319c"
	traceTwo = "4bf92f3577b34da6a3ce929d0e0e4736"
)

func traceparent(traceID string) string { return "00-" + traceID + "-b7ad6b7169203331-01" }

// One produce through a node that does not lead is one trace over all three.
func TestTraceTreeOfAForwardedProduce(t *testing.T) {
	c, receiver, leader, front := tracedCluster(t)
	third := c.Nodes[3-slices.Index(c.Nodes, leader)-slices.Index(c.Nodes, front)]
	id := func(n *Node) int { return slices.Index(c.Nodes, n) + 1 }
	produce(t, front, "t?acks=all", "x", "traceparent: "+traceparent(traceOne))
	produce(t, front, "t?acks=all", "y") // not sampled
	c.Stop(c.Nodes...)

	followers := []int{id(front), id(third)}
	slices.Sort(followers)
	want := fmt.Sprintf(`POST /v1/topics/{topic}/records @%d
  forward @%[1]d
    peer/append @%[2]d
      append @%[2]d
        commit @%[2]d
        replicate @%[3]d
        replicate @%[4]d
`, id(front), id(leader), followers[0], followers[1])
	spans := receiver.Spans()
	if d := cmp.Diff(want, traceTree(spans, traceOne)); d != "" {
		t.Error(d)
	}
	for _, s := range spans {
		if hex.EncodeToString(s.GetTraceId()) != traceOne {
			t.Errorf("span %q of a trace that nobody sampled", s.GetName())
		}
		if s.GetEndTimeUnixNano() < s.GetStartTimeUnixNano() {
			t.Errorf("%s ends before it begins", s.GetName())
		}
	}
	request := spanNamed(t, spans, "POST /v1/topics/{topic}/records", traceOne)
	if a := request.Attributes(); a["http.route"] != "/v1/topics/{topic}/records" ||
		a["http.response.status_code"] != "201" || hex.EncodeToString(request.GetParentSpanId()) != "b7ad6b7169203331" {
		t.Errorf("request: %v", a)
	}
	for _, name := range []string{"append", "replicate"} {
		if a := spanNamed(t, spans, name, traceOne).Attributes(); a["messaging.destination.name"] != "t" ||
			a["messaging.destination.partition.id"] != "0" || a["messaging.kafka.offset"] != "0" {
			t.Errorf("%s: %v", name, a)
		}
	}
}

// A read through a node that does not lead is one trace over both; looks that
// find nothing show no more than the request.
func TestTraceTreeOfAForwardedRead(t *testing.T) {
	c, receiver, leader, front := tracedCluster(t)
	id := func(n *Node) int { return slices.Index(c.Nodes, n) + 1 }
	const path = "GET /v1/topics/{topic}/partitions/{partition}/records"
	read := strings.NewReplacer("{topic}", "t", "{partition}", "0").Replace(path) + "?offset=0"
	call(t, front, read, "", "traceparent: "+traceparent(traceTwo)).want(t, 200)
	produce(t, front, "t?acks=all", "x")
	call(t, front, read, "", "traceparent: "+traceparent(traceOne)).want(t, 200)
	c.Stop(c.Nodes...)

	spans := receiver.Spans()
	want := fmt.Sprintf("%s @%d\n  forward @%[2]d\n    peer/read @%[3]d\n  receive @%[2]d\n", path, id(front), id(leader))
	if d := cmp.Diff(want, traceTree(spans, traceOne)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(fmt.Sprintf("%s @%d\n", path, id(front)), traceTree(spans, traceTwo)); d != "" {
		t.Error(d)
	}
}

// Whatever else a node that does not lead hands on is one trace over both, too.
func TestTraceTreeOfWhatElseIsForwarded(t *testing.T) {
	c, receiver, leader, front := tracedCluster(t)
	create(t, front, `{"name":"k","partitions":1,"replication_factor":3,"configs":{"cleanup.policy":"compact"}}`)
	expectPlaced(t, c, "k")
	keyLeader := c.Nodes[partitions(t, front, "k")[0].Leader-1]
	keyFront := c.Nodes[(slices.Index(c.Nodes, keyLeader)+1)%3]
	produce(t, front, "t?acks=all", "x")
	id := func(n *Node) int { return slices.Index(c.Nodes, n) + 1 }
	type forwarded struct {
		request, body string
		status        int
		front, leader *Node
		served        string
	}
	cases := []forwarded{
		{"GET /v1/topics/t/partitions/0/offsets?timestamp=1", "", 200, front, leader, "peer/offset-for-time"},
		{"PUT /v1/topics/t/partitions/0/fence", `{"token":"a"}`, 204, front, leader, "peer/fence"},
		{"PUT /v1/topics/t/partitions/0/fence", `{"token":"b","expect":"z"}`, 412, front, leader, "peer/fence"},
		{"DELETE /v1/topics/t/partitions/0/records?before=1", "", 204, front, leader, "peer/trim"},
		{"GET /v1/topics/k/keys/a", "", 404, keyFront, keyLeader, "peer/key"},
	}
	ids := make([]string, len(cases))
	for i, f := range cases {
		ids[i] = fmt.Sprintf("%s%02x", traceOne[:30], i)
		headers := []string{"traceparent: " + traceparent(ids[i])}
		if f.body != "" {
			headers = append(headers, "Content-Type: application/json")
		}
		call(t, f.front, f.request, f.body, headers...).want(t, f.status)
	}
	c.Stop(c.Nodes...)

	spans := receiver.Spans()
	for i, f := range cases {
		tree := traceTree(spans, ids[i])
		want := fmt.Sprintf("  forward @%d\n    %s @%d\n", id(f.front), f.served, id(f.leader))
		if _, below, _ := strings.Cut(tree, "\n"); below != want {
			t.Errorf("%s:\n%swant below the request:\n%s", f.request, tree, want)
		}
		failed := spanNamed(t, spans, f.served, ids[i]).GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR
		if failed != (f.status == 412) {
			t.Errorf("%s: error %v", f.request, failed)
		}
	}
}

// Whichever way a record is read, the reader's span links to its producer's.
func TestTraceLinksOfEveryRead(t *testing.T) {
	c, receiver, leader, front := tracedCluster(t)
	produce(t, front, "t", "x", "traceparent: "+traceparent(traceOne))
	reads := []struct{ name, what, accept string }{
		{"page", "GET /v1/topics/t/partitions/0/records?offset=0", "application/json"},
		{"topic", "GET /v1/topics/t/records?from=earliest", "application/json"},
		{"ndjson", "GET /v1/topics/t/records?from=earliest", "application/x-ndjson"},
		{"sse", "GET /v1/topics/t/partitions/0/records?offset=0&limit=1", "text/event-stream"},
		{"batches", "GET /v1/topics/t/partitions/0/records?offset=0", "application/vnd.kafka.recordbatch.v2"},
		{"record", "GET /v1/topics/t/partitions/0/records/0", "*/*"},
	}
	traces := map[string]string{}
	header := func(i int, name string) string {
		id := fmt.Sprintf("%032x", 0xabc0+i)
		traces[id] = name
		return "traceparent: " + traceparent(id)
	}
	for i, r := range reads {
		call(t, leader, r.what, "", "Accept: "+r.accept, header(i, r.name)).want(t, 200)
	}
	call(t, front, "POST /v1/groups/g/poll", `{"topics":["t"],"wait_ms":5000,"from":"earliest"}`, jsonType,
		header(len(reads), "group poll")).want(t, 200)
	c.Stop(c.Nodes...)

	spans := receiver.Spans()
	producing := spanNamed(t, spans, "append", traceOne)
	for id, name := range traces {
		receive := spanNamed(t, spans, "receive", id)
		if l := receive.GetLinks(); len(l) != 1 || string(l[0].GetSpanId()) != string(producing.GetSpanId()) ||
			string(l[0].GetTraceId()) != string(producing.GetTraceId()) {
			t.Errorf("%s: links %v", name, l)
		}
		if a := receive.Attributes(); a["messaging.batch.message_count"] != "1" || a["messaging.operation.type"] != "receive" {
			t.Errorf("%s: %v", name, a)
		}
		if group, ok := receive.Attributes()["messaging.consumer.group.name"]; ok != (name == "group poll") || ok && group != "g" {
			t.Errorf("%s: group %q", name, group)
		}
	}
	polled := spanNamed(t, spans, "POST /v1/groups/{group}/poll", fmt.Sprintf("%032x", 0xabc0+len(reads)))
	if a := polled.Attributes(); a["messaging.consumer.group.name"] != "g" {
		t.Errorf("group poll: %v", a)
	}
}

// A Kafka producer's context is its batch's parent, compressed or not, and the
// bytes of the record stay the client's; a fetch links to it.
func TestTraceOfKafkaClients(t *testing.T) {
	receiver := otlptest.Start(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.Endpoint())
	t.Setenv("OTEL_TRACES_SAMPLER", "parentbased_always_on")
	n := Start(t)
	create(t, n, `{"name":"t"}`)
	ctx := context.Background()
	for i, codec := range []kgo.CompressionCodec{kgo.NoCompression(), kgo.ZstdCompression()} {
		cl, err := kgo.NewClient(kgo.SeedBrokers(n.Kafka), kgo.ProducerBatchCompression(codec),
			kgo.DefaultProduceTopic("t"), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{
				"t": {0: kgo.NewOffset().At(int64(i))},
			}))
		if err != nil {
			t.Fatal(err)
		}
		own := kgo.RecordHeader{Key: "traceparent", Value: []byte(traceparent([]string{traceOne, traceTwo}[i]))}
		value := []byte(strings.Repeat("compressible ", 50))
		if err := cl.ProduceSync(ctx, &kgo.Record{Value: value, Headers: []kgo.RecordHeader{own}}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		got := cl.PollFetches(ctx).Records()
		if len(got) != 1 || len(got[0].Headers) != 1 || string(got[0].Headers[0].Value) != string(own.Value) {
			t.Errorf("read %v", got)
		}
		cl.Close()
	}
	n.stop()
	spans := receiver.Spans()
	for _, id := range []string{traceOne, traceTwo} {
		if d := cmp.Diff("Produce @1\n  append @1\n    commit @1\n", traceTree(spans, id)); d != "" {
			t.Error(d)
		}
		if p := spanNamed(t, spans, "Produce", id); hex.EncodeToString(p.GetParentSpanId()) != "b7ad6b7169203331" {
			t.Errorf("Produce is a child of %x", p.GetParentSpanId())
		}
		linked := slices.ContainsFunc(spans, func(s otlptest.Span) bool {
			l := s.GetLinks()
			return s.GetName() == "receive" && len(l) == 1 && hex.EncodeToString(l[0].GetTraceId()) == id &&
				hex.EncodeToString(l[0].GetSpanId()) == "b7ad6b7169203331"
		})
		if !linked {
			t.Errorf("no fetch links to trace %s", id)
		}
	}
}
