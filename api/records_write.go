package api

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"net/http"

	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/server/replica"
	"github.com/chroniklog/chronik/storage/record"
)

var (
	recordParams = []string{"key", "partition", "timestamp", "acks", "expect_offset", "fence"}
	// partitionRecordParams are those of a path that names the partition.
	partitionRecordParams = []string{"key", "timestamp", "acks", "expect_offset", "fence"}
)

// postRecord appends one record whose value is the body, whatever its type.
// It is the path whose cost W1 measures: beyond net/http it allocates the
// answer's header values and little else.
func (s *Server) postRecord(w http.ResponseWriter, r *http.Request) {
	p := getProduce(recordParams)
	defer putProduce(p)
	if err := s.produceRecord(w, r, p); err != nil {
		writeProblem(w, r, err)
	}
}

// postPartitionRecord is postRecord for a path that names the partition.
func (s *Server) postPartitionRecord(w http.ResponseWriter, r *http.Request) {
	p := getProduce(partitionRecordParams)
	defer putProduce(p)
	number, err := pathPartition(r)
	if err == nil {
		p.partition = number
		err = s.produceRecord(w, r, p)
	}
	if err != nil {
		writeProblem(w, r, err)
	}
}

func (s *Server) produceRecord(w http.ResponseWriter, r *http.Request, p *produce) error {
	name, err := pathTopic(r)
	if err != nil {
		return err
	}
	if err := readQuery(r.URL.RawQuery, p); err != nil {
		return err
	}
	if err := p.readHeaders(s, r); err != nil {
		return err
	}
	cond, err := p.conditions()
	if err != nil {
		return err
	}
	if directed(r) {
		if answered, err := s.directProduce(w, r, p, name); answered || err != nil {
			return err
		}
	}
	if p.body, err = readBody(r, p.body, s.limits.MaxRecordBytes); err != nil {
		return err
	}
	if err := p.resolve(r.Context(), s, name); err != nil {
		return err
	}
	a := partition.RecordAppend{Timestamp: p.timestamp, Acks: p.acks, Cond: cond, Producer: p.producer}
	return s.appendRecord(w, r, p, a)
}

// directProduce finds the record's partition before the body is read, so that a
// request that goes elsewhere need not send it.
func (s *Server) directProduce(w http.ResponseWriter, r *http.Request, p *produce, name string) (bool, error) {
	if err := p.resolve(r.Context(), s, name); err != nil {
		return false, err
	}
	if p.partition == anyPartition {
		number, err := s.broker.ChoosePartition(r.Context(), p.topic, p.key, p.idemKey)
		if err != nil {
			return false, err
		}
		p.partition = number
	}
	return s.direct(w, r, p.topic.Name, p.partition)
}

// appendRecord appends the record that p holds, with the conditions of a, and
// answers.
func (s *Server) appendRecord(w http.ResponseWriter, r *http.Request, p *produce, a partition.RecordAppend) error {
	p.complete(r)
	number := p.partition
	if number == anyPartition {
		var err error
		if number, err = s.broker.ChoosePartition(r.Context(), p.topic, p.key, p.idemKey); err != nil {
			return err
		}
	}
	a.Key, a.Value, a.Headers = p.key, p.body, p.headers
	a.IdempotencyKey, a.BodyHash = p.idemKey, p.hash
	appended, err := s.appendOnce(r.Context(), p, number, a)
	if safe := a.IdempotencyKey != "" || a.Producer != nil; repeatable(err, safe) {
		appended, err = s.repeat(r.Context(), safe, err, func() (*replica.Pending, error) {
			return s.broker.BeginRecord(r.Context(), p.topic.Name, number, a)
		})
	}
	s.hint(w, p.topic.Name, number)
	if err != nil {
		return err
	}
	if a.Acks == partition.AcksNone {
		p.out = append(appendPartition(p.out, number), '\n')
		writeSmall(w, http.StatusAccepted, "", p.out)
		return nil
	}
	p.out = append(appendProduced(p.out, number, &appended), '\n')
	status := http.StatusCreated
	if appended.Duplicate {
		status = http.StatusOK
	}
	writeSmall(w, status, location(p.topic.Name, number, appended.Offset), p.out)
	return nil
}

// appendOnce appends a record and waits for the answer.
func (s *Server) appendOnce(ctx context.Context, p *produce, number int32, a partition.RecordAppend) (
	partition.Appended, error,
) {
	pending, err := s.broker.BeginRecord(ctx, p.topic.Name, number, a)
	if err != nil {
		return partition.Appended{}, err
	}
	return s.await(ctx, pending)
}

// bodyHash tells a repeat of an idempotent request from another request: it
// covers what the client chose of the record. Each part is preceded by its
// length, so that no two records have the same input; a null is told from an
// empty part. It is stored with the record: what it covers must stay.
func bodyHash(key, value []byte, headers []record.HeaderKV, timestamp int64) (sum [16]byte) {
	h := sha256.New()
	var n [8]byte
	part := func(b []byte) {
		size := uint64(len(b)) + 1
		if b == nil {
			size = 0
		}
		binary.LittleEndian.PutUint64(n[:], size)
		h.Write(n[:])
		h.Write(b)
	}
	part(key)
	part(value)
	for i := range headers {
		part([]byte(headers[i].Key))
		part(headers[i].Value)
	}
	if timestamp >= 0 {
		binary.LittleEndian.PutUint64(n[:], uint64(timestamp))
		h.Write(n[:])
	}
	copy(sum[:], h.Sum(nil))
	return sum
}
