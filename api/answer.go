package api

import (
	"errors"
	"net/http"
	"strconv"
	"time"
)

// writeTimeout is how long a client may leave a write of an answer pending
// before its connection is cut, in heartbeats.
const writeTimeout = 2

// answer gathers an answer of any length in a pooled buffer and writes it
// piece by piece, each under a deadline, so that a client that does not read
// holds a bounded buffer for a bounded time. An answer that fits one piece is
// sent with its length.
type answer struct {
	s      *Server
	w      http.ResponseWriter
	ctrl   *http.ResponseController
	buf    *buffer
	format format
	status int // of the answer
	begun  bool
	err    error         // of the first write that failed; later ones do nothing
	slow   time.Duration // that the last write took
}

func (s *Server) newAnswer(w http.ResponseWriter, f format) *answer {
	return &answer{s: s, w: w, ctrl: http.NewResponseController(w), buf: getBuffer(), format: f, status: http.StatusOK}
}

// release gives the buffer back.
func (a *answer) release() {
	if a.buf != nil {
		putBuffer(a.buf)
		a.buf = nil
	}
}

// begin sends the headers, once.
func (a *answer) begin() {
	if a.begun {
		return
	}
	a.begun = true
	a.w.Header()["Content-Type"] = []string{a.format.mediaType()}
	a.w.WriteHeader(a.status)
}

// write sends what was gathered.
func (a *answer) write() {
	a.begin()
	a.send(a.buf.b)
	a.buf.b = a.buf.b[:0]
}

// send sends b, which may be large, without gathering it.
func (a *answer) send(b []byte) {
	if len(b) == 0 || a.err != nil {
		return
	}
	start := a.s.now()
	a.deadline()
	_, a.err = a.w.Write(b)
	a.slow = a.s.now().Sub(start)
}

// flush makes the client see what was written.
func (a *answer) flush() {
	if a.err != nil {
		return
	}
	start := a.s.now()
	a.deadline()
	if err := a.ctrl.Flush(); !errors.Is(err, http.ErrNotSupported) {
		a.err = err
	}
	a.slow += a.s.now().Sub(start)
}

// deadline bounds the next write. The server takes it away after the request.
func (a *answer) deadline() {
	// Fails on writers without deadlines, which are tests' recorders.
	_ = a.ctrl.SetWriteDeadline(time.Now().Add(writeTimeout * a.s.limits.Heartbeat))
}

// finish writes what is left; a whole answer gets its length.
func (a *answer) finish() {
	if !a.begun {
		a.w.Header()["Content-Length"] = []string{strconv.Itoa(len(a.buf.b))}
	}
	a.write()
}
