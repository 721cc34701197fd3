package api

import (
	"context"
	"net/http"

	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/storage/record"
)

// sandbox keeps a record that a browser opens from being a page of this
// origin, which is the console's: no scripts, no origin.
const sandbox = "default-src 'none'; style-src 'unsafe-inline'; sandbox"

// oneRecord is the emitter and the params of a read of a single record.
type oneRecord struct {
	known   []string
	topicID *server.TopicID
	// linearizable and atLeast: see confirm.
	linearizable bool
	atLeast      int64

	found bool
	rec   record.Record
}

var recordGetParams = []string{"topic_id", linearizable}

func (o *oneRecord) names() []string { return o.known }

func (o *oneRecord) set(name, v string) (err error) {
	if name == linearizable {
		o.linearizable, err = parseBool(name, v)
		return err
	}
	o.topicID, err = parseTopicID(name, v)
	return err
}

// emit implements emitter. The record aliases the batch and the feed's buffer,
// which nobody touches before the answer is written.
func (o *oneRecord) emit(_ int32, r *record.Record) bool {
	o.found, o.rec = true, *r
	return false
}

// getRecord answers with one record's exact bytes.
func (s *Server) getRecord(w http.ResponseWriter, r *http.Request) {
	if err := s.readRecord(w, r); err != nil {
		writeProblem(w, r, err)
	}
}

func (s *Server) readRecord(w http.ResponseWriter, r *http.Request) error {
	name, err := pathTopic(r)
	if err != nil {
		return err
	}
	number, err := pathPartition(r)
	if err != nil {
		return err
	}
	text, err := pathParam(r, "offset")
	if err != nil {
		return err
	}
	offset, err := parseOffset("offset", text)
	if err != nil {
		return err
	}
	one := oneRecord{known: recordGetParams}
	if err := readQuery(r.URL.RawQuery, &one); err != nil {
		return err
	}
	t, err := s.broker.Topic(name)
	if err != nil {
		return err
	}
	if err := pinned(one.topicID, &t); err != nil {
		return err
	}
	if answered, err := s.direct(w, r, t.Name, number); answered || err != nil {
		return err
	}
	if one.atLeast, err = s.confirm(r.Context(), one.linearizable, t.Name, number); err != nil {
		return err
	}
	f, err := s.fetchRecord(r.Context(), t, number, offset, &one)
	if err != nil {
		return err
	}
	if !one.found {
		return unknownRecord(t.Name, number, offset, f.spans[0].offsets.HighWatermark)
	}
	tag := rangeTag(t.ID, number, itoa(offset), formatJSON)
	setReadHeaders(w.Header())
	if one.topicID != nil {
		cache := cacheForever
		if f.limits.Compacted {
			cache = cacheMinute
		}
		w.Header()["Cache-Control"] = []string{cache}
	}
	s.writeRecord(w, r, number, &one.rec, tag)
	return nil
}

// fetchRecord looks for the record at an offset.
func (s *Server) fetchRecord(
	ctx context.Context, t server.Topic, number int32, offset int64, one *oneRecord,
) (*feed, error) {
	if number >= t.Partitions {
		return nil, unknownPartition(t.Name, number, t.Partitions)
	}
	f := &feed{s: s, topic: t, limits: s.broker.TopicLimits(t), isolation: partition.ReadCommitted}
	f.spans = []span{{partition: number, next: offset, end: offset + 1, atLeast: one.atLeast}}
	if _, err := f.pull(ctx, &f.spans[0], 1, one); err != nil {
		if hw, beyond := beyondEnd(err); beyond {
			return nil, unknownRecord(t.Name, number, offset, hw)
		}
		return nil, err
	}
	return f, nil
}

// unknownRecord: nothing was written there yet, or what was is of no consumer's
// concern, or compacted away.
func unknownRecord(topic string, p int32, offset, hw int64) error {
	e := badRequest(CodeUnknownRecord, "%s/%d has no record at offset %d", topic, p, offset)
	e.Members.HighWatermark = &hw
	return e
}

// writeRecord answers with a record's value, its metadata in headers, or with
// 304 when the client has it already.
func (s *Server) writeRecord(w http.ResponseWriter, r *http.Request, p int32, rec *record.Record, tag string) {
	h := w.Header()
	h["Etag"] = []string{tag}
	if matchTag(r.Header["If-None-Match"], tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h["Log-Partition"] = []string{itoa(int64(p))}
	h["Log-Offset"] = []string{itoa(rec.Offset)}
	h["Log-Timestamp"] = []string{itoa(rec.Timestamp)}
	if rec.Key != nil {
		h[logKey] = []string{string(encodeBytes(nil, rec.Key))}
	}
	setLogHeaders(h, rec.Headers)
	h["X-Content-Type-Options"] = []string{"nosniff"}
	h["Content-Security-Policy"] = []string{sandbox}
	if rec.Value == nil {
		w.WriteHeader(http.StatusNoContent) // a tombstone is not an empty value
		return
	}
	h["Content-Type"] = []string{mediaTypeOf(rec.Headers)}
	h["Content-Length"] = []string{itoa(int64(len(rec.Value)))}
	out := s.newAnswer(w, formatValue)
	defer out.release()
	out.begun = true
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		out.send(rec.Value)
	}
}

// maxLogHeaders bounds the Log-Header lines of an answer, which clients bound
// too. Records written over HTTP stay below it.
const maxLogHeaders = 64 << 10

// setLogHeaders adds the record's headers; Log-Headers-Omitted counts those
// that found no room.
func setLogHeaders(h http.Header, headers []record.HeaderKV) {
	if len(headers) == 0 {
		return
	}
	lines, size := make([]string, 0, len(headers)), 0
	for i := range headers {
		line := string(encodeHeader(nil, &headers[i]))
		if size += len(line); size > maxLogHeaders {
			h["Log-Headers-Omitted"] = []string{itoa(int64(len(headers) - i))}
			break
		}
		lines = append(lines, line)
	}
	h[logHeader] = lines
}
