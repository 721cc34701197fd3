// Command realrun feeds a node with bytes that nobody made for it: the sources
// of Go itself, with their test data, odd encodings and empty files.
//
//	make realrun                    everything, some minutes
//	REALRUN_SHORT=1 make realrun    a part of it
//
// Every file becomes one record, keyed by its path, over POST …/records; every
// line of the .go files becomes one record twice, by "chronik produce" and by
// an NDJSON stream. Half way through each the node is killed without warning
// and started again, and the writer goes on where the log ends. Everything is
// read back in five ways, before the kill and at the end: record by record, as
// JSON, as NDJSON, as bare values and by "chronik consume". A byte that
// differs ends the run with exit code 1.
//
// It prints the rate of each step, bytes on disk and the node's memory.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "realrun:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	binary := flag.String("chronik", "bin/chronik", "the binary to run")
	source := flag.String("source", "", "directory to feed; empty is Go's own sources")
	flag.Parse()
	if *source == "" {
		root, err := exec.Command("go", "env", "GOROOT").Output()
		if err != nil {
			return fmt.Errorf("ask go for its root: %w", err)
		}
		*source = filepath.Join(strings.TrimSpace(string(root)), "src")
	}
	absolute, err := filepath.Abs(*binary)
	if err != nil {
		return err
	}
	in, err := collect(*source, os.Getenv("REALRUN_SHORT") != "")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "realrun-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	n, err := startNode(ctx, absolute, dir)
	if err != nil {
		return err
	}
	defer n.kill()
	r := &realrun{node: n, in: in, report: newReport(os.Stdout)}
	r.report.title("%d files of %s, %d lines of %s, from %s", len(in.files), size(in.fileBytes), len(in.lines),
		size(in.lineBytes), *source)
	return r.run(ctx)
}

// realrun is one run.
type realrun struct {
	node   *node
	in     input
	report *report
}

func (r *realrun) run(ctx context.Context) error {
	for _, step := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"files", r.files},
		{"lines by chronik produce", r.linesByCommand},
		{"lines by NDJSON stream", r.linesByStream},
		{"after the last kill", r.lastKill},
	} {
		r.report.title("%s", step.name)
		if err := step.run(ctx); err != nil {
			return fmt.Errorf("%s: %w\n%s", step.name, err, r.node.tail())
		}
	}
	return r.report.end(r.node, r.in)
}

// lastKill kills a node that does nothing and looks at everything once more.
func (r *realrun) lastKill(ctx context.Context) error {
	r.node.kill()
	if err := r.node.start(ctx); err != nil {
		return err
	}
	for _, l := range r.report.logs {
		if err := r.check(ctx, l, quick); err != nil {
			return err
		}
	}
	return nil
}
