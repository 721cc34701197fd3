package api

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/partition"
)

// ifMatch is an If-Match condition on a key.
type ifMatch struct {
	any     bool // "*": the key has a value
	offsets []int64
}

// holds judges the condition by the offset of the live value, NoOffset when
// there is none.
func (m *ifMatch) holds(offset int64) bool {
	if offset == partition.NoOffset {
		return false
	}
	return m.any || m.pick(offset) == offset
}

// pick is the offset that the append must find: the current one when it is
// among those that match, else the first of them.
func (m *ifMatch) pick(offset int64) int64 {
	if m.any {
		return offset
	}
	for _, o := range m.offsets {
		if o == offset {
			return o
		}
	}
	return m.offsets[0]
}

// parseIfMatch reads If-Match; nil when there is none. A tag that no key can
// have never matches, which is an offset that no record has.
func parseIfMatch(r *http.Request) (*ifMatch, error) {
	lines := r.Header["If-Match"]
	if len(lines) == 0 {
		return nil, nil
	}
	m := new(ifMatch)
	for _, line := range lines {
		for part := range strings.SplitSeq(line, ",") {
			part = strings.TrimSpace(part)
			if part == "*" {
				m.any = true
				continue
			}
			if len(part) < 2 || part[0] != '"' || part[len(part)-1] != '"' {
				return nil, badParameter("If-Match", `want * or ETags such as "42", have %q`, clip(part))
			}
			offset, err := strconv.ParseInt(part[1:len(part)-1], 10, 64)
			if err != nil || offset < 0 || offset > server.MaxOffset {
				offset = server.MaxOffset
			}
			m.offsets = append(m.offsets, offset)
		}
	}
	return m, nil
}

// wantsAbsent reads If-None-Match of a write, which knows only "*".
func wantsAbsent(r *http.Request) (bool, error) {
	lines := r.Header["If-None-Match"]
	if len(lines) == 0 {
		return false, nil
	}
	if len(lines) != 1 || strings.TrimSpace(lines[0]) != "*" {
		return false, badParameter("If-None-Match", "a write knows only *, which asks that the key has no value")
	}
	if r.Header["If-Match"] != nil {
		return false, badParameter("If-None-Match", "contradicts If-Match")
	}
	return true, nil
}
