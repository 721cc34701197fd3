package partition

import (
	"fmt"

	"github.com/chroniklog/chronik/storage/record"
)

// Replay takes a batch that is in the log already: at a restart, or on a
// follower. It leaves the producers, idempotency keys and fence that staging
// the batch on the leader left. Records are decoded only where the batch is
// marked as holding idempotency keys, or is a control batch.
//
// A batch that the log was trimmed into the middle of is taken whole.
//
// Producers are taken to have been active now, not at their records'
// timestamps, which are the clients' to choose.
func (s *State) Replay(now int64, batch []byte, h *record.Header, r *record.Reader, maxDecompressed int) error {
	if next := h.NextOffset(); next > s.covered { // else the snapshot covers it
		if err := s.replay(now, batch, h, r, maxDecompressed); err != nil {
			return fmt.Errorf("replay batch at %d: %w", h.BaseOffset, err)
		}
		s.covered = next
	}
	s.end = max(s.end, h.NextOffset())
	return nil
}

func (s *State) replay(now int64, batch []byte, h *record.Header, r *record.Reader, maxDecompressed int) error {
	if h.Control() {
		return s.replayControl(batch, h)
	}
	if h.ProducerID >= 0 && h.BaseSequence >= 0 {
		seq := ProducerSeq{ID: h.ProducerID, Epoch: h.ProducerEpoch, Seq: h.BaseSequence}
		// Compaction leaves LastOffsetDelta as it was, but not Count.
		s.producers.put(now, &seq, span{
			base: h.BaseOffset, count: h.LastOffsetDelta + 1, timestamp: h.MaxTimestamp,
		})
	}
	if Marked(h) {
		return s.replayIdempotency(batch, h, r, maxDecompressed)
	}
	return nil
}

// Replayed ends a replay: the log ends at end, which compaction may have moved
// away from the end of the last batch that is left, or which is below the
// snapshot's: see Ahead.
func (s *State) Replayed(end int64) { s.end, s.covered = end, max(s.covered, end) }

// Ahead tells that what derives from the log is known beyond the log's end: a
// follower was given its leader's state, because the leader's log does not hold
// any more what that derives from. The batches up to there add nothing to it.
func (s *State) Ahead() bool { return s.covered > s.end }

// Adopt takes the log end and what derives from the log over from another
// state, which was restored and replayed apart from this one; that one is not
// to be used any more.
func (s *State) Adopt(from *State) {
	s.producers, s.idem, s.fence = from.producers, from.idem, from.fence
	s.end, s.covered = from.end, from.covered
	s.keys = newKeyIndex(s.limits.Keys)
}

func (s *State) replayControl(batch []byte, h *record.Header) error {
	token, ok, err := record.ParseFence(batch)
	if err != nil {
		return err
	}
	if ok {
		s.fence = fence{token: token, offset: h.BaseOffset}
	}
	return nil
}

func (s *State) replayIdempotency(batch []byte, h *record.Header, r *record.Reader, maxDecompressed int) error {
	if _, err := r.Reset(batch, maxDecompressed); err != nil {
		return err
	}
	var rec record.Record
	for r.Next(&rec) {
		for i := range rec.Headers {
			if rec.Headers[i].Key != IdempotencyHeader {
				continue
			}
			if e, ok := parseIdempotency(rec.Headers[i].Value); ok {
				e.offset, e.timestamp = rec.Offset, rec.Timestamp
				if h.LogAppendTime() {
					e.timestamp = h.MaxTimestamp
				}
				s.idem.put(e)
			}
			break // the leader puts its own header first
		}
	}
	return r.Err()
}
