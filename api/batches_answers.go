package api

import "time"

// answerPieces writes the results in order. It flushes when no further answer
// is there yet: under load a flush carries many lines.
func (st *lineStream) answerPieces() {
	draining := st.s.broker.Draining()
	for {
		select {
		case pc, ok := <-st.pieces:
			if !ok {
				return
			}
			st.answerPiece(pc)
		case <-draining:
			draining = nil
			st.interrupt()
		}
		if st.out.err != nil && !st.stop.Load() {
			st.interrupt() // nobody reads the answers
		}
	}
}

// interrupt makes the reader stop, also in the middle of a read.
func (st *lineStream) interrupt() {
	st.stop.Store(true)
	_ = st.out.ctrl.SetReadDeadline(time.Unix(1, 0)) // long ago
	st.free()
}

func (st *lineStream) answerPiece(pc *piece) {
	out := st.out
	for i := range pc.results {
		res := &pc.results[i]
		if !res.waited && !ready(res.outcome) && len(out.buf.b) > 0 {
			out.write() // the client need not wait for what is not there yet
			out.flush()
		}
		res.wait(st.r.Context(), st.s)
		out.buf.b = append(appendResult(out.buf.b, st.w, st.r, st.p, res), '\n')
		if len(out.buf.b) >= flushAt {
			out.write()
		}
	}
	if len(st.pieces) == 0 && len(out.buf.b) > 0 {
		out.write()
		out.flush()
	}
	st.inFlight.Add(-pc.bytes)
	st.free()
	clear(pc.results)
	pc.results = pc.results[:0]
	pieces.Put(pc)
}

func (st *lineStream) free() {
	select {
	case st.freed <- struct{}{}:
	default:
	}
}
