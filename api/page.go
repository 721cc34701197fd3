package api

import (
	"net/http"
	"strconv"

	"github.com/chroniklog/chronik/storage/record"
)

// flushAt is the size at which what was gathered of an answer is written:
// large enough that the system call and the chunk's frame cost nothing beside
// it, small enough to stay in the cache.
const flushAt = 128 << 10

// page is the JSON answer of a read: one object with an array of records.
type page struct {
	out     *answer
	feed    *feed
	embed   bool
	left    int64 // records
	room    int64 // bytes
	quota   int64 // records that one turn may still take
	started bool  // a record was written
}

// emit implements emitter.
func (pg *page) emit(p int32, r *record.Record) bool {
	before := len(pg.out.buf.b)
	if pg.started {
		pg.out.buf.b = append(pg.out.buf.b, ',')
	}
	pg.out.buf.b = appendRecordJSON(pg.out.buf.b, p, r, pg.embed)
	pg.started = true
	pg.left--
	pg.quota--
	pg.room -= int64(len(pg.out.buf.b) - before)
	if len(pg.out.buf.b) >= flushAt {
		pg.out.write()
	}
	return pg.left > 0 && pg.room > 0 && pg.quota > 0 && pg.out.err == nil
}

// writePage answers with what is there now, or, when that is nothing, with
// what comes within the time to wait. An error after the first record ends the
// page early: its next offset leads to the error again, as a problem.
func (s *Server) writePage(w http.ResponseWriter, r *http.Request, p *readParams, f *feed) error {
	out := s.newAnswer(w, formatJSON)
	defer out.release()
	pg := &page{out: out, feed: f, embed: p.embed, left: p.budget(), room: p.byteBudget()}
	out.buf.b = append(out.buf.b, `{"records":[`...)
	if err := pg.fill(r, p); err != nil && !pg.started {
		return err
	}
	out.buf.b = append(out.buf.b, "],"...)
	if f.whole {
		out.buf.b = f.appendTopicPosition(out.buf.b, -1)
	} else {
		out.buf.b = f.spans[0].appendPosition(out.buf.b)
	}
	out.buf.b = append(out.buf.b, "}\n"...)
	out.finish()
	return nil
}

func (pg *page) fill(r *http.Request, p *readParams) error {
	ctx, deadline := r.Context(), pg.feed.s.now().Add(p.wait)
	for {
		if err := pg.gather(r); err != nil || pg.started {
			return err
		}
		more, err := pg.feed.await(ctx, deadline.Sub(pg.feed.s.now()))
		if err != nil || !more {
			return err
		}
	}
}

// gather takes records until the page is full or nothing is left. Partitions
// share the page: each turn takes at most its part of what remains, so that
// one which lags far behind does not fill page after page.
func (pg *page) gather(r *http.Request) error {
	ctx := r.Context()
	for pg.left > 0 && pg.room > 0 && pg.out.err == nil && ctx.Err() == nil {
		pg.quota = pg.left
		if len(pg.feed.spans) > 1 {
			pg.quota = max(pg.left/int64(len(pg.feed.spans)), 1)
		}
		_, n, err := pg.feed.round(ctx, int(min(pg.room, readChunk)), pg)
		if n == 0 || err != nil {
			return err
		}
	}
	return nil
}

// appendPosition appends the members that tell where a partition's read is.
func (sp *span) appendPosition(dst []byte) []byte {
	dst = append(dst, `"next_offset":`...)
	dst = strconv.AppendInt(dst, sp.next, 10)
	dst = append(dst, `,"high_watermark":`...)
	dst = strconv.AppendInt(dst, sp.offsets.HighWatermark, 10)
	dst = append(dst, `,"log_start_offset":`...)
	dst = strconv.AppendInt(dst, sp.offsets.LogStart, 10)
	dst = append(dst, `,"last_stable_offset":`...)
	return strconv.AppendInt(dst, sp.offsets.LastStable, 10)
}

// appendTopicPosition appends the members that tell where a topic's read is:
// the cursor, and the partition of the given index, or all of them for -1.
func (f *feed) appendTopicPosition(dst []byte, index int) []byte {
	dst = append(dst, `"cursor":"`...)
	dst = appendCursor(dst, f)
	dst = append(dst, `","partitions":[`...)
	comma := false
	for i := range f.spans {
		if index >= 0 && i != index {
			continue
		}
		if comma {
			dst = append(dst, ',')
		}
		comma = true
		dst = append(dst, `{"partition":`...)
		dst = strconv.AppendInt(dst, int64(f.spans[i].partition), 10)
		dst = append(dst, ',')
		dst = f.spans[i].appendPosition(dst)
		dst = append(dst, '}')
	}
	return append(dst, ']')
}
