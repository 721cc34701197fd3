package main

import (
	"fmt"
	"io"
	"strings"
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
	return summary(records, p.unit, bytes, time.Since(p.started))
}

// summary says how much of what took how long, and the rates where they mean
// something: one record has none.
func summary(records int64, unit string, bytes int64, took time.Duration) string {
	if records == 1 {
		unit = strings.TrimSuffix(unit, "s")
	}
	text := fmt.Sprintf("%d %s, %s in %s", records, unit, size(float64(bytes)), elapsed(took))
	if seconds := took.Seconds(); records > 1 && seconds > 0 {
		text += fmt.Sprintf(" (%s/s, %s/s)", amount(float64(records)/seconds), size(float64(bytes)/seconds))
	}
	return text
}

// size is a number of bytes for people.
func size(bytes float64) string {
	switch {
	case bytes >= 1e6:
		return fmt.Sprintf("%.1f MB", bytes/1e6)
	case bytes >= 1e3:
		return fmt.Sprintf("%.1f kB", bytes/1e3)
	default:
		return fmt.Sprintf("%.0f B", bytes)
	}
}

// elapsed is a duration for people.
func elapsed(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%.0f ms", d.Seconds()*1e3)
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
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
