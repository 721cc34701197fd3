package api

import (
	"encoding/hex"
	"net/http"
	"strings"

	"github.com/chroniklog/chronik/server"
)

const (
	cacheNever   = "no-store"
	cacheMinute  = "private, max-age=60"
	cacheForever = "private, max-age=31536000, immutable"
)

// getPartitionRecords reads one partition, in the form that the client asks
// for.
func (s *Server) getPartitionRecords(w http.ResponseWriter, r *http.Request) {
	if err := s.readPartition(w, r); err != nil {
		writeProblem(w, r, err)
	}
}

func (s *Server) readPartition(w http.ResponseWriter, r *http.Request) error {
	name, err := pathTopic(r)
	if err != nil {
		return err
	}
	number, err := pathPartition(r)
	if err != nil {
		return err
	}
	p, err := s.readReadParams(r, readParamNames)
	if err != nil {
		return err
	}
	t, err := p.topic(s, name)
	if err != nil {
		return err
	}
	if number < t.Partitions {
		if answered, err := s.direct(w, r, t.Name, number); answered || err != nil {
			return err
		}
	}
	f, err := s.partitionFeed(r.Context(), p, t, number)
	if err != nil {
		return s.failRead(w, r, p, err)
	}
	defer f.close()
	setReadHeaders(w.Header())
	if p.closed() {
		current, err := s.closedRange(w, r, p, f)
		if err != nil || current {
			return err
		}
	}
	return s.answerRead(w, r, p, f)
}

// answerRead writes what f reads.
func (s *Server) answerRead(w http.ResponseWriter, r *http.Request, p *readParams, f *feed) error {
	switch {
	case p.format == formatJSON:
		return s.writePage(w, r, p, f)
	case p.format == formatBatch:
		return s.writeBatches(w, r, p, f)
	}
	return s.writeStream(w, r, p, f)
}

// setReadHeaders sets what all reads have in common.
func setReadHeaders(h http.Header) {
	h["Cache-Control"] = []string{cacheNever}
	h["Vary"] = []string{"Accept, Accept-Encoding, Authorization"}
}

// closed tells whether both ends of the range are explicit.
func (p *readParams) closed() bool {
	return p.offset >= 0 && p.end >= 0 && !p.live()
}

// closedRange gives a range that can never change its ETag, and answers 304
// when the client has it (current). A compacted topic's ranges do change: they
// may be kept for a minute only, without an ETag.
func (s *Server) closedRange(w http.ResponseWriter, r *http.Request, p *readParams, f *feed) (current bool, err error) {
	o, err := s.broker.Offsets(r.Context(), f.topic.Name, f.spans[0].partition)
	if err != nil {
		return false, err
	}
	f.spans[0].offsets = o
	if p.offset < o.LogStart || p.end > o.LastStable {
		return false, nil
	}
	h := w.Header()
	if f.limits.Compacted {
		if p.topicID != nil {
			h["Cache-Control"] = []string{cacheMinute}
		}
		return false, nil
	}
	tag := rangeTag(f.topic.ID, f.spans[0].partition, itoa(p.offset)+"-"+itoa(p.end), p.format)
	h["Etag"] = []string{tag}
	if p.topicID != nil {
		h["Cache-Control"] = []string{cacheForever}
	}
	if matchTag(r.Header["If-None-Match"], tag) {
		w.WriteHeader(http.StatusNotModified)
		return true, nil
	}
	return false, nil
}

// rangeTag is the ETag of what a partition holds in a range, or at an offset.
func rangeTag(id server.TopicID, p int32, what string, f format) string {
	b := make([]byte, 0, 96)
	b = append(b, '"')
	b = hex.AppendEncode(b, id[:])
	b = append(b, '.')
	b = append(b, itoa(int64(p))...)
	b = append(b, '.')
	b = append(b, what...)
	b = append(b, f.tag()...)
	return string(append(b, '"'))
}

// matchTag tells whether If-None-Match lines hold a tag. The comparison is the
// weak one (RFC 9110, 13.1.2).
func matchTag(lines []string, tag string) bool {
	for _, line := range lines {
		for part := range strings.SplitSeq(line, ",") {
			part = strings.TrimPrefix(strings.TrimSpace(part), "W/")
			if part == tag || part == "*" {
				return true
			}
		}
	}
	return false
}

// failRead answers an error that came before the first record. An event
// stream's retryable ones are events of a 200: EventSource gives up for ever on
// any other status.
func (s *Server) failRead(w http.ResponseWriter, r *http.Request, p *readParams, err error) error {
	if p.format != formatSSE {
		return err
	}
	problem, _ := problemOf(err)
	if !problem.Retryable {
		return err
	}
	st := s.newStream(w, r, p, nil)
	defer st.release()
	st.fail(err)
	return nil
}
