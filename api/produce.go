package api

import (
	"context"
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"sync"

	"go.opentelemetry.io/otel/trace"

	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/server/replica"
	"github.com/chroniklog/chronik/storage/record"
)

// anyPartition is the absence of an explicit partition.
const anyPartition int32 = -1

// produce is a request to append: what its query and headers ask for, and the
// memory that is reused from one request to the next.
type produce struct {
	known     []string
	topic     server.Topic
	limits    server.TopicLimits
	partition int32 // anyPartition: to be chosen
	key       []byte
	timestamp int64 // negative: the broker's clock
	acks      partition.Acks
	expect    int64
	fence     *string
	producer  *partition.ProducerSeq
	idemKey   string
	hash      [16]byte
	headers   []record.HeaderKV
	hopped    bool // it was forwarded, and is not again

	body []byte
	out  []byte
	seq  partition.ProducerSeq // what producer points to
}

// produces keeps the requests; the body and the answer of a 100-byte record
// then cost no allocation.
var produces = sync.Pool{New: func() any {
	return &produce{body: make([]byte, 0, smallBuffer), out: make([]byte, 0, 256)}
}}

func getProduce(known []string) *produce {
	p, _ := produces.Get().(*produce)
	p.known, p.partition, p.timestamp = known, anyPartition, -1
	p.acks, p.expect = partition.AcksAll, partition.NoOffset
	return p
}

func putProduce(p *produce) {
	clear(p.headers)
	*p = produce{headers: p.headers[:0], body: p.body[:0], out: p.out[:0]}
	if cap(p.body) <= pooledMost {
		produces.Put(p)
	}
}

// resolve finds the topic, which the broker may create, and holds an explicit
// partition against it.
func (p *produce) resolve(ctx context.Context, s *Server, name string) (err error) {
	if p.topic, err = s.broker.ResolveTopic(ctx, name, true); err != nil {
		return err
	}
	p.limits = s.broker.TopicLimits(p.topic)
	if p.partition >= p.topic.Partitions {
		return unknownPartition(p.topic.Name, p.partition, p.topic.Partitions)
	}
	return nil
}

func unknownPartition(topic string, p, count int32) error {
	return badRequest(CodeUnknownPartition, "topic %s has no partition %d: it has %d, counted from 0", topic, p, count)
}

// complete hashes what the client sent, and then adds the header that the
// request gives the record. The broker adds the trace context of its span.
func (p *produce) complete(r *http.Request) {
	if p.idemKey != "" {
		p.hash = bodyHash(p.key, p.body, p.headers, p.timestamp)
	}
	p.keepContentType(r)
}

// keepContentType adds the request's Content-Type to the record's headers, so
// that a read of the single record can answer with it. What curl -d sends on
// its own says nothing about the bytes.
func (p *produce) keepContentType(r *http.Request) {
	v := r.Header["Content-Type"]
	if len(v) == 0 || v[0] == "" || v[0] == defaultForm || len(v[0]) > maxMediaType {
		return
	}
	if _, given := recordHeader(p.headers, contentType); given {
		return
	}
	p.headers = append(p.headers, record.HeaderKV{Key: contentType, Value: []byte(v[0])})
}

// traced tells whether the request brought a trace context or is sampled; a
// trace that nobody keeps is not worth the bytes in a record.
func traced(r *http.Request) bool {
	return r.Header["Traceparent"] != nil || trace.SpanContextFromContext(r.Context()).IsSampled()
}

// await waits for the answer of an append, at most Limits.AppendTimeout.
func (s *Server) await(ctx context.Context, pending *replica.Pending) (partition.Appended, error) {
	t := getTimer(s.limits.AppendTimeout)
	defer putTimer(t)
	select {
	case <-pending.Done():
		return pending.Wait(ctx)
	case <-ctx.Done():
		return pending.Wait(ctx)
	case <-t.C:
		return partition.Appended{}, errTimeUp
	}
}

// location is the path of a record.
func location(topic string, p int32, offset int64) string {
	var room [server.MaxTopicName + 64]byte // fits: no allocation but the string's
	b := append(room[:0], "/v1/topics/"...)
	b = append(b, topic...)
	b = append(b, "/partitions/"...)
	b = strconv.AppendInt(b, int64(p), 10)
	b = append(b, "/records/"...)
	return string(strconv.AppendInt(b, offset, 10))
}

// appendProduced appends where a record went, as schema Produced.
func appendProduced(dst []byte, p int32, a *partition.Appended) []byte {
	dst = append(dst, `{"partition":`...)
	dst = strconv.AppendInt(dst, int64(p), 10)
	dst = append(dst, `,"offset":`...)
	dst = strconv.AppendInt(dst, a.Offset, 10)
	dst = append(dst, `,"timestamp":`...)
	dst = strconv.AppendInt(dst, a.Timestamp, 10)
	if a.Duplicate {
		return append(dst, `,"duplicate":true}`...)
	}
	return append(dst, `,"duplicate":false}`...)
}

// jsonType is shared by all answers: net/http reads header values only.
var jsonType = slices.Clip([]string{typeJSON})

// writeSmall answers with a body that is all there, in one write. An empty
// location sends no Location.
func writeSmall(w http.ResponseWriter, status int, location string, body []byte) {
	h := w.Header()
	values := []string{strconv.Itoa(len(body)), location} // one allocation for both
	h["Content-Type"] = jsonType
	h["Content-Length"] = values[:1:1]
	if location != "" {
		h["Location"] = values[1:]
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that left has no use for the error
}

// decodeBase64 appends the decoded form of src to dst.
func decodeBase64(dst, src []byte) ([]byte, error) {
	for _, c := range src {
		if c == '\n' || c == '\r' {
			return dst, base64.CorruptInputError(0)
		}
	}
	return strictBase64.AppendDecode(dst, src)
}

// appendPartition appends schema Accepted: acks=none tells no offset.
func appendPartition(dst []byte, p int32) []byte {
	dst = append(dst, `{"partition":`...)
	dst = strconv.AppendInt(dst, int64(p), 10)
	return append(dst, '}')
}
