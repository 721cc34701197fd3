package api

import (
	"math/rand/v2"
	"net/http"
	"strconv"

	"github.com/chroniklog/chronik/storage/record"
)

// appendRetry spreads reconnections after a restart over two seconds.
func appendRetry(dst []byte) []byte {
	dst = append(dst, "retry: "...)
	dst = strconv.AppendInt(dst, 1000+rand.Int64N(2000), 10)
	return append(dst, "\n\n"...)
}

// emit implements emitter.
func (st *stream) emit(p int32, r *record.Record) bool {
	before := len(st.buf.b)
	switch st.format {
	case formatValue:
		if r.Value != nil {
			st.buf.b = append(append(st.buf.b, r.Value...), '\n')
		}
	case formatSSE:
		if st.open {
			st.buf.b = append(st.buf.b, ',')
		} else {
			st.open = true
			st.buf.b = append(st.buf.b, "event: records\ndata: {\"records\":["...)
		}
		st.buf.b = appendRecordJSON(st.buf.b, p, r, st.embed)
	default:
		st.buf.b = append(appendRecordJSON(st.buf.b, p, r, st.embed), '\n')
	}
	st.left--
	st.room -= int64(len(st.buf.b) - before)
	if len(st.buf.b) >= flushAt && st.format != formatSSE {
		st.write()
	}
	return st.left > 0 && st.room > 0 && st.err == nil && len(st.buf.b) < readChunk
}

// closeEvent ends the event records, whose id is where to resume after it.
func (st *stream) closeEvent(index int) {
	st.open = false
	st.buf.b = append(st.buf.b, "],"...)
	st.buf.b = st.appendPlace(st.buf.b, index)
	st.buf.b = append(st.buf.b, '}')
	st.closeData()
}

// closeData ends an event with its id.
func (st *stream) closeData() {
	st.buf.b = append(st.buf.b, "\nid: "...)
	st.buf.b = appendCursor(st.buf.b, st.feed)
	st.buf.b = append(st.buf.b, "\n\n"...)
}

// appendPlace appends the members that tell where the stream is.
func (st *stream) appendPlace(dst []byte, index int) []byte {
	if st.feed.whole {
		return st.feed.appendTopicPosition(dst, index)
	}
	return st.feed.spans[0].appendPosition(dst)
}

// heartbeat tells the position and the tail.
func (st *stream) heartbeat() {
	st.control("heartbeat", "")
	st.last = st.s.now()
}

// end tells that the stream is over and why.
func (st *stream) end(reason string) {
	if st.format == formatValue {
		if !st.begun {
			delete(st.w.Header(), "Trailer")
		}
		st.w.Header()[st.trailer()] = []string{st.trailerValue()}
		st.finish()
		return
	}
	st.control("end", reason)
	if !st.live {
		st.finish()
		return
	}
	st.write()
	st.flush()
}

// control gathers an event, or a line, without records.
func (st *stream) control(name, reason string) {
	b := st.buf.b
	if st.format == formatSSE {
		b = append(append(append(b, "event: "...), name...), "\ndata: {"...)
	} else {
		b = append(append(append(b, `{"`...), name...), `":{`...)
	}
	if reason != "" {
		b = append(append(append(b, `"reason":"`...), reason...), `",`...)
	}
	st.buf.b = append(st.appendPlace(b, -1), '}')
	if st.format == formatSSE {
		st.closeData()
		return
	}
	st.buf.b = append(st.buf.b, "}\n"...)
}

// fail tells that the stream is over because of err.
func (st *stream) fail(err error) {
	if st.format == formatValue {
		st.write()
		panic(http.ErrAbortHandler) // no room for the problem: cut, so that it is no silent end
	}
	if st.format == formatSSE {
		st.buf.b = append(st.buf.b, "event: error\ndata: "...)
		st.buf.b = appendProblem(st.buf.b, st.w, st.r, err)
		st.buf.b = append(st.buf.b, "\n\n"...)
	} else {
		st.buf.b = append(st.buf.b, `{"error":`...)
		st.buf.b = appendProblem(st.buf.b, st.w, st.r, err)
		st.buf.b = append(st.buf.b, "}\n"...)
	}
	st.write()
	st.flush()
}

func (st *stream) trailer() string {
	if st.feed.whole {
		return "Log-Cursor"
	}
	return "Log-Next-Offset"
}

func (st *stream) trailerValue() string {
	if st.feed.whole {
		return string(appendCursor(nil, st.feed))
	}
	return itoa(st.feed.spans[0].next)
}
