package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/chroniklog/chronik/api/middleware"
)

// Outcome says whether a failed request changed anything. A client that reads
// only this member knows whether a blind retry can duplicate a record.
type Outcome string

const (
	// NotApplied: nothing was changed and nothing will be.
	NotApplied Outcome = "not_applied"
	// Unknown: the request may have been applied, or may yet be. A retry is
	// safe with an Idempotency-Key, Producer-* headers or expect_offset.
	Unknown Outcome = "unknown"
)

// problemType is the base of each problem's type URI: a JSON pointer into the
// served description, where the code's meaning is written.
const problemType = "/openapi.json#/components/x-problems/"

// Problem is the body of every error answer (RFC 9457,
// application/problem+json), of error items of a 207 answer and of the error
// events of streams.
type Problem struct {
	Type      string  `json:"type"`
	Title     string  `json:"title"`
	Status    int     `json:"status"`
	Detail    string  `json:"detail"`
	Code      string  `json:"code"`
	Retryable bool    `json:"retryable"`
	Outcome   Outcome `json:"outcome"`
	TraceID   string  `json:"trace_id,omitempty"`
	Members
}

// Members are the problem members that only some codes carry.
type Members struct {
	// Field names the member of the JSON body that is wrong, dotted and
	// indexed as in records[3].key.
	Field string `json:"field,omitempty"`
	// Parameter names the query, path or header parameter that is wrong.
	Parameter string `json:"parameter,omitempty"`
	// CurrentOffset is the offset that a precondition was compared with: the
	// next offset of the partition (offset_conflict) or the key's last one.
	CurrentOffset *int64 `json:"current_offset,omitempty"`
	// LogStartOffset is the first offset that can still be read.
	LogStartOffset *int64 `json:"log_start_offset,omitempty"`
	// HighWatermark is the next offset that can be read once written.
	HighWatermark *int64 `json:"high_watermark,omitempty"`
	// ExpectedSeq is the sequence number that the partition would take next.
	ExpectedSeq *int64 `json:"expected_seq,omitempty"`
	// Leader is the node that leads the partition and LeaderURL its address.
	Leader    *int32 `json:"leader,omitempty"`
	LeaderURL string `json:"leader_url,omitempty"`
	// Limit is the limit that was exceeded, in the unit that detail names.
	Limit *int64 `json:"limit,omitempty"`
	// RetryAfterMs is Retry-After with the precision that the header lacks.
	RetryAfterMs *int64 `json:"retry_after_ms,omitempty"`
}

// Error is an error that the HTTP API itself finds: bad input above all. Code
// is a row of the problem table.
type Error struct {
	Code       string
	Detail     string
	Members    Members
	RetryAfter time.Duration // 0: the table's default
	Allow      string        // of a 405
	Cause      error         // logged, never shown
}

// Error is the code and the detail that the client reads.
func (e *Error) Error() string { return e.Code + ": " + e.Detail }

// Unwrap gives the cause to errors.Is.
func (e *Error) Unwrap() error { return e.Cause }

// badRequest makes an error of any code that needs no further members; the
// status comes from the table.
func badRequest(code, format string, args ...any) *Error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// badField is the error for a wrong member of a JSON body.
func badField(field, format string, args ...any) *Error {
	return &Error{
		Code: CodeInvalidField, Detail: field + ": " + fmt.Sprintf(format, args...),
		Members: Members{Field: field},
	}
}

// badParameter is the error for a wrong query, path or header parameter.
func badParameter(name, format string, args ...any) *Error {
	return &Error{
		Code: CodeInvalidParameter, Detail: name + ": " + fmt.Sprintf(format, args...),
		Members: Members{Parameter: name},
	}
}

// problemOf turns any error into the problem that describes it. Errors that no
// row covers are "internal": their text stays out of the answer.
func problemOf(err error) (Problem, time.Duration) {
	var e *Error
	if !errors.As(err, &e) {
		e = translate(err)
	}
	row, ok := problemRow(e.Code)
	if !ok {
		row, _ = problemRow(CodeInternal)
		e = &Error{Code: CodeInternal, Detail: internalDetail}
	}
	p := Problem{
		Type: problemType + row.code, Title: row.title, Status: row.status, Detail: e.Detail,
		Code: row.code, Retryable: row.retryable, Outcome: row.outcome, Members: e.Members,
	}
	if p.Detail == "" {
		p.Detail = row.title
	}
	after := e.RetryAfter
	if after <= 0 {
		after = row.retryAfter
	}
	if after > 0 {
		ms := after.Milliseconds()
		p.RetryAfterMs = &ms
	}
	return p, after
}

// problemFor is problemOf with the trace id of the request that failed, for
// problems that are written into a stream or a 207 answer.
func problemFor(w http.ResponseWriter, r *http.Request, err error) Problem {
	p, _ := problemOf(err)
	p.TraceID = middleware.TraceID(w, r)
	return p
}

// writeProblem answers the request with the problem that describes err. It is
// the only way out for errors: it notes err for the access log and the span,
// which is why a handler that calls it must not log err too. Nothing may have
// been written before.
func writeProblem(w http.ResponseWriter, r *http.Request, err error) {
	p, after := problemOf(err)
	p.TraceID = middleware.TraceID(w, r)
	middleware.NoteError(w, err)
	middleware.StopEncoding(w)
	h := w.Header()
	for _, name := range [...]string{"Content-Length", "Content-Encoding", "Etag", "Last-Modified", "Location"} {
		h.Del(name)
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if after > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64(math.Ceil(after.Seconds())), 10))
	}
	var e *Error
	if errors.As(err, &e) && e.Allow != "" {
		h.Set("Allow", e.Allow)
	}
	if p.Status == http.StatusRequestEntityTooLarge || p.Status == http.StatusRequestTimeout {
		// The rest of the body is not read: the connection can't be reused.
		h.Set("Connection", "close")
	}
	w.WriteHeader(p.Status)
	if r.Method == http.MethodHead {
		return
	}
	body, merr := json.Marshal(p)
	if merr != nil { // every member is a number, a bool or a string
		panic("api: problem can't be marshalled: " + merr.Error())
	}
	_, _ = w.Write(append(body, '\n')) // a client that left has no use for the error
}
