package loadgen

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// patience is how long one answer may take.
const patience = 30 * time.Second

// worker is one connection and what it measured.
type worker struct {
	plan     Plan
	conn     net.Conn
	in       *bufio.Reader
	out      []byte
	requests int64
	errors   int64
	bytes    int64
	first    error
	latency  *hdrhistogram.Histogram
}

func newWorker(ctx context.Context, p Plan) (*worker, error) {
	w := &worker{plan: p, latency: hdrhistogram.New(shortest, longest, digits)}
	return w, w.dial(ctx)
}

func (w *worker) dial(ctx context.Context) error {
	dialer := net.Dialer{Timeout: patience}
	conn, err := dialer.DialContext(ctx, "tcp", w.plan.Address)
	if err != nil {
		return err
	}
	w.conn, w.in = conn, bufio.NewReaderSize(conn, 16<<10)
	return nil
}

func (w *worker) close() {
	if w != nil && w.conn != nil {
		w.conn.Close()
	}
}

// run sends what is due, or without a rate as fast as it is answered. Nothing
// that was due before measure counts.
func (w *worker) run(ctx context.Context, measure time.Time, due <-chan dueRequest, first int64) {
	if due != nil {
		for d := range due {
			if ctx.Err() != nil {
				return
			}
			w.send(ctx, measure, d)
		}
		return
	}
	for i := first; ctx.Err() == nil; i += int64(w.plan.Connections) {
		w.send(ctx, measure, dueRequest{i, time.Now()})
	}
}

func (w *worker) send(ctx context.Context, measure time.Time, d dueRequest) {
	bytes, err := w.exchange(ctx, d.number)
	latency := time.Since(d.at)
	if d.at.Before(measure) || ctx.Err() != nil {
		return
	}
	if err != nil {
		w.errors++
		if w.first == nil {
			w.first = err
		}
		return
	}
	w.requests++
	w.bytes += bytes
	// Beyond the histogram's end counts as its end.
	_ = w.latency.RecordValue(min(int64(latency), longest))
}

// exchange sends request i and reads its answer. A connection that failed is
// dialled again at the next request.
func (w *worker) exchange(ctx context.Context, i int64) (bytes int64, err error) {
	if w.conn == nil {
		if err := w.dial(ctx); err != nil {
			return 0, err
		}
	}
	w.out = w.plan.Request(w.out[:0], i)
	if err := w.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return 0, w.broken(err)
	}
	if _, err := w.conn.Write(w.out); err != nil {
		return 0, w.broken(err)
	}
	a, err := readAnswer(w.in)
	switch {
	case err != nil:
		return 0, w.broken(err)
	case a.status/100 != 2:
		err = fmt.Errorf("status %d", a.status)
	}
	if a.closes {
		_ = w.broken(errors.New("closed by the server"))
	}
	return a.bytes, err
}

func (w *worker) broken(err error) error {
	w.conn.Close()
	w.conn = nil
	return err
}
