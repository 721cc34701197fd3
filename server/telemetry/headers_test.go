package telemetry

import (
	"context"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"

	"github.com/chroniklog/chronik/storage/record"
)

const (
	parentOne = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	parentTwo = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
)

func headersOf(kv ...string) (list []record.HeaderKV) {
	for i := 0; i < len(kv); i += 2 {
		list = append(list, record.HeaderKV{Key: kv[i], Value: []byte(kv[i+1])})
	}
	return list
}

// What records carry is anybody's: a context that is none is no context, and
// one with a bad state is a context without.
func TestHeaderSpanContextOf(t *testing.T) {
	for _, c := range []struct {
		name    string
		headers []record.HeaderKV
		traceID string // empty: none
		state   string
	}{
		{"none", nil, "", ""},
		{"null", []record.HeaderKV{{Key: "traceparent"}}, "", ""},
		{"empty", headersOf("traceparent", ""), "", ""},
		{"cut short", headersOf("traceparent", parentOne[:54]), "", ""},
		{"too long", headersOf("traceparent", parentOne+"-x"), "", ""},
		{"not hexadecimal", headersOf("traceparent", strings.Replace(parentOne, "af", "zz", 1)), "", ""},
		{"of zeros", headersOf("traceparent", "00-"+strings.Repeat("0", 32)+"-b7ad6b7169203331-01"), "", ""},
		{"version ff", headersOf("traceparent", "ff"+parentOne[2:]), "", ""},
		{"version to come", headersOf("traceparent", "01"+parentOne[2:]+"-more"), parentOne[3:35], ""},
		{"several", headersOf("traceparent", parentOne, "traceparent", parentTwo), parentOne[3:35], ""},
		{"several, the first bad", headersOf("traceparent", "x", "traceparent", parentTwo), "", ""},
		{"state", headersOf("traceparent", parentOne, "tracestate", "a=1"), parentOne[3:35], "a=1"},
		{"state without a parent", headersOf("tracestate", "a=1"), "", ""},
		{"state too long", headersOf("traceparent", parentOne, "tracestate", strings.Repeat("a=1,", 10_000)), parentOne[3:35], ""},
		{"state malformed", headersOf("traceparent", parentOne, "tracestate", "\xff=\x00"), parentOne[3:35], ""},
		{"long value", headersOf("traceparent", strings.Repeat("0", 1<<20)), "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			sc := HeaderSpanContext(c.headers)
			if sc.IsValid() != (c.traceID != "") || sc.IsValid() && sc.TraceID().String() != c.traceID {
				t.Errorf("context %v, want %q", sc, c.traceID)
			}
			if got := sc.TraceState().String(); got != c.state {
				t.Errorf("state %q, want %q", got, c.state)
			}
		})
	}
}

// Whatever a record's headers and a batch's bytes are, reading a context never
// fails, and one that is found is one that may be passed on.
func FuzzHeaderSpanContext(f *testing.F) {
	f.Add("traceparent", []byte(parentOne), []byte("a=1,b=2"), []byte(nil))
	f.Add("Traceparent", []byte("00-x"), []byte("\xff"), contexts(record.CodecNone, 2))
	f.Add("TRACEPARENT", []byte("01"+parentTwo[2:]+"-y"), []byte(strings.Repeat("a=1,", 40)), contexts(record.CodecZstd, 2))
	f.Fuzz(func(t *testing.T, key string, parent, state, batch []byte) {
		headers := []record.HeaderKV{{Key: key, Value: parent}, {Key: "tracestate", Value: state}, {Key: key, Value: state}}
		if sc := HeaderSpanContext(headers); sc.IsValid() {
			if !strings.EqualFold(key, TraceparentHeader) {
				t.Fatalf("a context from header %q", key)
			}
			out := InjectHeaders(trace.ContextWithRemoteSpanContext(context.Background(), sc), nil)
			if back := HeaderSpanContext(out); back.TraceID() != sc.TraceID() || back.SpanID() != sc.SpanID() {
				t.Fatalf("%v became %v", sc, back)
			}
		}
		var l links
		l.addBatches(batch, 1<<16)
		if len(l) > maxLinks {
			t.Fatalf("%d links", len(l))
		}
	})
}
