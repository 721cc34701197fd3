package api

import (
	"math"
	"net/http"

	"github.com/chroniklog/chronik/server/partition"
)

func (p *produce) names() []string { return p.known }

func (p *produce) set(name, v string) (err error) {
	switch name {
	case "key":
		p.key = []byte(v)
	case "partition":
		p.partition, err = parsePartition(v)
	case "timestamp":
		p.timestamp, err = parseOffset(name, v)
	case "acks":
		p.acks, err = parseAcks(v)
	case "expect_offset":
		p.expect, err = parseOffset(name, v)
	case "fence":
		if len(v) > partition.MaxFenceToken {
			return badParameter(name, "a fence token has at most %d bytes", partition.MaxFenceToken)
		}
		p.fence = &v
	}
	return err
}

func parseAcks(v string) (partition.Acks, error) {
	switch v {
	case "all":
		return partition.AcksAll, nil
	case "leader":
		return partition.AcksLeader, nil
	case "none":
		return partition.AcksNone, nil
	}
	return 0, badParameter("acks", "want all, leader or none, have %q", clip(v))
}

// readHeaders takes what the request's headers say. Header names are looked up
// in their canonical form, without http.Header.Get's canonicalization.
func (p *produce) readHeaders(s *Server, r *http.Request) error {
	h := r.Header
	if v := h[logKey]; len(v) > 0 {
		if p.key != nil || len(v) > 1 {
			return badParameter(logKey, "give the key once: as the query's key or as Log-Key")
		}
		key, err := decodeBytes(logKey, v[0])
		if err != nil {
			return err
		}
		p.key = key
	}
	for _, line := range h[logHeader] {
		kv, err := decodeHeader(line)
		if err != nil {
			return err
		}
		p.headers = append(p.headers, kv)
	}
	if v := h["Idempotency-Key"]; len(v) > 0 {
		if len(v) > 1 || v[0] == "" || len(v[0]) > partition.MaxIdempotencyKey {
			return badParameter("Idempotency-Key", "want one value of 1 to %d bytes", partition.MaxIdempotencyKey)
		}
		p.idemKey = v[0]
	}
	if err := p.readProducer(s, r); err != nil {
		return err
	}
	return s.limits.checkKeyAndHeaders("", p.key, p.headers)
}

// readProducer takes the Producer-* headers: all three or none.
func (p *produce) readProducer(s *Server, r *http.Request) error {
	id, epoch, seq := r.Header["Producer-Id"], r.Header["Producer-Epoch"], r.Header["Producer-Seq"]
	if id == nil && epoch == nil && seq == nil {
		return nil
	}
	if len(id) != 1 || len(epoch) != 1 || len(seq) != 1 {
		return badRequest(CodeInvalidProducer, "send Producer-Id, Producer-Epoch and Producer-Seq together, once each")
	}
	if p.idemKey != "" {
		return badRequest(CodeInvalidProducer, "send Producer-* headers or an Idempotency-Key, not both")
	}
	e, err := parseDigits("Producer-Epoch", epoch[0], math.MaxInt16)
	if err != nil {
		return err
	}
	n, err := parseDigits("Producer-Seq", seq[0], math.MaxInt32)
	if err != nil {
		return err
	}
	if p.partition == anyPartition {
		return &Error{
			Code: CodePartitionRequired, Members: Members{Parameter: "Producer-Seq"},
			Detail: "sequence numbers count within a partition: add partition=N to the query",
		}
	}
	pid, err := s.broker.ProducerID(r.Context(), id[0])
	if err != nil {
		return err
	}
	p.seq = partition.ProducerSeq{ID: pid, Epoch: int16(e), Seq: int32(n)}
	p.producer = &p.seq
	return nil
}

// conditions are the request's, which need an explicit partition: the next
// offset of a partition that the broker chooses means nothing.
func (p *produce) conditions() (partition.Conditions, error) {
	cond := partition.NoConditions
	if p.expect == partition.NoOffset && p.fence == nil {
		return cond, nil
	}
	if p.partition == anyPartition {
		name := "expect_offset"
		if p.expect == partition.NoOffset {
			name = "fence"
		}
		return cond, &Error{
			Code: CodePartitionRequired, Members: Members{Parameter: name},
			Detail: name + " is a condition on one partition: add partition=N to the query",
		}
	}
	cond.ExpectOffset, cond.Fence = p.expect, p.fence
	return cond, nil
}
