package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/storage/record"
)

var batchParams = []string{"partition", "acks", "expect_offset", "fence"}

// postBatches appends many records, in one of three forms.
func (s *Server) postBatches(w http.ResponseWriter, r *http.Request) {
	p := getProduce(batchParams)
	defer putProduce(p)
	if err := s.produceBatches(w, r, p); err != nil {
		writeProblem(w, r, err)
	}
}

func (s *Server) produceBatches(w http.ResponseWriter, r *http.Request, p *produce) error {
	name, err := pathTopic(r)
	if err != nil {
		return err
	}
	form, err := batchForm(r)
	if err != nil {
		return err
	}
	if err := readQuery(r.URL.RawQuery, p); err != nil {
		return err
	}
	for _, h := range [...]string{logKey, logHeader} {
		if r.Header[h] != nil {
			return badParameter(h, "belongs to POST …/records; here each record has its own key and headers")
		}
	}
	if err := p.readHeaders(s, r); err != nil {
		return err
	}
	cond, err := p.conditions()
	if err != nil {
		return err
	}
	if form == formatNDJSON {
		if err := p.resolve(r.Context(), s, name); err != nil {
			return err
		}
		return s.streamBatches(w, r, p, cond)
	}
	if form == formatBatch {
		return s.storeBatches(w, r, p, name, cond)
	}
	return s.packBatch(w, r, p, name, cond)
}

// batchForm tells the form of the body by its Content-Type.
func batchForm(r *http.Request) (format, error) {
	switch bodyType(r) {
	case typeJSON:
		return formatJSON, nil
	case typeNDJSON, "application/ndjson", "application/jsonl":
		return formatNDJSON, nil
	case typeBatch:
		return formatBatch, nil
	}
	return 0, unsupportedType(r, typeJSON+" (with curl, use --json)", typeNDJSON, typeBatch)
}

// packBatch appends the records of a JSON body. All of them are judged before
// any is appended.
func (s *Server) packBatch(
	w http.ResponseWriter, r *http.Request, p *produce, name string, cond partition.Conditions,
) (err error) {
	if p.body, err = readBody(r, p.body, s.limits.MaxBatchBytes); err != nil {
		return err
	}
	records, err := s.scanBatch(p.body)
	if err != nil {
		return err
	}
	if err := p.resolve(r.Context(), s, name); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.limits.AppendTimeout)
	defer cancel()
	k := s.newPacker(ctx, p, cond)
	for i := range records {
		if err := k.check(&records[i]); err != nil {
			return prefixed(err, "records["+itoa(int64(i))+"]")
		}
	}
	if traced(r) {
		k.traceWith(r.Context())
	}
	k.begin()
	results := make([]result, len(records))
	for i := range records {
		if p.idemKey != "" {
			results[i] = k.addKeyed(&records[i], p.idemKey+"#"+strconv.Itoa(i))
			continue
		}
		results[i] = k.add(&records[i])
	}
	k.flush()
	for i := range results {
		results[i].wait(ctx, s)
	}
	return s.answerBatch(w, r, p, results)
}

// scanBatch reads the document {"records":[…]}.
func (s *Server) scanBatch(body []byte) ([]batchRecord, error) {
	if len(body) == 0 {
		return nil, badRequest(CodeInvalidJSON, `the body is empty; {"records":[…]} is wanted`)
	}
	scan := newRecordScanner(&s.limits)
	scan.buf = body
	var records []batchRecord
	seen := false
	err := scan.object(func(name []byte) error {
		if string(name) != "records" {
			shown := clip(string(name))
			return &Error{
				Code: CodeUnknownField, Members: Members{Field: shown},
				Detail: shown + `: the body has no member of that name; it is {"records":[…]}`,
			}
		}
		if seen {
			return badField("records", "the member is there twice")
		}
		seen = true
		return prefixed(scan.array(func(i int) error {
			if i >= s.limits.MaxBatchRecords {
				return tooLarge("", "%d records or more, at most %d are allowed in one request", i+1, s.limits.MaxBatchRecords)
			}
			var rec batchRecord
			if err := scan.record(&rec); err != nil {
				return prefixed(err, "["+itoa(int64(i))+"]")
			}
			records = append(records, rec)
			return nil
		}), "records")
	})
	if err != nil {
		return nil, err
	}
	if scan.space(); scan.pos != len(body) {
		return nil, scan.syntax("there is more after the JSON document")
	}
	if len(records) == 0 {
		return nil, badField("records", "there are none")
	}
	return records, nil
}

