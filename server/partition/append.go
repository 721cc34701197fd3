package partition

import (
	"fmt"
	"math"
	"time"

	"github.com/chroniklog/chronik/storage/record"
)

// MaxIdempotencyKey bounds an Idempotency-Key, in bytes.
const MaxIdempotencyKey = 255

// Verdict is the decision on an append. With neither Duplicate nor Err the
// append goes on.
type Verdict struct {
	// Duplicate: the append was applied before; Answer is its first answer.
	Duplicate bool
	Answer    Appended
	// Err refuses the append, which is then not applied.
	Err error
	// Cites is the high watermark at which the duplicate or the error may be
	// answered; 0: at once.
	Cites int64
	// NeedKey: the condition's key is not in memory; look it up in the log
	// and check again with what was found.
	NeedKey bool
}

// Final tells whether the verdict is an answer, not a go-ahead.
func (v *Verdict) Final() bool { return v.Duplicate || v.Err != nil || v.NeedKey }

func refuse(err error, cites int64) Verdict { return Verdict{Err: err, Cites: cites} }

// CheckRecord decides on one record at time now. known is what a look-up in
// the log found for the record's key, nil if there was none; it matters only
// for key conditions. It changes nothing but what has expired.
func (s *State) CheckRecord(now int64, a *RecordAppend, known *KnownKey) Verdict {
	if err := s.accepts(now, a.Pin); err != nil {
		return refuse(err, 0)
	}
	if err := s.validRecord(a); err != nil {
		return refuse(err, 0)
	}
	if a.Producer != nil {
		if v := s.checkSequence(now, a.Producer, 1); v.Final() {
			return v
		}
	}
	if a.IdempotencyKey != "" {
		if v := s.checkIdempotency(now, a); v.Final() {
			return v
		}
	}
	if err := s.room(a.Acks); err != nil {
		return refuse(err, 0)
	}
	if a.Cond == NoConditions {
		return Verdict{}
	}
	if v := s.checkConditions(&a.Cond); v.Final() {
		return v
	}
	return s.checkKey(&a.Cond, a.Key, known)
}

// CheckBatch decides on one client batch at time now.
func (s *State) CheckBatch(now int64, a *BatchAppend) Verdict {
	if err := s.accepts(now, a.Pin); err != nil {
		return refuse(err, 0)
	}
	if err := s.validBatch(a); err != nil {
		return refuse(err, 0)
	}
	if h := &a.Header; h.ProducerID >= 0 {
		seq := ProducerSeq{ID: h.ProducerID, Epoch: h.ProducerEpoch, Seq: h.BaseSequence}
		if v := s.checkSequence(now, &seq, h.Count); v.Final() {
			if !s.cfg.LogAppendTime {
				v.Answer.Timestamp = -1
			}
			return v
		}
	}
	if err := s.room(a.Acks); err != nil {
		return refuse(err, 0)
	}
	if a.Cond == NoConditions {
		return Verdict{}
	}
	return s.checkConditions(&a.Cond)
}

func (s *State) validRecord(a *RecordAppend) error {
	if len(a.IdempotencyKey) > MaxIdempotencyKey {
		return fmt.Errorf("%w: Idempotency-Key of %d bytes, at most %d are allowed",
			ErrInvalidAppend, len(a.IdempotencyKey), MaxIdempotencyKey)
	}
	if s.cfg.Compact && a.Key == nil {
		return fmt.Errorf("%w: the topic is compacted, send a key", record.ErrNullKey)
	}
	if !s.cfg.Compact && (a.Cond.IfKeyOffset >= 0 || a.Cond.IfKeyAbsent) {
		return ErrNotCompacted
	}
	if err := validSequence(a.Producer); err != nil {
		return err
	}
	size := record.HeaderLen + record.RecordSize(a.Key, a.Value, a.Headers)
	if a.IdempotencyKey != "" {
		size += idempotencyHeaderSize(a.IdempotencyKey)
	}
	if size > s.cfg.MaxMessageBytes {
		return fmt.Errorf("%w: the record takes %d bytes, max.message.bytes is %d",
			record.ErrTooLarge, size, s.cfg.MaxMessageBytes)
	}
	return nil
}

