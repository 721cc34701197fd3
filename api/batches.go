package api

import (
	"context"
	"net/http"
	"strconv"

	"github.com/chroniklog/chronik/server/partition"
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
	if directed(r) {
		if answered, err := s.directBatches(w, r, p, name); answered || err != nil {
			return err
		}
	}
	if form == formatNDJSON {
		if err := p.resolve(r.Context(), s, name); err != nil {
			return err
		}
		if p.partition != anyPartition {
			s.hint(w, p.topic.Name, p.partition)
		}
		return s.streamBatches(w, r, p, cond)
	}
	if form == formatBatch {
		return s.storeBatches(w, r, p, name, cond)
	}
	return s.packBatch(w, r, p, name, cond)
}

// directBatches is direct for a body of records. Where they go is known before
// it is read only if the request names the partition; else each record that was
// forwarded to the wrong node is refused.
func (s *Server) directBatches(w http.ResponseWriter, r *http.Request, p *produce, name string) (bool, error) {
	p.hopped = r.Header[logHop] != nil
	if p.partition == anyPartition {
		return false, nil
	}
	if err := p.resolve(r.Context(), s, name); err != nil {
		return false, err
	}
	return s.direct(w, r, p.topic.Name, p.partition)
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