// answerBatch answers with each record's result in the order of the request:
// 200 when all are written, 207 when some are; when none is, with the problem
// of the first, or of the first whose outcome is unknown.
func (s *Server) answerBatch(w http.ResponseWriter, r *http.Request, p *produce, results []result) error {
	failed := 0
	var worst error
	for i := range results {
		err := results[i].err
		if err == nil {
			continue
		}
		failed++
		if worst == nil || outcomeOf(worst) == NotApplied && outcomeOf(err) == Unknown {
			worst = err
		}
	}
	if failed == len(results) {
		return worst
	}
	out := s.newAnswer(w, formatJSON)
	defer out.release()
	switch {
	case failed > 0:
		out.status = http.StatusMultiStatus
	case p.acks == partition.AcksNone:
		out.status = http.StatusAccepted
	}
	b := append(out.buf.b, `{"results":[`...)
	for i := range results {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendResult(b, w, r, p, &results[i])
	}
	b = append(b, `],"failed":`...)
	b = strconv.AppendInt(b, int64(failed), 10)
	out.buf.b = append(b, "}\n"...)
	out.finish()
	return nil
}

func outcomeOf(err error) Outcome {
	problem, _ := problemOf(err)
	return problem.Outcome
}

// appendResult appends one result as schema BatchResultItem.
func appendResult(dst []byte, w http.ResponseWriter, r *http.Request, p *produce, res *result) []byte {
	if res.err != nil {
		dst = append(dst, `{"error":`...)
		dst = appendProblem(dst, w, r, res.err)
		if res.line > 0 {
			dst = append(dst, `,"line":`...)
			dst = strconv.AppendInt(dst, res.line, 10)
		}
		return append(dst, '}')
	}
	if p.acks == partition.AcksNone {
		return appendPartition(dst, res.partition)
	}
	a := res.at()
	dst = appendProduced(dst, res.partition, &a)
	if res.whole {
		dst = append(dst[:len(dst)-1], `,"last_offset":`...)
		dst = append(strconv.AppendInt(dst, a.LastOffset, 10), '}')
	}
	return dst
}

// appendProblem appends a problem as JSON.
func appendProblem(dst []byte, w http.ResponseWriter, r *http.Request, err error) []byte {
	b, merr := json.Marshal(problemFor(w, r, err))
	if merr != nil { // every member is a number, a bool or a string
		panic("api: problem can't be marshalled: " + merr.Error())
	}
	return append(dst, b...)
}

// storeBatches appends the record batches of the body as they are. All of them
// are judged before any is appended.
func (s *Server) storeBatches(
	w http.ResponseWriter, r *http.Request, p *produce, name string, cond partition.Conditions,
) error {
	switch {
	case p.partition == anyPartition:
		return &Error{
			Code: CodePartitionRequired, Members: Members{Parameter: "partition"},
			Detail: "record batches belong to one partition: add partition=N to the query",
		}
	case p.producer != nil || p.idemKey != "":
		return badRequest(CodeInvalidProducer, "a record batch names its producer itself; leave out the header")
	}
	// Not pooled: the partition owns the bytes.
	body, err := readBody(r, nil, s.limits.MaxBatchBytes)
	if err != nil {
		return err
	}
	if err := p.resolve(r.Context(), s, name); err != nil {
		return err
	}
	appends, err := s.judgeBatches(body, &p.limits)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.limits.AppendTimeout)
	defer cancel()
	results := make([]result, len(appends))
	for i := range appends {
		a := &appends[i]
		a.Acks, a.Cond = p.acks, cond
		o := &outcome{partition: p.partition}
		results[i] = result{outcome: o, timestamp: a.Header.MaxTimestamp, whole: true}
		count := int64(a.Header.Count)
		o.pending, o.err = s.broker.BeginBatch(ctx, p.topic.Name, p.partition, *a)
		if cond.ExpectOffset != partition.NoOffset {
			cond.ExpectOffset += count
		}
	}
	for i := range results {
		results[i].wait(ctx, s)
	}
	return s.answerBatch(w, r, p, results)
}

// judgeBatches splits and validates a body of record batches.
func (s *Server) judgeBatches(body []byte, topic *server.TopicLimits) ([]partition.BatchAppend, error) {
	lim := record.Limits{
		MaxBatchBytes: topic.MaxMessageBytes, MaxDecompressed: topic.MaxDecompressed,
		MaxRecords: topic.MaxBatchRecords, RequireKey: topic.Compacted,
	}
	where := func(i int, err error) error {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return badRequest(CodeCorruptBatch, "batch %d of the body is cut short", i)
		}
		return fmt.Errorf("batch %d of the body: %w", i, err)
	}
	var appends []partition.BatchAppend
	for rest := body; len(rest) > 0; {
		batch, tail, err := record.Split(rest)
		if err != nil {
			return nil, where(len(appends), err)
		}
		h, err := record.Validate(batch, lim)
		if err != nil {
			return nil, where(len(appends), err)
		}
		if h.Transactional() || h.Control() {
			return nil, server.ErrTransactional
		}
		appends = append(appends, partition.BatchAppend{Batch: batch, Header: h})
		rest = tail
	}
	if len(appends) == 0 {
		return nil, badRequest(CodeInvalidBatch, "the body is empty; record batches of format version 2 are wanted")
	}
	return appends, nil
}
