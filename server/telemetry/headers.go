package telemetry

import (
	"context"
	"strings"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/chroniklog/chronik/storage/record"
)

// The record headers that carry a trace context, as W3C names them.
const (
	TraceparentHeader = "traceparent"
	TracestateHeader  = "tracestate"
)

// InjectHeaders returns headers with the trace context of ctx appended, unless
// ctx has none or the record brought its own: a producer that traces knows
// better than the broker where the record came from. The slice may be grown in
// place, as append does.
func InjectHeaders(ctx context.Context, headers []record.HeaderKV) []record.HeaderKV {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return headers
	}
	for i := range headers {
		if strings.EqualFold(headers[i].Key, TraceparentHeader) {
			return headers
		}
	}
	c := headerCarrier{headers: headers}
	propagation.TraceContext{}.Inject(ctx, &c)
	return c.headers
}

// HeaderSpanContext returns the trace context that a record's headers carry;
// not valid if they carry none or a malformed one.
func HeaderSpanContext(headers []record.HeaderKV) trace.SpanContext {
	c := headerCarrier{headers: headers}
	return trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), &c))
}

// headerCarrier shows record headers to a propagator.
type headerCarrier struct {
	headers []record.HeaderKV
}

func (c *headerCarrier) Get(key string) string {
	for i := range c.headers {
		if strings.EqualFold(c.headers[i].Key, key) {
			return string(c.headers[i].Value)
		}
	}
	return ""
}

func (c *headerCarrier) Set(key, value string) {
	c.headers = append(c.headers, record.HeaderKV{Key: key, Value: []byte(value)})
}

func (c *headerCarrier) Keys() []string {
	keys := make([]string, len(c.headers))
	for i := range c.headers {
		keys[i] = c.headers[i].Key
	}
	return keys
}
