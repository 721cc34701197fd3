// Command bench measures a node against what the machine could do at best and
// against NATS JetStream, and prints one Markdown table of ratios.
//
//	make bench                         about fifteen minutes
//	BENCH_SHORT=1 make bench           about two
//	make bench-cluster                 three nodes: about ten minutes
//	BENCH_SHORT=1 make bench-cluster   under two
//	make bench-tracing                 what tracing costs: five minutes
//	BENCH_SHORT=1 make bench-tracing   under one
//	make bench-kafka                   the Kafka listener against Apache Kafka: about twenty-five minutes
//	BENCH_SHORT=1 make bench-kafka     about four
//
// Absolute figures of a shared machine say little, so every workload is run
// beside its limits (a handler that does nothing, the disk's own append and
// sync) and its peers, in interleaved rounds; the table gives medians, their
// spread, and how much CPU others took meanwhile. Servers and generators are
// separate processes. Everything runs on loopback and in a temporary directory,
// which is removed.
//
// The program is a module of its own so that the libraries it needs stay out of
// Chronik's. Its processes are itself under other names: "bench noop" is the
// handler, "bench load" the HTTP generator, "bench nats" and "bench kafka" those
// for NATS and Kafka. What only bench-kafka needs is a JDK and, until Apache
// Kafka's jars are in bin/kafka, Maven.
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
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case "noop":
			return serveNoop(ctx, args[1:])
		case "load":
			return loadMain(args[1:])
		case "nats":
			return natsMain(ctx, args[1:])
		case "kafka":
			return kafkaMain(ctx, args[1:])
		}
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	chronik := flags.String("chronik", "../../bin/chronik", "the binary to measure")
	nats := flags.String("nats", "../../bin/nats-server", "nats-server's binary; built when it is missing")
	only := flags.String("only", "", "comma-separated workloads, such as W1,W4; empty is all")
	keep := flags.Bool("keep", false, "keep the temporary directory")
	three := flags.Bool("cluster", false, "measure three nodes instead of one")
	kafka := flags.Bool("kafka", false, "measure the Kafka listener against Apache Kafka")
	jars := flags.String("jars", "../../bin/kafka", "Apache Kafka's jars; fetched by Maven when they are missing")
	pom := flags.String("pom", "../../kafka/compat/testdata/pom.xml", "what Maven fetches")
	tracing := flags.Bool("tracing", false, "measure what tracing costs")
	if err := flags.Parse(args); err != nil {
		return err
	}
	b, err := newBench(*chronik)
	if err != nil {
		return err
	}
	b.only, b.keep = *only, *keep
	defer b.close()
	if *tracing {
		return b.runTracing(ctx)
	}
	if *kafka {
		if err := b.fetchJars(ctx, *jars, *pom); err != nil {
			return err
		}
		return b.runKafka(ctx)
	}
	if err := b.buildNats(*nats); err != nil {
		return err
	}
	if *three {
		return b.runCluster(ctx)
	}
	return b.run(ctx)
}
