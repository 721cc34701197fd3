package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/server/replica"
)

var keyPutParams = []string{"acks"}

// keyTries bounds how often an operation on a key begins anew because another
// request changed the key meanwhile.
const keyTries = 5

// keyOf reads the topic and the key of the path. Keys may hold any bytes,
// percent-encoded.
func (s *Server) keyOf(r *http.Request) (name string, key []byte, err error) {
	if name, err = pathTopic(r); err != nil {
		return "", nil, err
	}
	text, err := pathParam(r, "key")
	if err != nil {
		return "", nil, err
	}
	if len(text) == 0 || len(text) > s.limits.MaxKeyBytes {
		return "", nil, badParameter("key", "want 1 to %d bytes, have %d", s.limits.MaxKeyBytes, len(text))
	}
	return name, []byte(text), nil
}

// keyPartition is the partition of a key.
func (s *Server) keyPartition(ctx context.Context, t server.Topic, key []byte) (int32, error) {
	return s.broker.ChoosePartition(ctx, t, key, "")
}

// keyTag is the ETag of a key: the offset that it was last written at.
func keyTag(offset int64) string { return `"` + itoa(offset) + `"` }

// getKey answers with a key's latest value.
func (s *Server) getKey(w http.ResponseWriter, r *http.Request) {
	if err := s.readKey(w, r); err != nil {
		writeProblem(w, r, err)
	}
}

func (s *Server) readKey(w http.ResponseWriter, r *http.Request) error {
	name, key, err := s.keyOf(r)
	if err != nil {
		return err
	}
	var params keyGet
	if err := readQuery(r.URL.RawQuery, &params); err != nil {
		return err
	}
	t, err := s.broker.Topic(name)
	if err != nil {
		return err
	}
	p, err := s.keyPartition(r.Context(), t, key)
	if err != nil {
		return err
	}
	if answered, err := s.direct(w, r, t.Name, p); answered || err != nil {
		return err
	}
	if _, err := s.confirm(r.Context(), params.linearizable, t.Name, p); err != nil {
		return err
	}
	for range keyTries {
		offset, live, err := s.keyOffset(r.Context(), t.Name, p, key)
		if err != nil {
			return err
		}
		if !live {
			return server.ErrUnknownKey
		}
		var one oneRecord
		if _, err := s.fetchRecord(r.Context(), t, p, offset, &one); err != nil {
			return err
		}
		if one.found { // else it was overwritten and compacted between the two looks
			setReadHeaders(w.Header())
			w.Header()["Cache-Control"] = []string{"private, no-cache"}
			s.writeRecord(w, r, p, &one.rec, keyTag(offset))
			return nil
		}
	}
	return badRequest(CodeConflict, "the key is being overwritten faster than it can be read")
}

// keyOffset is the offset of a key's live value, NoOffset when it has none.
func (s *Server) keyOffset(ctx context.Context, topic string, p int32, key []byte) (
	offset int64, live bool, err error,
) {
	offset, live, err = s.broker.KeyOffset(ctx, topic, p, key)
	if errors.Is(err, server.ErrUnknownKey) {
		live, err = false, nil
	}
	if !live {
		offset = partition.NoOffset
	}
	return offset, live, err
}

// putKey writes a key's value, under the conditions of If-Match and
// If-None-Match.
func (s *Server) putKey(w http.ResponseWriter, r *http.Request) {
	p := getProduce(keyPutParams)
	defer putProduce(p)
	if err := s.writeKey(w, r, p); err != nil {
		writeProblem(w, r, err)
	}
}

func (s *Server) writeKey(w http.ResponseWriter, r *http.Request, p *produce) error {
	name, key, err := s.keyOf(r)
	if err != nil {
		return err
	}
	p.key = key
	if err := readQuery(r.URL.RawQuery, p); err != nil {
		return err
	}
	if r.Header[logKey] != nil {
		return badParameter(logKey, "the key stands in the path already")
	}
	if err := p.readHeaders(s, r); err != nil {
		return err
	}
	match, err := parseIfMatch(r)
	if err != nil {
		return err
	}
	absent, err := wantsAbsent(r)
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
	p.complete(r)
	cond := partition.NoConditions
	cond.IfKeyAbsent = absent
	return s.storeKey(w, r, p, match, cond)
}

