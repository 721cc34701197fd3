// Command tracedemo shows what a produce leaves in a Jaeger: it runs three nodes
// that send every span there, produces one record through a node that does not
// lead its partition, reads it from another, and prints the trees of spans and
// where Jaeger shows them.
//
//	make jaeger        a Jaeger in the background
//	make trace-demo    this; it sees to the Jaeger first
//
// The nodes' data goes to a temporary directory, which is removed.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "tracedemo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	var d demo
	flag.StringVar(&d.binary, "chronik", "bin/chronik", "the binary to run")
	flag.StringVar(&d.jaeger, "jaeger", "http://127.0.0.1:16686", "where Jaeger answers")
	flag.StringVar(&d.otlp, "otlp", "http://127.0.0.1:4318", "where it takes spans (OTLP over HTTP)")
	flag.Parse()
	found, err := d.run(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("one record, produced through node %d; node %d leads its partition:\n\n%s\n  %s\n\n",
		found.front, found.leader, found.produced.tree(), d.page(found.produced))
	fmt.Printf("read from node %d; it links to the span that appended it:\n\n%s\n  %s\n",
		found.leader, found.consumed.tree(), d.page(found.consumed))
	return nil
}
