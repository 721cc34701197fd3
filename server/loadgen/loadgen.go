// Package loadgen sends HTTP/1.1 requests at a rate and measures how long the
// answers take.
//
// The load is open loop: request i is due at start + i/rate whether or not the
// earlier ones were answered, and its latency counts from when it was due. A
// server that stalls for a second therefore shows a second, in every request
// that the stall made late (a generator that waits for answers would show one
// slow request and hide the others). Without a rate the load is closed loop:
// each connection sends as soon as it has its answer; then throughput is the
// result and latency only describes that load.
//
// Connections are plain TCP with keep-alive and no pipelining; writing and
// parsing is by hand so that the generator costs little beside the server.
package loadgen

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Bounds of what a histogram holds: a microsecond's tenth to ten minutes.
const (
	shortest = int64(100)
	longest  = int64(10 * time.Minute)
	digits   = 3
)

// maxLate bounds how many due requests may wait for a connection. Beyond it
// the generator itself is what is measured, so it stops.
const maxLate = 1 << 20

// ErrOverloaded means that requests came due faster than they could be sent.
var ErrOverloaded = errors.New("more requests are late than the generator can hold: lower the rate")

// Plan is the shape of a load.
type Plan struct {
	Address     string        // HOST:PORT
	Connections int           // at least 1
	Rate        float64       // requests per second; 0 is closed loop
	Warmup      time.Duration // not measured
	Duration    time.Duration // measured
	// Request appends request i to dst, complete with headers.
	Request func(dst []byte, i int64) []byte
}

// Report is what was measured.
type Report struct {
	Requests int64 // answered with 2xx
	Errors   int64 // answered otherwise, or not at all
	First    error // the first error, for a person
	Bytes    int64 // of answers' bodies
	Elapsed  time.Duration
	Latency  *hdrhistogram.Histogram // nanoseconds, of the 2xx
}

// Percentile is the latency that p percent of requests did not exceed.
func (r Report) Percentile(p float64) time.Duration {
	return time.Duration(r.Latency.ValueAtPercentile(p))
}

// Rate is answered requests per second.
func (r Report) Rate() float64 { return float64(r.Requests) / r.Elapsed.Seconds() }

// Run applies the load and returns when it is over or ctx ends.
func Run(ctx context.Context, p Plan) (Report, error) {
	if p.Connections < 1 || p.Duration <= 0 {
		return Report{}, errors.New("a load needs a connection and a duration")
	}
	ctx, cancel := context.WithTimeout(ctx, p.Warmup+p.Duration)
	defer cancel()
	workers := make([]*worker, p.Connections)
	for i := range workers {
		w, err := newWorker(ctx, p)
		if err != nil {
			closeAll(workers[:i])
			return Report{}, err
		}
		workers[i] = w
	}
	defer closeAll(workers)
	begin := time.Now()
	measure := begin.Add(p.Warmup)
	var due chan dueRequest
	var paceErr error
	var group sync.WaitGroup
	if p.Rate > 0 {
		due = make(chan dueRequest, maxLate)
		group.Go(func() {
			paceErr = pace(ctx, begin, p.Rate, due)
			close(due)
		})
	}
	for i, w := range workers {
		group.Go(func() { w.run(ctx, measure, due, int64(i)) })
	}
	group.Wait()
	report := merge(workers)
	report.Elapsed = time.Since(measure)
	return report, paceErr
}

// dueRequest is a request and when it should be sent.
type dueRequest struct {
	number int64
	at     time.Time
}

// pace hands out requests when they are due. It owns a thread, whose sleep is
// exact where the platform allows; the runtime's own timers round up to a
// millisecond in an idle process.
func pace(ctx context.Context, begin time.Time, rate float64, due chan<- dueRequest) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for i := int64(0); ctx.Err() == nil; i++ {
		at := begin.Add(time.Duration(float64(i) / rate * float64(time.Second)))
		sleepUntil(at)
		select {
		case due <- dueRequest{i, at}:
		default:
			return ErrOverloaded
		}
	}
	return nil
}

func merge(workers []*worker) Report {
	report := Report{Latency: hdrhistogram.New(shortest, longest, digits)}
	for _, w := range workers {
		report.Requests += w.requests
		report.Errors += w.errors
		report.Bytes += w.bytes
		report.Latency.Merge(w.latency)
		if report.First == nil {
			report.First = w.first
		}
	}
	return report
}

func closeAll(workers []*worker) {
	for _, w := range workers {
		w.close()
	}
}

// String is one line for a person.
func (r Report) String() string {
	return fmt.Sprintf("%d requests in %.1f s: %.0f/s, p50 %v, p90 %v, p99 %v, p99.9 %v, max %v, %d errors",
		r.Requests, r.Elapsed.Seconds(), r.Rate(), r.Percentile(50), r.Percentile(90), r.Percentile(99),
		r.Percentile(99.9), time.Duration(r.Latency.Max()), r.Errors)
}
