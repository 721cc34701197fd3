// Command chronik is the whole of Chronik in one binary: "chronik serve" runs a
// node, every other command is a client of a node's HTTP API.
//
// Data goes to stdout, everything said about it to stderr. The exit code is 0
// when the command did what it was asked, 1 when it could not, 2 when it was
// asked wrongly.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Set by the build: make build reads them from git.
var (
	version = "dev"
	commit  = "unknown"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	streams := Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}
	os.Exit(run(ctx, os.Args[1:], streams))
}

// Streams are where a command reads and writes.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}
