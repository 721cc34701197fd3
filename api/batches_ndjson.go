package api

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/partition"
)

const (
	// pieceBytes is what is read of a stream at once, and pieceLines the most
	// lines of it that share one answer.
	pieceBytes = 64 << 10
	pieceLines = 4096
	// piecesInFlight bounds the pieces that await their answers; their bytes
	// are bounded by Limits.MaxBatchBytes.
	piecesInFlight = 256
)

// Bounds of drain.
const (
	drainBytes = 4 << 20
	drainTime  = time.Second
)

// piece is some lines of a stream and what became of them.
type piece struct {
	results []result
	bytes   int64
}

var pieces = sync.Pool{New: func() any { return new(piece) }}

// lineStream appends an NDJSON body while it comes, and answers line by line
// while it goes on: one goroutine, the handler's, reads, scans and begins the
// appends; another waits for them and writes. What is between the two is
// bounded in pieces and bytes, so a client that sends faster than the log
// syncs is slowed by its own connection.
type lineStream struct {
	s    *Server
	w    http.ResponseWriter
	r    *http.Request
	p    *produce
	out  *answer // the writer's
	pack *packer
	scan *recordScanner

	buf   []byte // unread input is buf[start:end]
	start int
	end   int
	line  int64 // lines seen, blank ones too
	index int   // records seen

	pieces   chan *piece
	inFlight atomic.Int64
	freed    chan struct{} // a piece was answered
	stop     atomic.Bool   // the reader is to stop: the node drains, or the client reads no answers
}

