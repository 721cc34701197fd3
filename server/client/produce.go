package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"unicode/utf8"
)

// maxAnswerLine bounds one line of a stream's answer.
const maxAnswerLine = 1 << 20

// ErrStreamEnded means that the node ended a stream before it had answered
// every record; the rest may or may not have been applied.
var ErrStreamEnded = errors.New("the node ended the stream early")

// ProduceOptions say where records go and when they count as written.
type ProduceOptions struct {
	// Partition is the partition of every record; negative lets the node
	// choose, by key where there is one.
	Partition int32
	Acks      string // "all", "leader" or "none"; empty is "all"
	// IdempotencyKey makes a repeat of Append answer the first one's place.
	IdempotencyKey string
}

func (o ProduceOptions) query() url.Values {
	query := url.Values{}
	if o.Partition >= 0 {
		query.Set("partition", strconv.Itoa(int(o.Partition)))
	}
	if o.Acks != "" {
		query.Set("acks", o.Acks)
	}
	return query
}

// Stream appends records of one topic over one request: records go out while
// answers to earlier ones come in, and records of one partition keep their
// order. One goroutine may append; Acknowledged may be called by any.
type Stream struct {
	topic   string
	pipe    *io.PipeWriter
	buffer  *bufio.Writer
	line    []byte
	sent    int64
	acked   atomic.Int64
	done    chan struct{} // closed when the answer has ended
	failure error         // why; read after done
}

// Stream opens a stream. ctx bounds its whole life.
func (c *Client) Stream(ctx context.Context, topic string, o ProduceOptions) (*Stream, error) {
	reader, writer := io.Pipe()
	req, err := c.request(ctx, http.MethodPost, Path("topics", topic, "batches"), o.query(), reader)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	req.Header.Set("Accept", "application/x-ndjson")
	s := &Stream{topic: topic, pipe: writer, buffer: bufio.NewWriterSize(writer, 64<<10), done: make(chan struct{})}
	go func() {
		s.failure = s.receive(c, req)
		cause := s.failure
		if cause == nil {
			cause = ErrStreamEnded
		}
		reader.CloseWithError(cause) // an append must not wait for a reader that is gone
		close(s.done)
	}()
	return s, nil
}

// Append queues one record; it waits while the node is slower.
func (s *Stream) Append(r OutRecord) error {
	s.line = appendRecord(s.line[:0], r)
	if _, err := s.buffer.Write(s.line); err != nil {
		return s.broken()
	}
	s.sent++
	return nil
}

// Flush sends what is queued.
func (s *Stream) Flush() error {
	if err := s.buffer.Flush(); err != nil {
		return s.broken()
	}
	return nil
}

// broken waits for the reason of a failed write.
func (s *Stream) broken() error {
	<-s.done
	if s.failure != nil {
		return s.failure
	}
	return ErrStreamEnded
}

// Sent is how many records were queued, Acknowledged how many of them were
// answered as written.
func (s *Stream) Sent() int64 { return s.sent }

// Acknowledged may be called while the stream runs.
func (s *Stream) Acknowledged() int64 { return s.acked.Load() }

// Close sends the rest and waits until every record was answered.
func (s *Stream) Close() error {
	flushErr := s.buffer.Flush()
	s.pipe.Close()
	<-s.done
	switch {
	case s.failure != nil:
		return s.failure
	case flushErr != nil || s.acked.Load() != s.sent:
		return fmt.Errorf("%w: %d of %d records were acknowledged", ErrStreamEnded, s.acked.Load(), s.sent)
	}
	return nil
}

// Abort gives the stream up; records that were not acknowledged may or may not
// have been written.
func (s *Stream) Abort(cause error) {
	s.pipe.CloseWithError(cause)
	<-s.done
}

func (s *Stream) receive(c *Client, req *http.Request) error {
	resp, err := c.do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(make([]byte, 64<<10), maxAnswerLine)
	var failed error
	for failed == nil && lines.Scan() {
		failed = s.answer(lines.Bytes())
	}
	// A connection that breaks within a line gives half a line first.
	if errors.Is(failed, errNoJSON) {
		lines.Scan()
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("the connection to %s broke (%w): "+
			"records of topic %s that it had not answered may or may not have been written", c.base, err, s.topic)
	}
	return failed
}

// errNoJSON marks a line of an answer that cannot be read.
var errNoJSON = errors.New("the answer is no JSON")

// answer takes one line: a record's place in the log, or a problem. Places are
// by far the most, so they are told apart without decoding.
func (s *Stream) answer(line []byte) error {
	if bytes.HasPrefix(line, []byte(`{"partition":`)) {
		s.acked.Add(1)
		return nil
	}
	if len(bytes.TrimSpace(line)) == 0 {
		return nil
	}
	var other struct {
		Offset *int64   `json:"offset"`
		Error  *Problem `json:"error"`
		Line   int64    `json:"line"`
	}
	if err := json.Unmarshal(line, &other); err != nil {
		return fmt.Errorf("topic %s: %w: %w", s.topic, errNoJSON, err)
	}
	if other.Error != nil {
		// The caller counts records; a line is one of this request's.
		other.Error.Detail = strings.TrimPrefix(other.Error.Detail, fmt.Sprintf("line %d: ", other.Line))
		return fmt.Errorf("record %d: %w", s.acked.Load()+1, other.Error)
	}
	if other.Offset != nil {
		s.acked.Add(1)
	}
	return nil
}

// Placed is where one record went.
type Placed struct {
	Partition int32 `json:"partition"`
	Offset    int64 `json:"offset"`
	Timestamp int64 `json:"timestamp"`
	Duplicate bool  `json:"duplicate"`
}

// Append writes one record of any content: the whole body is its value.
// contentType is kept with it; empty is application/octet-stream.
func (c *Client) Append(
	ctx context.Context, topic string, r OutRecord, contentType string, o ProduceOptions,
) (Placed, error) {
	var placed Placed
	query := o.query()
	if r.Key != nil && utf8.Valid(r.Key) {
		query.Set("key", string(r.Key))
	}
	req, err := c.request(ctx, http.MethodPost, Path("topics", topic, "records"), query, bytes.NewReader(r.Value))
	if err != nil {
		return placed, err
	}
	if contentType == "" {
		contentType = "application/octet-stream"
	}
	req.Header.Set("Content-Type", contentType)
	if o.IdempotencyKey != "" {
		req.Header.Set("Idempotency-Key", o.IdempotencyKey)
	}
	if r.Key != nil && !utf8.Valid(r.Key) {
		req.Header.Set("Log-Key", ":"+base64.StdEncoding.EncodeToString(r.Key)+":")
	}
	for _, h := range r.Headers {
		req.Header.Add("Log-Header", h.Name+"=:"+base64.StdEncoding.EncodeToString(h.Value)+":")
	}
	resp, err := c.do(req)
	if err != nil {
		return placed, err
	}
	defer resp.Body.Close()
	text, err := readAll(resp.Body)
	if err != nil || len(text) == 0 {
		return placed, err
	}
	return placed, json.Unmarshal(text, &placed)
}
