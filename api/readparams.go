package api

import (
	"encoding/hex"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/partition"
)

var (
	readParamNames = []string{
		"offset", "from", "timestamp", "tail", "end", "limit", "max_bytes", "wait",
		"isolation", "clamp", "format", "follow", "value", "topic_id", linearizable,
	}
	topicReadParamNames = []string{
		"cursor", "from", "timestamp", "tail", "limit", "max_bytes", "wait",
		"isolation", "clamp", "format", "follow", "value", "topic_id", linearizable,
	}
)

const (
	fromEarliest = "earliest"
	fromLatest   = "latest"
	lastEventID  = "Last-Event-ID"
)

// readParams are what a read's query and headers ask for. Numbers that were
// not given are -1.
type readParams struct {
	known  []string
	limits *Limits

	start     string // the parameter that chose the start; empty: earliest
	from      string
	cursor    string
	offset    int64
	timestamp int64
	tail      int64

	end       int64
	limit     int64
	maxBytes  int64
	wait      time.Duration
	isolation partition.Isolation
	clamp     bool
	follow    bool
	embed     bool
	format    format
	formatSet bool
	topicID   *server.TopicID

	linearizable bool
}

// readReadParams reads the query, the Accept header and Last-Event-ID, and
// judges whether they go together.
func (s *Server) readReadParams(r *http.Request, known []string) (*readParams, error) {
	p := &readParams{
		known: known, limits: &s.limits, isolation: partition.ReadCommitted,
		offset: -1, timestamp: -1, tail: -1, end: -1, limit: -1, maxBytes: -1,
	}
	if err := readQuery(r.URL.RawQuery, p); err != nil {
		return nil, err
	}
	if !p.formatSet {
		f, err := acceptFormat(r.Header["Accept"])
		if err != nil {
			return nil, err
		}
		p.format = f
	}
	if p.format == formatSSE {
		// EventSource sends it when it reconnects, with the first URL: where it
		// stopped goes before where it started.
		if id := r.Header.Get(lastEventID); id != "" {
			p.cursor, p.start = id, lastEventID
		}
	}
	return p, p.check()
}

func (p *readParams) check() error {
	switch {
	case p.follow && p.format != formatNDJSON && p.format != formatSSE:
		return badParameter("follow", "only application/x-ndjson can be followed; text/event-stream always is")
	case p.format == formatJSON && p.limit > int64(p.limits.MaxReadRecords):
		return badParameter("limit", "a JSON page has at most %d records; use NDJSON for more", p.limits.MaxReadRecords)
	case p.embed && (p.format == formatBatch || p.format == formatValue):
		return badParameter("value", "value=json has no meaning with format=%s", p.format)
	case p.offset >= 0 && p.end >= 0 && p.end < p.offset:
		return badParameter("end", "is below offset")
	}
	return nil
}

func (p *readParams) live() bool { return p.format == formatSSE || p.follow }

func (p *readParams) names() []string { return p.known }

// onePartition is where offsets have a meaning.
const onePartition = "read one partition at /v1/topics/{topic}/partitions/{partition}/records?offset=N"

// hint is for those who read a topic as they would one of its partitions.
func (p *readParams) hint(name string) string {
	switch name {
	case "offset", "end", "partition":
		return onePartition
	}
	return ""
}

func (p *readParams) set(name, v string) (err error) {
	switch name {
	case "offset", "from", "timestamp", "tail", "cursor":
		return p.setStart(name, v)
	case "end":
		p.end, err = parseOffset(name, v)
	case "limit":
		p.limit, err = parseCount(name, v, server.MaxOffset)
	case "max_bytes":
		p.maxBytes, err = parseCount(name, v, p.limits.MaxReadBytes)
	case "wait":
		p.wait, err = parseWait(name, v, p.limits.MaxWait)
	case "isolation":
		return p.setIsolation(v)
	case "clamp":
		p.clamp, err = parseBool(name, v)
	case "follow":
		p.follow, err = parseBool(name, v)
	case "format":
		p.format, err = parseFormat(v)
		p.formatSet = true
	case "value":
		if v != "json" {
			return badParameter(name, "want json, have %q", clip(v))
		}
		p.embed = true
	case "topic_id":
		p.topicID, err = parseTopicID(name, v)
	case linearizable:
		p.linearizable, err = parseBool(name, v)
	}
	return err
}

// setStart takes the starting point, of which there is one at most.
func (p *readParams) setStart(name, v string) (err error) {
	if p.start != "" {
		return badParameter(name, "start with either %s or %s", p.start, name)
	}
	p.start = name
	switch name {
	case "offset":
		p.offset, err = parseOffset(name, v)
	case "timestamp":
		p.timestamp, err = parseOffset(name, v)
	case "tail":
		p.tail, err = parseOffset(name, v)
	case "cursor":
		p.cursor = v
	case "from":
		if v != fromEarliest && v != fromLatest {
			hint := "for a number use offset"
			if !slices.Contains(p.known, "offset") {
				hint = "for a number " + onePartition
			}
			return badParameter(name, "want earliest or latest, have %q; %s", clip(v), hint)
		}
		p.from = v
	}
	return err
}

func (p *readParams) setIsolation(v string) error {
	switch v {
	case "read_committed":
		p.isolation = partition.ReadCommitted
	case "read_uncommitted":
		p.isolation = partition.ReadUncommitted
	default:
		return badParameter("isolation", "want read_committed or read_uncommitted, have %q", clip(v))
	}
	return nil
}

// parseCount reads a number from 1 to limit.
func parseCount(name, v string, limit int64) (int64, error) {
	n, err := parseDigits(name, v, limit)
	if err != nil || n == 0 {
		return 0, badParameter(name, "want a whole number from 1 to %d, have %q", limit, clip(v))
	}
	return n, nil
}

// parseTopicID reads a UUID in its usual form, 8-4-4-4-12.
func parseTopicID(name, v string) (*server.TopicID, error) {
	var id server.TopicID
	plain := strings.ReplaceAll(v, "-", "")
	if len(v) != 36 || len(plain) != 32 || v[8] != '-' || v[13] != '-' || v[18] != '-' || v[23] != '-' {
		return nil, badParameter(name, "want a topic's id, a UUID, have %q", clip(v))
	}
	if _, err := hex.Decode(id[:], []byte(plain)); err != nil {
		return nil, badParameter(name, "want a topic's id, a UUID, have %q", clip(v))
	}
	return &id, nil
}

// topic finds the topic of a read, which is never created by one, and holds it
// against topic_id.
func (p *readParams) topic(s *Server, name string) (server.Topic, error) {
	t, err := s.broker.Topic(name)
	if err != nil {
		return t, err
	}
	return t, pinned(p.topicID, &t)
}

func pinned(id *server.TopicID, t *server.Topic) error {
	if id != nil && *id != t.ID {
		return topicIDMismatch(t.Name)
	}
	return nil
}

// budget is the bound of an answer in records; math.MaxInt64 when it has none.
func (p *readParams) budget() int64 {
	switch {
	case p.limit >= 0:
		return p.limit
	case p.format == formatJSON:
		return int64(p.limits.MaxReadRecords)
	}
	return math.MaxInt64
}

// byteBudget is the bound of an answer in bytes.
func (p *readParams) byteBudget() int64 {
	switch {
	case p.maxBytes >= 0:
		return p.maxBytes
	case p.format == formatJSON:
		return p.limits.MaxReadBytes
	}
	return math.MaxInt64
}

// itoa is strconv's, for int64.
func itoa(n int64) string { return strconv.FormatInt(n, 10) }
