package main

import (
	"fmt"
	"io"
	"time"
)

// report prints what happens.
type report struct {
	out   io.Writer
	began time.Time
	logs  []*log // what was written, to be looked at once more
}

func newReport(out io.Writer) *report { return &report{out: out, began: time.Now()} }

func (r *report) title(format string, args ...any) { fmt.Fprintf(r.out, "\n"+format+"\n", args...) }

// step prints one line: what, how many, how fast.
func (r *report) step(what string, records int, bytes int64, took time.Duration) {
	seconds := took.Seconds()
	fmt.Fprintf(r.out, "  %-44s %8d records %9s %7.2f s %9.0f/s %8.1f MB/s\n", what, records, size(bytes), seconds,
		float64(records)/seconds, float64(bytes)/1e6/seconds)
}

func (r *report) note(format string, args ...any) { fmt.Fprintf(r.out, "  "+format+"\n", args...) }

func (r *report) end(n *node, in input) error {
	now, peak := n.memory()
	all, logs, values := n.diskBytes(""), n.diskBytes("logs/logs"), in.fileBytes+2*in.lineBytes
	r.title("%s of values take %s on disk as logs (%.2f×), %s with journal and metadata, which do not grow with them",
		size(values), size(logs), float64(logs)/float64(values), size(all))
	r.note("node: %s resident, %s at its peak", now, peak)
	r.title("every byte came back; %.0f s in all", time.Since(r.began).Seconds())
	return nil
}

// size writes bytes for a person.
func size(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.2f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	default:
		return fmt.Sprintf("%.1f KB", float64(n)/1e3)
	}
}
