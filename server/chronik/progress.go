package main

import (
	"fmt"
	"io"
	"time"
)

// progress tells a person at a terminal how far long work has come. Nothing is
// written when stderr is no terminal.
type progress struct {
	out     io.Writer
	unit    string
	started time.Time
	shown   time.Time
	active  bool
}

// progressEvery is how often the line changes.
const progressEvery = 200 * time.Millisecond

func newProgress(streams Streams, unit string, quiet bool) *progress {
	return &progress{
		out: streams.Err, unit: unit, started: time.Now(), active: !quiet && isTerminal(streams.Err),
	}
}

// show rewrites the line, at most every progressEvery.
func (p *progress) show(records, bytes int64) {
	if !p.active || time.Since(p.shown) < progressEvery {
		return
	}
	p.shown = time.Now()
	fmt.Fprintf(p.out, "\r\x1b[K%s", p.line(records, bytes))
}

// clear removes the line, before something else is written.
func (p *progress) clear() {
	if p.active {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}

func (p *progress) line(records, bytes int64) string {
	seconds := time.Since(p.started).Seconds()
	return fmt.Sprintf("%d %s, %.1f MB in %.1f s (%s/s, %.1f MB/s)", records, p.unit, float64(bytes)/1e6, seconds,
		amount(float64(records)/seconds), float64(bytes)/1e6/seconds)
}

// amount shortens a rate for people.
func amount(n float64) string {
	switch {
	case n >= 10e6:
		return fmt.Sprintf("%.1fM", n/1e6)
	case n >= 10e3:
		return fmt.Sprintf("%.0fk", n/1e3)
	default:
		return fmt.Sprintf("%.0f", n)
	}
}
