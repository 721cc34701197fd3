package api

import (
	"context"
	"errors"
	"io"
	"math"

	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/server/telemetry"
	"github.com/chroniklog/chronik/storage/record"
)

const (
	// readChunk is what one look into a partition reads of its log when the
	// records are decoded; it bounds what a stream holds per turn.
	readChunk = 256 << 10
	// noEnd is the end of a span that has none.
	noEnd = math.MaxInt64
)

// span is one partition's share of a read.
type span struct {
	partition int32
	next      int64 // the offset to read
	end       int64 // the offset to stop before; noEnd: none
	offsets   partition.Offsets
	atLeast   int64 // the high watermark that reads must know of
	// floating: the read chose next itself (earliest, a tail, a new
	// partition), so when the log's start has passed it meanwhile it follows
	// without an error. Cleared by the first successful look.
	floating bool
	gave     bool // a record
}

// emitter takes records. A record is valid during the call only. It returns
// false when it wants no more after this one.
type emitter interface {
	emit(p int32, r *record.Record) bool
}

// receiver shows a sampled request's trace what an emitter gets.
type receiver struct {
	emitter
	span *telemetry.Receive
}

func (r *receiver) emit(p int32, rec *record.Record) bool {
	r.span.Record(rec)
	return r.emitter.emit(p, rec)
}

// feed reads one partition, or all of a topic in turns. It belongs to one
// request.
type feed struct {
	s         *Server
	topic     server.Topic
	limits    server.TopicLimits
	isolation partition.Isolation
	clamp     bool
	whole     bool   // all partitions: new ones join
	group     string // that reads; empty: none
	spans     []span
	turn      int // index of the span to look at next

	reader record.Reader
	rec    record.Record

	wake    chan struct{} // nil: not watching
	cancels []func()
}

// end is the offset up to which the isolation lets a reader see.
func (f *feed) visible(o *partition.Offsets) int64 {
	if f.isolation == partition.ReadCommitted {
		return o.LastStable
	}
	return o.HighWatermark
}

// round looks at the partitions in turn until one gives a record, and returns
// that partition's index and how many records it gave; 0 when none has any.
// An error can come with records that were emitted before it. Since each
// round begins where the last one stopped, a busy partition can't starve the
// others.
func (f *feed) round(ctx context.Context, maxBytes int, to emitter) (index, n int, err error) {
	for range f.spans {
		index = f.turn
		f.turn++
		if f.turn == len(f.spans) {
			f.turn = 0
		}
		if n, err = f.pull(ctx, &f.spans[index], maxBytes, to); n > 0 || err != nil {
			return index, n, err
		}
	}
	return index, 0, nil
}

// pull reads one chunk of a partition that holds a record, skipping what has
// none (control batches, compacted ones).
func (f *feed) pull(ctx context.Context, sp *span, maxBytes int, to emitter) (n int, err error) {
	if span := telemetry.NewReceive(ctx, f.s.tracer, f.topic.Name, sp.partition); span != nil {
		span.For(f.group)
		to = &receiver{emitter: to, span: span}
		defer span.End()
	}
	for n == 0 && err == nil && !sp.done() {
		before := sp.next
		var batches []byte
		if batches, err = f.look(ctx, sp, maxBytes); err == nil {
			n, err = f.decode(sp, batches, to)
			err = unreadable(err)
		}
		if sp.next == before {
			break
		}
	}
	return n, err
}

// look asks the broker for batches at sp.next. With clamp, and while the span
// is floating, an offset outside of the log moves to its nearest end.
func (f *feed) look(ctx context.Context, sp *span, maxBytes int) ([]byte, error) {
	const tries = 3 // each move can be overtaken by another trim
	for try := 0; ; try++ {
		res, err := f.s.broker.Read(ctx, server.ReadRequest{
			Topic: f.topic.Name, Partition: sp.partition, Offset: sp.next,
			MaxBytes: maxBytes, Isolation: f.isolation, AtLeast: sp.atLeast,
		})
		if err != nil {
			if try < tries && (f.clamp || sp.floating) && sp.move(err, f.clamp) {
				continue
			}
			return nil, err
		}
		if res.TopicID != f.topic.ID {
			return nil, topicIDMismatch(f.topic.Name)
		}
		sp.offsets, sp.floating = res.Offsets, false
		return res.Batches, nil
	}
}