// storeKey appends, and answers 201 when the key had no value before. Without
// a condition that is what was seen just before the append.
func (s *Server) storeKey(
	w http.ResponseWriter, r *http.Request, p *produce, match *ifMatch, cond partition.Conditions,
) error {
	number, err := s.keyPartition(r.Context(), p.topic, p.key)
	if err != nil {
		return err
	}
	existed, appended, err := s.changeKey(r.Context(), p, number, match, cond)
	s.hint(w, p.topic.Name, number)
	if err != nil {
		return err
	}
	if p.acks == partition.AcksNone {
		writeSmall(w, http.StatusAccepted, "", append(appendPartition(nil, number), '\n'))
		return nil
	}
	w.Header()["Etag"] = []string{keyTag(appended.Offset)}
	status, where := http.StatusOK, ""
	if !existed && !appended.Duplicate {
		status, where = http.StatusCreated, location(p.topic.Name, number, appended.Offset)
	}
	p.out = append(appendProduced(p.out, number, &appended), '\n')
	writeSmall(w, status, where, p.out)
	return nil
}

// changeKey appends p's record for its key, or a tombstone when the body is
// nil, and tells whether the key had a value.
func (s *Server) changeKey(
	ctx context.Context, p *produce, number int32, match *ifMatch, cond partition.Conditions,
) (existed bool, appended partition.Appended, err error) {
	for range keyTries {
		offset, live, err := s.broker.KeyOffset(ctx, p.topic.Name, number, p.key)
		if err != nil && !errors.Is(err, server.ErrUnknownKey) {
			return false, appended, err
		}
		if err != nil || !live {
			offset = partition.NoOffset
		}
		if match != nil && !match.holds(offset) && p.idemKey == "" {
			return live, appended, &partition.KeyPreconditionError{Current: offset}
		}
		if match != nil {
			cond.IfKeyOffset = match.pick(offset)
		}
		if p.body == nil && !live {
			return false, appended, server.ErrUnknownKey
		}
		appended, err = s.appendKey(ctx, p, number, cond)
		if errors.Is(err, partition.ErrKeyPrecondition) && match != nil && match.any {
			continue // "exists" is still to be judged, against the newer state
		}
		return live, appended, err
	}
	return false, appended, badRequest(CodeConflict, "the key is being written by others; try again")
}

// appendKey appends a key's record, also through a change of the leader. The
// condition is on an offset, which stays what it was.
func (s *Server) appendKey(
	ctx context.Context, p *produce, number int32, cond partition.Conditions,
) (appended partition.Appended, err error) {
	a := partition.RecordAppend{
		Key: p.key, Value: p.body, Headers: p.headers, Timestamp: p.timestamp, Acks: p.acks, Cond: cond,
		IdempotencyKey: p.idemKey, BodyHash: p.hash,
	}
	begin := func() (*replica.Pending, error) { return s.broker.BeginRecord(ctx, p.topic.Name, number, a) }
	pending, err := begin()
	if err == nil {
		appended, err = s.await(ctx, pending)
	}
	if safe := a.IdempotencyKey != ""; repeatable(err, safe) {
		return s.repeat(ctx, safe, err, begin)
	}
	return appended, err
}

// deleteKey writes a tombstone.
func (s *Server) deleteKey(w http.ResponseWriter, r *http.Request) {
	if err := s.eraseKey(w, r); err != nil {
		writeProblem(w, r, err)
	}
}

func (s *Server) eraseKey(w http.ResponseWriter, r *http.Request) error {
	name, key, err := s.keyOf(r)
	if err != nil {
		return err
	}
	if err := readQuery(r.URL.RawQuery, noParams{}); err != nil {
		return err
	}
	match, err := parseIfMatch(r)
	if err != nil {
		return err
	}
	t, err := s.broker.Topic(name)
	if err != nil {
		return err
	}
	p := getProduce(nil)
	defer putProduce(p)
	body := p.body
	p.topic, p.key, p.body = t, key, nil
	number, err := s.keyPartition(r.Context(), t, key)
	var appended partition.Appended
	answered := false
	if err == nil {
		answered, err = s.direct(w, r, t.Name, number)
	}
	if err == nil && !answered {
		_, appended, err = s.changeKey(r.Context(), p, number, match, partition.NoConditions)
	}
	p.body = body
	if err != nil || answered {
		return err
	}
	w.Header()["Log-Offset"] = []string{itoa(appended.Offset)}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
