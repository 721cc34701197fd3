package telemetry

import (
	"context"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
)

// The variables that hold headers for the collector, most of all its keys.
var headerVariables = [...]string{ //nolint:gochecknoglobals // a constant
	"OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
}

// leastSecret is the length below which a value is not looked for in texts: it
// would be found everywhere, and it keeps no secret.
const leastSecret = 6

// secrets are texts that no log may show.
type secrets []string

// secretsOf collects the values of the variables with headers, as they are
// written and as they are sent, whole and word by word.
func secretsOf(getenv func(string) string) (s secrets) {
	for _, name := range headerVariables {
		for entry := range strings.SplitSeq(getenv(name), ",") {
			key, value, ok := strings.Cut(entry, "=")
			if !ok || !headerKey(strings.TrimSpace(key)) {
				s.add(entry) // which part of it is the value is anybody's guess
			}
			s.add(value)
		}
	}
	return s
}

func (s *secrets) add(text string) {
	texts := []string{text}
	if sent, err := url.PathUnescape(text); err == nil {
		texts = append(texts, sent)
	}
	for _, t := range texts {
		t = strings.TrimSpace(t)
		for _, word := range append([]string{t}, strings.FieldsFunc(t, func(r rune) bool {
			return r == ' ' || r == ':' || r == '='
		})...) {
			if len(word) >= leastSecret && !strings.EqualFold(word, "Bearer") {
				*s = append(*s, word)
			}
		}
	}
}

// cut returns text without the secrets.
func (s secrets) cut(text string) string {
	for _, secret := range s {
		text = strings.ReplaceAll(text, secret, "***")
	}
	return text
}

// warnHeaders says which entries the SDK passes over, and nothing of what they
// hold.
func warnHeaders(log *slog.Logger, getenv func(string) string) {
	for _, name := range headerVariables {
		list := getenv(name)
		if strings.TrimSpace(list) == "" {
			continue
		}
		for i, entry := range strings.Split(list, ",") {
			key, value, ok := strings.Cut(entry, "=")
			_, err := url.PathUnescape(value)
			if !ok || err != nil || !headerKey(strings.TrimSpace(key)) {
				log.Warn("a header for the collector is not used: it wants name=value,name=value, and values as in a URL "+
					"(%20 for a space); what it holds is not shown", "variable", name, "entry", strconv.Itoa(i+1))
			}
		}
	}
}

// headerKey tells whether a header may have this name (RFC 9110, 5.6.2).
func headerKey(name string) bool {
	for _, c := range name {
		if c > '~' || c <= ' ' || strings.ContainsRune("\"(),/:;<=>?@[\\]{}", c) {
			return false
		}
	}
	return name != ""
}

// discreet is a log in which the SDK shows no secret of its variables.
type discreet struct {
	slog.Handler
	hidden secrets
}

// Handle implements slog.Handler.
func (d *discreet) Handle(ctx context.Context, r slog.Record) error {
	switch r.Message {
	case "parse headers", "escape header value":
		return nil // warnHeaders has said it
	}
	out := slog.NewRecord(r.Time, r.Level, d.hidden.cut(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		out.AddAttrs(d.attr(a))
		return true
	})
	return d.Handler.Handle(ctx, out)
}

// attr is a with its value as text where that holds a secret.
func (d *discreet) attr(a slog.Attr) slog.Attr {
	text := a.Value.Resolve().String()
	if hidden := d.hidden.cut(text); hidden != text {
		return slog.String(a.Key, hidden)
	}
	return a
}

// WithAttrs implements slog.Handler.
func (d *discreet) WithAttrs(attrs []slog.Attr) slog.Handler {
	out := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		out[i] = d.attr(a)
	}
	return &discreet{Handler: d.Handler.WithAttrs(out), hidden: d.hidden}
}

// WithGroup implements slog.Handler.
func (d *discreet) WithGroup(name string) slog.Handler {
	return &discreet{Handler: d.Handler.WithGroup(name), hidden: d.hidden}
}