// move puts the span at the end of the log that err says it is beyond.
func (sp *span) move(err error, clamp bool) bool {
	if start, ok := trimmedTo(err); ok && start > sp.next {
		sp.next = start
		return true
	}
	if hw, ok := beyondEnd(err); ok && clamp && hw < sp.next {
		sp.next = hw
		return true
	}
	return false
}

// trimmedTo is the log's start that a trimmed-offset error carries.
func trimmedTo(err error) (int64, bool) {
	var a *server.OffsetTrimmedError
	var b *partition.OffsetTrimmedError
	switch {
	case errors.As(err, &a):
		return a.LogStart, true
	case errors.As(err, &b):
		return b.LogStart, true
	}
	return 0, false
}

// beyondEnd is the high watermark that a beyond-the-end error carries.
func beyondEnd(err error) (int64, bool) {
	var a *server.OffsetBeyondEndError
	var b *partition.OffsetBeyondEndError
	switch {
	case errors.As(err, &a):
		return a.HighWatermark, true
	case errors.As(err, &b):
		return b.HighWatermark, true
	}
	return 0, false
}

// decode emits the records of batches and moves the span past what it has
// seen. It stops at the span's end or when the emitter has enough.
func (f *feed) decode(sp *span, batches []byte, to emitter) (n int, err error) {
	for len(batches) > 0 && !sp.done() {
		batch, rest, err := record.Split(batches)
		if err == io.ErrUnexpectedEOF || err == io.EOF { //nolint:errorlint // Split's contract
			return n, nil // the log returns whole batches; a short tail is never one
		}
		if err != nil {
			return n, corruptLog(err)
		}
		batches = rest
		h, err := record.ParseHeader(batch)
		if err != nil {
			return n, corruptLog(err)
		}
		if h.NextOffset() <= sp.next {
			continue
		}
		if !h.Control() {
			more := false
			if n, more, err = f.records(sp, batch, n, to); err != nil || !more {
				return n, err
			}
		}
		sp.next = min(max(sp.next, h.NextOffset()), sp.end)
	}
	return n, nil
}

// records emits one batch's records; more is false when the emitter has had
// enough or the span's end was reached.
func (f *feed) records(sp *span, batch []byte, n int, to emitter) (count int, more bool, err error) {
	h, err := f.reader.Reset(batch, f.limits.MaxDecompressed)
	if err != nil {
		return n, false, corruptLog(err)
	}
	marked := partition.Marked(&h)
	for f.reader.Next(&f.rec) {
		if f.rec.Offset < sp.next {
			continue
		}
		if f.rec.Offset >= sp.end {
			sp.next = sp.end
			return n, false, nil
		}
		if marked {
			hideIdempotency(&f.rec)
		}
		enough := !to.emit(sp.partition, &f.rec)
		sp.next, sp.gave = f.rec.Offset+1, true
		n++
		if enough {
			return n, false, nil
		}
	}
	return n, true, corruptLog(f.reader.Err())
}

// corruptLog marks an error of package record as one of what is stored: from
// a client's body the same error would be the client's.
func corruptLog(err error) error {
	if err == nil {
		return nil
	}
	return &Error{Code: CodeCorruptLog, Cause: err}
}

// hideIdempotency takes off the header that the broker put before the
// client's own.
func hideIdempotency(r *record.Record) {
	if len(r.Headers) > 0 && r.Headers[0].Key == partition.IdempotencyHeader {
		r.Headers = r.Headers[1:]
	}
}

func topicIDMismatch(topic string) error {
	return badRequest(CodeTopicIDMismatch,
		"topic %s was deleted and created anew: start over without cursor and topic_id", topic)
}
