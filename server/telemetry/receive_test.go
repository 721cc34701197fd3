package telemetry

import (
	"context"
	"fmt"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/chroniklog/chronik/storage/record"
)

// contexts is a batch of records: n with a context of their own, each twice.
func contexts(codec record.Codec, n int) []byte {
	b := record.NewBuilder(codec)
	b.Reset(0, 0)
	for i := range 2 * n {
		value := fmt.Sprintf("00-%032x-%016x-01", i/2+1, i/2+1)
		b.Append(0, nil, nil, []record.HeaderKV{{Key: "traceparent", Value: []byte(value)}})
	}
	return b.Build(nil)
}

func recorder(t *testing.T) (*tracetest.InMemoryExporter, *sdktrace.TracerProvider) {
	t.Helper()
	out := tracetest.NewInMemoryExporter()
	return out, sdktrace.NewTracerProvider(sdktrace.WithSyncer(out))
}

func TestReceiveLinks(t *testing.T) {
	plain := record.NewBuilder(record.CodecNone)
	plain.Reset(0, 0)
	plain.Append(0, nil, []byte("x"), nil)
	for _, c := range []struct {
		name         string
		batches      []byte
		links, count int
	}{
		{"each context once", contexts(record.CodecNone, 3), 3, 6},
		{"compressed", contexts(record.CodecZstd, 3), 3, 6},
		{"bounded", contexts(record.CodecNone, 2*maxLinks), maxLinks, 4 * maxLinks},
		{"several batches", append(contexts(record.CodecNone, 1), plain.Build(nil)...), 1, 3},
		{"no context", plain.Build(nil), 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, provider := recorder(t)
			ctx, end := StartFetch(t.Context(), provider.Tracer(""), "c")
			Batches(ctx, provider.Tracer(""), ReceivedAt{Topic: "t", MaxDecompressed: 1 << 20}, c.batches)
			end()
			span, fetch := out.GetSpans()[0], out.GetSpans()[1]
			if !hasAttribute(&fetch, attrOperationType.String("receive")) || !hasAttribute(&fetch, attrClientID.String("c")) {
				t.Errorf("Fetch: %v", fetch.Attributes)
			}
			if len(span.Links) != c.links {
				t.Errorf("%d links, want %d", len(span.Links), c.links)
			}
			if !hasAttribute(&span, attrBatchCount.Int(c.count)) {
				t.Errorf("want %d records: %v", c.count, span.Attributes)
			}
		})
	}
}

func hasAttribute(s *tracetest.SpanStub, want any) bool {
	for _, a := range s.Attributes {
		if a == want {
			return true
		}
	}
	return false
}

// A batch whose first record's producer was not sampled leaves no span, and
// without a tracer none is made.
func TestProduceFollowsItsProducer(t *testing.T) {
	b := record.NewBuilder(record.CodecNone)
	b.Reset(0, 0)
	b.Append(0, nil, nil, []record.HeaderKV{{
		Key: "traceparent", Value: []byte("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"),
	}})
	_, provider := recorder(t)
	p := Produced{Topic: "t", MaxDecompressed: 1 << 20, Batch: b.Build(nil)}
	if _, end := StartProduce(context.Background(), provider.Tracer(""), p); end != nil {
		t.Error("a span of a trace that its producer did not sample")
	}
	if _, end := StartProduce(context.Background(), nil, p); end != nil {
		t.Error("a span without a tracer")
	}
}