// streamBatches answers an NDJSON body. A line that is wrong is answered with
// its error and the stream goes on; what ends it is the last line, or, when
// nothing was answered yet, the status.
func (s *Server) streamBatches(w http.ResponseWriter, r *http.Request, p *produce, cond partition.Conditions) error {
	st := &lineStream{
		s: s, w: w, r: r, p: p, out: s.newAnswer(w, formatNDJSON),
		pack: s.newPacker(r.Context(), p, cond), scan: newRecordScanner(&s.limits),
		buf: make([]byte, pieceBytes), pieces: make(chan *piece, piecesInFlight), freed: make(chan struct{}, 1),
	}
	st.pack.patient = true
	defer st.out.release()
	// HTTP/2 answers while it reads anyway, and says that it does not support this.
	if err := st.out.ctrl.EnableFullDuplex(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if traced(r) {
		st.pack.traceWith(r.Context())
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		st.answerPieces()
	}()
	err := st.readLines()
	close(st.pieces)
	<-written
	if err != nil && !st.out.begun && len(st.out.buf.b) == 0 {
		return err
	}
	if err != nil {
		st.out.buf.b = append(st.out.buf.b, `{"error":`...)
		st.out.buf.b = appendProblem(st.out.buf.b, w, r, err)
		st.out.buf.b = append(st.out.buf.b, "}\n"...)
	}
	st.out.finish()
	if err != nil {
		st.drain()
	}
	return nil
}

// drain reads on a little after a stream was ended early, so that a client
// that is still sending sees the reason before its connection is cut.
func (st *lineStream) drain() {
	st.out.flush()
	_ = st.out.ctrl.SetReadDeadline(time.Now().Add(drainTime))
	for left := drainBytes; left > 0; {
		n, err := st.r.Body.Read(st.buf)
		if left -= n; err != nil {
			return
		}
	}
}

// maxLine bounds a line: a record's value may double in JSON.
func (st *lineStream) maxLine() int {
	l := &st.s.limits
	return int(2*l.MaxRecordBytes) + 2*l.MaxKeyBytes + 4*l.MaxHeaderBytes
}

// readLines reads to the end of the body, or to what ends the stream.
func (st *lineStream) readLines() error {
	for {
		n, err := st.read()
		st.end += n
		if n > 0 {
			if lerr := st.takeLines(); lerr != nil {
				return lerr
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			return st.takeRest()
		default:
			return st.readError(err)
		}
	}
}

// read reads into the free part of the buffer, which it makes first. A line
// may take Limits.BodyTimeout to come.
func (st *lineStream) read() (int, error) {
	switch {
	case st.start == st.end:
		st.start, st.end = 0, 0
		if len(st.buf) > 4*pieceBytes {
			st.buf = make([]byte, pieceBytes) // a long line has passed
		}
	case st.end == len(st.buf) && st.start > 0:
		st.end = copy(st.buf, st.buf[st.start:st.end])
		st.start = 0
	case st.end == len(st.buf):
		if len(st.buf) >= st.maxLine() {
			most := int64(st.maxLine())
			return 0, &Error{
				Code: CodeBodyTooLarge, Members: Members{Limit: &most},
				Detail: "line " + itoa(st.line+1) + " is longer than a record may be",
			}
		}
		st.buf = append(st.buf, make([]byte, min(len(st.buf), st.maxLine()-len(st.buf)))...)
	}
	_ = st.out.ctrl.SetReadDeadline(time.Now().Add(st.s.limits.BodyTimeout)) // not on tests' writers
	if st.stop.Load() {
		return 0, server.ErrShuttingDown
	}
	return st.r.Body.Read(st.buf[st.end:])
}

// readError says why the body ended early.
func (st *lineStream) readError(err error) error {
	var own *Error
	switch {
	case st.stop.Load():
		return server.ErrShuttingDown
	case errors.As(err, &own):
		return own
	}
	return bodyError(err)
}

// takeLines takes the complete lines of the buffer.
func (st *lineStream) takeLines() error {
	for {
		last := bytes.LastIndexByte(st.buf[st.start:st.end], '\n')
		if last < 0 {
			return nil
		}
		if err := st.take(st.buf[st.start : st.start+last]); err != nil {
			return err
		}
		st.start += last + 1
	}
}

// takeRest takes what stands after the last line break.
func (st *lineStream) takeRest() error {
	if st.start == st.end {
		return nil
	}
	return st.take(st.buf[st.start:st.end])
}

// take scans lines, begins their appends, and hands them to the writer.
func (st *lineStream) take(lines []byte) error {
	for len(lines) > 0 {
		pc, _ := pieces.Get().(*piece)
		before := len(lines)
		st.scan.reset(nil)
		st.pack.begin()
		for len(lines) > 0 && len(pc.results) < pieceLines {
			line := lines
			if i := bytes.IndexByte(lines, '\n'); i >= 0 {
				line, lines = lines[:i], lines[i+1:]
			} else {
				lines = nil
			}
			st.line++
			if len(line) > 0 && !blank(line) {
				pc.results = append(pc.results, st.takeLine(line))
			}
		}
		pc.bytes = int64(before - len(lines))
		st.pack.flush()
		if err := st.hand(pc); err != nil {
			return err
		}
	}
	return nil
}

func blank(line []byte) bool { return line[0] <= ' ' && len(bytes.TrimSpace(line)) == 0 }

// takeLine scans one line. An error is its result.
func (st *lineStream) takeLine(line []byte) result {
	var rec batchRecord
	err := st.scan.line(line, &rec)
	if err == nil {
		err = st.pack.check(&rec)
	}
	if err != nil {
		return result{outcome: &outcome{err: inLine(err, st.line), waited: true}, line: st.line}
	}
	st.index++
	var res result
	if st.p.idemKey != "" {
		res = st.pack.addKeyed(&rec, st.p.idemKey+"#"+strconv.Itoa(st.index-1))
	} else {
		res = st.pack.add(&rec)
	}
	res.line = st.line
	return res
}

// inLine names the line in an error's detail.
func inLine(err error, line int64) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	out := *e
	out.Detail = "line " + itoa(line) + ": " + e.Detail
	return &out
}

// hand gives a piece to the writer and waits while too much is in flight.
func (st *lineStream) hand(pc *piece) error {
	st.inFlight.Add(pc.bytes)
	select {
	case st.pieces <- pc:
	case <-st.r.Context().Done():
		return st.r.Context().Err()
	}
	for st.inFlight.Load() > st.s.limits.MaxBatchBytes && !st.stop.Load() {
		select {
		case <-st.freed:
		case <-st.r.Context().Done():
			return st.r.Context().Err()
		}
	}
	return nil
}
