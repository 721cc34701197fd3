package api

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/chroniklog/chronik/server/partition"
)

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
	s.hintBatch(w, p, results)
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

// hintBatch names the leader in the answer if all records went to one
// partition.
func (s *Server) hintBatch(w http.ResponseWriter, p *produce, results []result) {
	for i := range results {
		if results[i].partition != results[0].partition {
			return
		}
	}
	s.hint(w, p.topic.Name, results[0].partition)
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
