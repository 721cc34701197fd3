package api

import (
	"strconv"
	"strings"
)

// format is the form of an answer with records.
type format uint8

const (
	formatJSON   format = iota // one page
	formatNDJSON               // one record per line
	formatSSE                  // server-sent events, live
	formatBatch                // record batches as stored
	formatValue                // values, each followed by a newline
)

const (
	typeJSON   = "application/json"
	typeNDJSON = "application/x-ndjson"
	typeSSE    = "text/event-stream"
	typeBatch  = "application/vnd.kafka.recordbatch.v2"
)

// formatNames are the values of the query parameter format, by format.
var formatNames = [...]string{"json", "ndjson", "sse", "recordbatch", "value"}

// mediaTypes are the Content-Types of the formats.
var mediaTypes = [...]string{typeJSON, typeNDJSON, typeSSE, typeBatch, octetStream}

func (f format) String() string    { return formatNames[f] }
func (f format) mediaType() string { return mediaTypes[f] }

// tag marks the ETag of a format, since one URL has several.
func (f format) tag() string {
	if f == formatJSON {
		return ""
	}
	return "." + f.String()
}

func parseFormat(v string) (format, error) {
	for i, name := range formatNames {
		if v == name {
			return format(i), nil
		}
	}
	return 0, badParameter("format", "want one of %s, have %q", strings.Join(formatNames[:], ", "), clip(v))
}

// accepted are the media types that Accept is matched with, the preferred
// first: on equal weight the earlier wins.
var accepted = [...]struct {
	name string
	format
}{
	{typeJSON, formatJSON},
	{typeNDJSON, formatNDJSON},
	{"application/ndjson", formatNDJSON},
	{"application/jsonl", formatNDJSON},
	{typeSSE, formatSSE},
	{typeBatch, formatBatch},
	{octetStream, formatValue},
}

// acceptFormat picks the format that the Accept lines of a request prefer
// (RFC 9110, 12.5.1): the most specific range that matches a type gives its
// weight, and the type of the highest weight wins. Values without a "/" are
// ignored, as is a request without any range: JSON.
func acceptFormat(lines []string) (format, error) {
	if len(lines) == 0 || len(lines) == 1 && (lines[0] == "*/*" || lines[0] == typeJSON) {
		return formatJSON, nil
	}
	best, bestQ, ranges := formatJSON, 0.0, false
	for _, a := range accepted {
		q, specific := 0.0, -1
		for _, line := range lines {
			for part := range strings.SplitSeq(line, ",") {
				name, params, _ := strings.Cut(part, ";")
				name = strings.ToLower(strings.TrimSpace(name))
				ranges = ranges || strings.Contains(name, "/")
				if s := matchRange(name, a.name); s > specific {
					specific, q = s, acceptWeight(params)
				}
			}
		}
		// */* alone must not choose a form that only programs can read.
		if q > bestQ && (specific > 0 || a.format == formatJSON) {
			best, bestQ = a.format, q
		}
	}
	if bestQ == 0 && ranges {
		return 0, badRequest(CodeNotAcceptable, "Accept: this operation answers %s, %s, %s, %s and %s",
			typeJSON, typeNDJSON, typeSSE, typeBatch, octetStream)
	}
	return best, nil
}

// matchRange tells how specifically a range names a media type; -1: not.
func matchRange(r, name string) int {
	switch {
	case r == name:
		return 2
	case r == "*/*":
		return 0
	case strings.HasSuffix(r, "/*") && strings.HasPrefix(name, r[:len(r)-1]):
		return 1
	}
	return -1
}

// acceptWeight reads q among the parameters of a range; 1 when absent, 0 when
// malformed.
func acceptWeight(params string) float64 {
	for p := range strings.SplitSeq(params, ";") {
		name, v, found := strings.Cut(p, "=")
		if !found || !strings.EqualFold(strings.TrimSpace(name), "q") {
			continue
		}
		q, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
		if err != nil || !(q >= 0 && q <= 1) {
			return 0
		}
		return q
	}
	return 1
}
