package api

import (
	"math"
	"net/http"
	"net/url"
	"strconv"

	"github.com/go-chi/chi/v5"

	"github.com/chroniklog/chronik/server"
)

// pathParam is a path parameter, decoded: chi routes on the escaped path when
// it differs, so that %2F stays inside one segment, and hands that form out.
func pathParam(r *http.Request, name string) (string, error) {
	rctx := chi.RouteContext(r.Context())
	if rctx == nil { // shortcut has routed
		topic, _ := producePath(r.URL.Path)
		return topic, nil
	}
	v := rctx.URLParam(name)
	if r.URL.RawPath == "" {
		return v, nil
	}
	d, err := url.PathUnescape(v)
	if err != nil {
		return "", badParameter(name, "bad percent-encoding")
	}
	return d, nil
}

// pathTopic is the {topic} of the path. Whether such a topic can exist is the
// broker's to say.
func pathTopic(r *http.Request) (string, error) { return pathParam(r, "topic") }

// pathPartition is the {partition} of the path.
func pathPartition(r *http.Request) (int32, error) {
	v, err := pathParam(r, "partition")
	if err != nil {
		return 0, err
	}
	return parsePartition(v)
}

// parsePartition reads a partition number: decimal digits, 0 to 2³¹−1.
func parsePartition(v string) (int32, error) {
	n, err := parseDigits("partition", v, math.MaxInt32)
	return int32(n), err
}

// parseOffset reads an offset: decimal digits, 0 to server.MaxOffset.
func parseOffset(name, v string) (int64, error) {
	return parseDigits(name, v, server.MaxOffset)
}

// parseDigits reads a number from 0 to limit without sign, space or exponent.
func parseDigits(name, v string, limit int64) (int64, error) {
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil || n > uint64(limit) || v[0] == '+' {
		return 0, badParameter(name, "want a whole number from 0 to %d, have %q", limit, clip(v))
	}
	return int64(n), nil
}

// clip bounds what an error message repeats of the client's input.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
