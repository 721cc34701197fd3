package api

import (
	"net/http"
	"time"
)

// A stream is the answer of a read that is not one page: NDJSON, server-sent
// events, or bare values; until the tail, or live.
//
// It never queues: records are read from the log at the pace at which the
// client takes them, so a slow client costs one piece of flushAt bytes, and
// nothing is ever dropped. A client that takes longer than a heartbeat for one
// piece is told to come back (event end, reason slow_reader); one that takes
// twice as long is cut off.
//
// Between records it tells, in the form of the format, where it is:
//
//	heartbeat  the position and the tail; at the latest after Limits.Heartbeat
//	end        the stream is over, with the reason and where to go on
//	error      the stream is over, with the problem
//
// as an event of that name, or as an NDJSON line with that one member. Bare
// values have no room for it: their position is a trailer, and an error cuts
// the connection, so that no client takes a part for the whole.
type stream struct {
	*answer
	r     *http.Request
	feed  *feed // nil: only an error is to be told
	live  bool
	embed bool
	left  int64 // records
	room  int64 // bytes
	open  bool  // an event records has begun
	last  time.Time
}

// Reasons for the end of a stream.
const (
	endTail     = "tail"        // all that there was has been sent
	endRange    = "end"         // the offset end was reached
	endLimit    = "limit"       // limit or max_bytes was reached
	endShutdown = "shutdown"    // reconnect now: another node, or this one soon
	endSlow     = "slow_reader" // the client was too slow; go on from here
)

// growthChecks is how often, per heartbeat, an idle stream looks whether its
// topic has got partitions or has gone.
const growthChecks = 4

func (s *Server) newStream(w http.ResponseWriter, r *http.Request, p *readParams, f *feed) *stream {
	st := &stream{
		answer: s.newAnswer(w, p.format), r: r, feed: f, live: p.live(), embed: p.embed,
		left: p.budget(), room: p.byteBudget(), last: s.now(),
	}
	if p.format == formatSSE {
		h := w.Header()
		h["Cache-Control"] = []string{"no-store, no-transform"}
		h["X-Accel-Buffering"] = []string{"no"} // nginx
		st.buf.b = appendRetry(st.buf.b)
	}
	return st
}

// writeStream answers with a stream. The error that it returns came before
// anything was sent.
func (s *Server) writeStream(w http.ResponseWriter, r *http.Request, p *readParams, f *feed) error {
	st := s.newStream(w, r, p, f)
	defer st.release()
	if p.format == formatValue {
		w.Header()["Trailer"] = []string{st.trailer()}
	}
	n, err := st.turn()
	if n == 0 && err == nil && !st.live && p.wait > 0 {
		if _, err = f.await(r.Context(), p.wait); err == nil {
			n, err = st.turn()
		}
	}
	if err != nil && n == 0 {
		delete(w.Header(), "Trailer")
		return s.failRead(w, r, p, err)
	}
	if !st.live && err == nil {
		err = f.stopAtTail(r.Context())
	}
	if st.live && n == 0 {
		st.heartbeat() // at once: a place to resume from
	}
	st.run(err)
	return nil
}

// turn gathers one round of records; n is how many.
func (st *stream) turn() (n int, err error) {
	index, n, err := st.feed.round(st.r.Context(), readChunk, st)
	if st.open {
		st.closeEvent(index)
	}
	return n, err
}

// run is the stream's life from its first turn on, which ended with err.
func (st *stream) run(err error) {
	for {
		switch {
		case err != nil:
			st.fail(err)
			return
		case st.err != nil || st.r.Context().Err() != nil:
			return // the client has gone
		case st.left <= 0 || st.room <= 0:
			st.end(endLimit)
			return
		case st.feed.done():
			st.end(st.doneReason())
			return
		case st.live && st.slow > st.s.limits.Heartbeat:
			st.end(endSlow)
			return
		case st.draining():
			st.end(endShutdown)
			return
		}
		var n int
		if n, err = st.turn(); n > 0 || err != nil {
			st.last = st.s.now()
			if len(st.buf.b) >= flushAt {
				st.write()
			}
			continue
		}
		if !st.live {
			st.end(endTail) // the last offsets hold no record: compacted
			return
		}
		err = st.idle()
	}
}

func (st *stream) doneReason() string {
	if st.live {
		return endRange
	}
	return endTail
}

func (st *stream) draining() bool {
	select {
	case <-st.s.broker.Draining():
		return true
	default:
		return false
	}
}

// idle sends what was gathered and waits for a reason to look again. The
// subscription comes before the look that finds nothing, so no signal is lost.
func (st *stream) idle() error {
	if len(st.buf.b) > 0 || !st.begun {
		st.write()
		st.flush()
		return nil
	}
	if st.feed.wake == nil {
		return st.feed.watch()
	}
	beat := st.s.limits.Heartbeat
	putBuffer(st.buf) // thousands of idle streams hold none
	st.buf = nil
	t := getTimer(beat / growthChecks)
	select {
	case <-st.feed.wake:
	case <-st.r.Context().Done():
	case <-st.s.broker.Draining():
	case <-t.C:
	}
	putTimer(t)
	st.buf = getBuffer()
	err := st.feed.grow()
	if err == nil && st.s.now().Sub(st.last) >= beat-beat/growthChecks {
		st.heartbeat()
	}
	return err
}
