package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/storage/record"
)

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
	l := s.newLane(p.topic.Name, p.partition)
	for i := range appends {
		a := &appends[i]
		a.Acks, a.Cond = p.acks, cond
		o := &outcome{partition: p.partition, safe: a.Header.ProducerID >= 0}
		results[i] = result{outcome: o, timestamp: a.Header.MaxTimestamp, whole: true}
		count := int64(a.Header.Count)
		o.send = s.sender(ctx, p.topic.Name, p.partition, *a)
		l.begin(o)
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
