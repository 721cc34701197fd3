package api

import (
	"context"
	"net/http"

	"github.com/chroniklog/chronik/server/telemetry"
	"github.com/chroniklog/chronik/storage/record"
)

// batchChunk is what one look reads when whole batches are passed on as they
// are: they are not copied, so larger is only cheaper.
const batchChunk = 1 << 20

// writeBatches answers with record batches as they are stored, control batches
// included. The first may begin before the offset that was asked for, and the
// last end after limit or end, as in a Kafka fetch. Nothing is decoded but the
// headers, and nothing is copied.
func (s *Server) writeBatches(w http.ResponseWriter, r *http.Request, p *readParams, f *feed) error {
	out := s.newAnswer(w, formatBatch)
	defer out.release()
	sp, ctx := &f.spans[0], r.Context()
	left, room := p.budget(), p.byteBudget()
	batches, err := f.look(ctx, sp, chunkOf(room))
	if err == nil && len(batches) == 0 && p.wait > 0 {
		if _, err = f.await(ctx, p.wait); err == nil {
			batches, err = f.look(ctx, sp, chunkOf(room))
		}
	}
	if err == nil {
		err = f.stopAtTail(ctx)
	}
	if err != nil {
		return err
	}
	h := w.Header()
	h["Log-Start-Offset"] = []string{itoa(sp.offsets.LogStart)}
	h["Log-High-Watermark"] = []string{itoa(sp.offsets.HighWatermark)}
	h["Trailer"] = []string{"Log-Next-Offset"}
	for {
		from := sp.next
		keep, kerr := sp.passBatches(batches, &left, room)
		telemetry.Batches(ctx, s.tracer, telemetry.ReceivedAt{
			Topic: f.topic.Name, Partition: sp.partition, Offset: from, MaxDecompressed: f.limits.MaxDecompressed,
		}, keep)
		out.begin()
		out.send(keep)
		room -= int64(len(keep))
		if kerr != nil || err != nil {
			panic(http.ErrAbortHandler) // cut: the client must not take a part for the whole
		}
		if len(keep) == 0 || left <= 0 || room <= 0 || sp.done() || out.err != nil || ctx.Err() != nil {
			break
		}
		batches, err = nextBatches(ctx, f, room)
	}
	h["Log-Next-Offset"] = []string{itoa(sp.next)}
	return nil
}

func nextBatches(ctx context.Context, f *feed, room int64) ([]byte, error) {
	return f.look(ctx, &f.spans[0], chunkOf(room))
}

func chunkOf(room int64) int { return int(min(room, batchChunk)) }

// passBatches is the prefix of batches that belongs to the answer; it moves
// the span past it. left counts records, room bytes; one batch always fits.
func (sp *span) passBatches(batches []byte, left *int64, room int64) ([]byte, error) {
	size := 0
	for rest := batches; len(rest) > 0; {
		h, err := record.ParseHeader(rest)
		if err != nil {
			return batches[:size], unreadable(err)
		}
		if h.BaseOffset >= sp.end || h.Size() > len(rest) || *left <= 0 ||
			size > 0 && int64(size+h.Size()) > room {
			break
		}
		size += h.Size()
		rest = rest[h.Size():]
		*left -= int64(h.Count)
		sp.next = max(sp.next, h.NextOffset())
	}
	return batches[:size], nil
}