func (s *State) validBatch(a *BatchAppend) error {
	h := &a.Header
	switch {
	case h.Transactional() || h.Control():
		return ErrTransactional
	case len(a.Batch) != h.Size() || h.Count <= 0:
		return fmt.Errorf("%w: the header does not describe the batch of %d bytes", ErrInvalidAppend, len(a.Batch))
	case h.Attributes&^knownAttributes != 0:
		return fmt.Errorf("%w: unknown batch attributes %#x", ErrInvalidAppend, uint16(h.Attributes))
	case len(a.Batch) > s.cfg.MaxMessageBytes:
		return fmt.Errorf("%w: the batch takes %d bytes, max.message.bytes is %d",
			record.ErrTooLarge, len(a.Batch), s.cfg.MaxMessageBytes)
	case a.Cond.IfKeyOffset >= 0 || a.Cond.IfKeyAbsent:
		return fmt.Errorf("%w: key conditions apply to single records", ErrInvalidAppend)
	}
	if h.ProducerID < 0 {
		return nil
	}
	return validSequence(&ProducerSeq{ID: h.ProducerID, Epoch: h.ProducerEpoch, Seq: h.BaseSequence})
}

func validSequence(p *ProducerSeq) error {
	if p != nil && (p.ID < 0 || p.Epoch < 0 || p.Seq < 0) {
		return fmt.Errorf("%w: producer id %d, epoch %d and sequence %d must not be negative",
			ErrInvalidAppend, p.ID, p.Epoch, p.Seq)
	}
	return nil
}

// enoughReplicas holds acks=all appends back while fewer than
// min.insync.replicas committed members of the ISR could hold them.
func (s *State) enoughReplicas(acks Acks) error {
	if acks == AcksAll && len(s.isr.committed) < s.cfg.MinISR && !s.mutation.NoMinISR {
		return fmt.Errorf("%w: %d in sync, min.insync.replicas is %d",
			ErrNotEnoughReplicas, len(s.isr.committed), s.cfg.MinISR)
	}
	return nil
}

// room refuses what could not be answered, or would grow the memory of keys
// without bound while the watermark stands still.
func (s *State) room(acks Acks) error {
	if len(s.keys.pending) >= s.keys.max {
		return &ThrottledError{RetryAfter: time.Second}
	}
	return s.enoughReplicas(acks)
}

// checkConditions checks expect_offset and fence.
func (s *State) checkConditions(c *Conditions) Verdict {
	if c.Fence != nil && *c.Fence != s.fence.token {
		return refuse(ErrFenced, s.fence.offset+1)
	}
	if c.ExpectOffset != NoOffset && c.ExpectOffset != s.end {
		return refuse(&OffsetConflictError{Expected: c.ExpectOffset, Current: s.end}, s.end)
	}
	return Verdict{}
}

// StageRecord gives the record that CheckRecord let pass its offset and
// remembers what it means. timestamp is the one it is stored with.
func (s *State) StageRecord(now int64, a *RecordAppend, timestamp int64) (offset int64) {
	offset = s.end
	s.end++
	if a.Producer != nil {
		s.producers.put(now, a.Producer, span{base: offset, count: 1, timestamp: timestamp})
	}
	if a.IdempotencyKey != "" {
		s.idem.put(idemEntry{
			key: a.IdempotencyKey, hash: a.BodyHash, offset: offset, timestamp: timestamp, at: now,
		})
	}
	if s.keys.active && a.Key != nil {
		s.keys.stage(HashKey(a.Key), offset, a.Value != nil)
	}
	return offset
}

// StageBatch gives the batch that CheckBatch let pass its offsets. timestamp
// is the largest one of its records as stored; keys is what HashKeys found in
// it, needed when IndexesKeys.
func (s *State) StageBatch(now int64, h *record.Header, timestamp int64, keys []BatchKey) (base int64) {
	base = s.end
	s.end += int64(h.LastOffsetDelta) + 1
	if h.ProducerID >= 0 {
		seq := ProducerSeq{ID: h.ProducerID, Epoch: h.ProducerEpoch, Seq: h.BaseSequence}
		s.producers.put(now, &seq, span{base: base, count: h.Count, timestamp: timestamp})
	}
	if s.keys.active {
		for i := range keys {
			s.keys.stage(keys[i].Hash, base+int64(keys[i].Delta), keys[i].Live)
		}
	}
	return base
}

// nextSequence is the sequence after count records from seq: it wraps at 2^31.
func nextSequence(seq, count int32) int32 {
	return int32((int64(seq) + int64(count)) & math.MaxInt32)
}
