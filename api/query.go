package api

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/chroniklog/chronik/server/config"
)

// paramSink takes the query parameters of one operation.
type paramSink interface {
	// names lists the parameters that the operation knows, at most 32.
	names() []string
	// set takes a parameter's decoded value. Each comes at most once.
	set(name, value string) error
}

// paramHints is a sink that knows what else a parameter may have been meant
// for; empty: nothing.
type paramHints interface{ hint(name string) string }

// readQuery hands each parameter of a raw query to sink. It refuses unknown
// parameters, repeated ones and bad percent-encoding. An empty query, the most
// frequent one, costs nothing: no url.Values is ever made.
func readQuery(raw string, sink paramSink) error {
	var seen uint32
	for raw != "" {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, err := unescapeQuery(name)
		if err != nil {
			return badRequest(CodeInvalidParameter, "the query has a bad percent-encoding: %q", clip(pair))
		}
		known := sink.names()
		i := slices.Index(known, name)
		if i < 0 {
			return unknownParameter(name, sink)
		}
		if seen&(1<<i) != 0 {
			return badParameter(name, "is given twice")
		}
		seen |= 1 << i
		if value, err = unescapeQuery(value); err != nil {
			return badParameter(name, "bad percent-encoding")
		}
		if err := sink.set(name, value); err != nil {
			return err
		}
	}
	return nil
}

// unescapeQuery is url.QueryUnescape, free where nothing is escaped.
func unescapeQuery(s string) (string, error) {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return s, nil
	}
	return url.QueryUnescape(s)
}

func unknownParameter(name string, sink paramSink) error {
	known, hint := sink.names(), ""
	if h, ok := sink.(paramHints); ok {
		hint = h.hint(name)
	}
	detail := clip(name) + ": this operation knows no parameter of that name"
	switch {
	case hint != "":
		detail += "; " + hint
	case len(known) == 0:
		detail += "; it has none"
	case len(name) <= 64: // the distance is quadratic
		detail += "; did you mean " + config.Nearest(name, known) + "?"
	default:
		detail += "; it knows " + strings.Join(known, ", ")
	}
	return &Error{Code: CodeUnknownParameter, Detail: detail, Members: Members{Parameter: clip(name)}}
}

// noParams is the sink of an operation without query parameters.
type noParams struct{}

func (noParams) names() []string          { return nil }
func (noParams) set(string, string) error { return nil }

// parseBool reads true or false; a bare name (?clamp) is true.
func parseBool(name, v string) (bool, error) {
	switch v {
	case "true", "":
		return true, nil
	case "false":
		return false, nil
	}
	return false, badParameter(name, "want true or false, have %q", clip(v))
}

// parseWait reads a time to wait: seconds ("2.5") or a Go duration ("500ms"),
// from 0 to limit.
func parseWait(name, v string, limit time.Duration) (time.Duration, error) {
	seconds, err := strconv.ParseFloat(v, 64)
	if err == nil && seconds >= 0 && seconds <= limit.Seconds() {
		return time.Duration(seconds * float64(time.Second)), nil
	}
	if d, derr := time.ParseDuration(v); err != nil && derr == nil && d >= 0 && d <= limit {
		return d, nil
	}
	return 0, badParameter(name, "want seconds or a duration from 0 to %s, have %q", limit, clip(v))
}
