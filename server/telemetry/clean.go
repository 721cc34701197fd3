package telemetry

import (
	"slices"
	"strings"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// maxText bounds each text of a span, in bytes. Clients choose some: paths,
// names that errors repeat.
const maxText = 4096

// cleaned returns spans whose texts any collector takes: one that is not UTF-8
// would cost the whole batch, and clients choose some of them.
func cleaned(spans []sdktrace.ReadOnlySpan) []sdktrace.ReadOnlySpan {
	var out []sdktrace.ReadOnlySpan // a copy: the slice is the SDK's
	for i, s := range spans {
		if isClean(s) {
			continue
		}
		if out == nil {
			out = slices.Clone(spans)
		}
		out[i] = cleanSpan{s}
	}
	if out == nil {
		return spans
	}
	return out
}

func isClean(s sdktrace.ReadOnlySpan) bool {
	if !cleanText(s.Name()) || !cleanText(s.Status().Description) || !cleanAttributes(s.Attributes()) {
		return false
	}
	for _, e := range s.Events() {
		if !cleanText(e.Name) || !cleanAttributes(e.Attributes) {
			return false
		}
	}
	return true
}

func cleanText(s string) bool { return len(s) <= maxText && utf8.ValidString(s) }

func cleanAttributes(list []attribute.KeyValue) bool {
	for _, a := range list {
		if a.Value.Type() == attribute.STRING && !cleanText(a.Value.AsString()) {
			return false
		}
	}
	return true
}

// cleanSpan is a span as collectors take it.
type cleanSpan struct{ sdktrace.ReadOnlySpan }

// Name implements sdktrace.ReadOnlySpan.
func (s cleanSpan) Name() string { return clean(s.ReadOnlySpan.Name()) }

// Status implements sdktrace.ReadOnlySpan.
func (s cleanSpan) Status() sdktrace.Status {
	status := s.ReadOnlySpan.Status()
	status.Description = clean(status.Description)
	return status
}

// Attributes implements sdktrace.ReadOnlySpan.
func (s cleanSpan) Attributes() []attribute.KeyValue { return cleanList(s.ReadOnlySpan.Attributes()) }

// Events implements sdktrace.ReadOnlySpan.
func (s cleanSpan) Events() []sdktrace.Event {
	events := slices.Clone(s.ReadOnlySpan.Events())
	for i := range events {
		events[i].Name = clean(events[i].Name)
		events[i].Attributes = cleanList(events[i].Attributes)
	}
	return events
}

func cleanList(list []attribute.KeyValue) []attribute.KeyValue {
	list = slices.Clone(list)
	for i, a := range list {
		if a.Value.Type() == attribute.STRING {
			list[i].Value = attribute.StringValue(clean(a.Value.AsString()))
		}
	}
	return list
}

// clean shows what is not UTF-8 as U+FFFD, and cuts what is long.
func clean(s string) string {
	if cleanText(s) {
		return s
	}
	s = strings.ToValidUTF8(s[:min(len(s), maxText)], "\uFFFD")
	for len(s) > maxText { // replacements are longer than what they replace
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	return s
}
