package api

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/partition"
)

// opParams is the sink of the operations on a partition: the one number that
// some of them take, -1 when it was not given.
type opParams struct {
	known []string
	n     int64

	linearizable bool
}

func (p *opParams) names() []string { return p.known }

func (p *opParams) set(name, v string) (err error) {
	if name == linearizable {
		p.linearizable, err = parseBool(name, v)
		return err
	}
	p.n, err = parseOffset(name, v)
	return err
}

var (
	offsetsParams = []string{"timestamp", linearizable}
	trimParams    = []string{"before"}
)

// partitionOf reads path and query of an operation on a partition, and finds
// the topic. The broker judges the partition.
func (s *Server) partitionOf(r *http.Request, known []string) (t server.Topic, number int32, p opParams, err error) {
	p = opParams{known: known, n: -1}
	name, err := pathTopic(r)
	if err != nil {
		return t, 0, p, err
	}
	if number, err = pathPartition(r); err != nil {
		return t, 0, p, err
	}
	if err = readQuery(r.URL.RawQuery, &p); err != nil {
		return t, 0, p, err
	}
	if t, err = s.broker.Topic(name); err != nil {
		return t, 0, p, err
	}
	if number >= t.Partitions {
		return t, 0, p, unknownPartition(name, number, t.Partitions)
	}
	return t, number, p, nil
}

// getOffsets tells a partition's offsets and, with a timestamp, the offset of
// the first record that is not older.
func (s *Server) getOffsets(w http.ResponseWriter, r *http.Request) {
	t, number, p, err := s.partitionOf(r, offsetsParams)
	answered := false
	if err == nil {
		answered, err = s.direct(w, r, t.Name, number)
	}
	var body []byte
	if err == nil && !answered {
		body, err = s.offsetsJSON(r.Context(), t, number, &p)
	}
	switch {
	case err != nil:
		writeProblem(w, r, err)
		return
	case answered:
		return
	}
	w.Header()["Cache-Control"] = []string{cacheNever}
	writeSmall(w, http.StatusOK, "", body)
}

func (s *Server) offsetsJSON(ctx context.Context, t server.Topic, number int32, p *opParams) ([]byte, error) {
	ts, find := p.n, s.broker.Offsets
	if p.linearizable {
		find = s.broker.Confirmed
	}
	o, err := find(ctx, t.Name, number)
	if err != nil {
		return nil, err
	}
	b := append(make([]byte, 0, 256), `{"partition":`...)
	b = strconv.AppendInt(b, int64(number), 10)
	b = append(b, `,"log_start_offset":`...)
	b = strconv.AppendInt(b, o.LogStart, 10)
	b = append(b, `,"high_watermark":`...)
	b = strconv.AppendInt(b, o.HighWatermark, 10)
	b = append(b, `,"last_stable_offset":`...)
	b = strconv.AppendInt(b, o.LastStable, 10)
	b = append(b, `,"leader_epoch":`...)
	b = strconv.AppendInt(b, int64(o.LeaderEpoch), 10)
	if ts >= 0 {
		offset, at, ok, err := s.broker.OffsetForTime(ctx, t.Name, number, ts)
		if err != nil {
			return nil, err
		}
		if !ok {
			offset = o.HighWatermark
		}
		b = append(b, `,"offset":`...)
		b = strconv.AppendInt(b, offset, 10)
		if ok {
			b = append(b, `,"timestamp":`...)
			b = strconv.AppendInt(b, at, 10)
		}
	}
	return append(b, "}\n"...), nil
}

// deleteRecords trims a partition's log: the records below before are gone.
func (s *Server) deleteRecords(w http.ResponseWriter, r *http.Request) {
	t, number, p, err := s.partitionOf(r, trimParams)
	if err == nil && p.n < 0 {
		err = badParameter("before", "is missing: give the offset that the log shall start at")
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.limits.AppendTimeout)
	defer cancel()
	answered := false
	if err == nil {
		answered, err = s.direct(w, r, t.Name, number)
	}
	var start int64
	if err == nil && !answered {
		start, err = s.broker.Trim(ctx, t.Name, number, p.n)
	}
	switch {
	case err != nil:
		writeProblem(w, r, err)
		return
	case answered:
		return
	}
	w.Header()["Log-Start-Offset"] = []string{itoa(start)}
	w.WriteHeader(http.StatusNoContent)
}

// fenceBody is the body of PUT …/fence.
type fenceBody struct {
	Token  *string `json:"token"`
	Expect *string `json:"expect"`
}

// putFence sets a partition's fence token.
func (s *Server) putFence(w http.ResponseWriter, r *http.Request) {
	t, number, _, err := s.partitionOf(r, nil)
	answered := false
	if err == nil {
		answered, err = s.direct(w, r, t.Name, number)
	}
	var offset int64
	if err == nil && !answered {
		offset, err = s.setFence(r, t, number)
	}
	switch {
	case err != nil:
		writeProblem(w, r, err)
		return
	case answered:
		return
	}
	w.Header()["Log-Offset"] = []string{itoa(offset)}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) setFence(r *http.Request, t server.Topic, number int32) (int64, error) {
	if media := bodyType(r); media != typeJSON {
		return 0, unsupportedType(r, typeJSON)
	}
	data, err := readBody(r, nil, s.limits.MaxControlBytes)
	if err != nil {
		return 0, err
	}
	var body fenceBody
	if err := strictJSON(data, &body); err != nil {
		return 0, err
	}
	switch {
	case body.Token == nil:
		return 0, badField("token", "is missing; the empty string takes the fence away")
	case len(*body.Token) > partition.MaxFenceToken:
		return 0, badField("token", "has %d bytes, at most %d are allowed", len(*body.Token), partition.MaxFenceToken)
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.limits.AppendTimeout)
	defer cancel()
	return s.broker.SetFence(ctx, t.Name, number, *body.Token, body.Expect)
}

// bodyType is the media type of the request's body, in lower case.
func bodyType(r *http.Request) string {
	v, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	return strings.ToLower(strings.TrimSpace(v))
}

func unsupportedType(r *http.Request, types ...string) error {
	have := "no Content-Type"
	if v := r.Header.Get("Content-Type"); v != "" {
		have = "Content-Type " + clip(v)
	}
	return badRequest(CodeUnsupportedMediaType, "this operation reads %s, the request has %s",
		strings.Join(types, ", "), have)
}
