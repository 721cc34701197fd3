package main

import (
	"context"
	"os"
	"time"
)

// samplings are how much of the requests is traced, least first.
func samplings() []struct{ name, sampler, arg string } {
	return []struct{ name, sampler, arg string }{
		{"off", "", ""}, {"1 %", "parentbased_traceidratio", "0.01"}, {"100 %", "parentbased_always_on", ""},
	}
}

// tracingGoals judge the server's CPU per request.
func tracingGoals() []goal {
	return []goal{
		{"T1", "tracing 1 % of W1, CPU per request over off", "T1 1 % cpu", "T1 off cpu", 1.03, true, 1e6, "µs", 0},
		{"T1", "… 100 %", "T1 100 % cpu", "T1 off cpu", 0, true, 1e6, "µs", 0},
		{"T1", "… 1 %, requests", "T1 1 % /s", "T1 off /s", 0, false, 0, "req/s", 0},
		{"T1", "… 100 %, requests", "T1 100 % /s", "T1 off /s", 0, false, 0, "req/s", 0},
	}
}

// runTracing measures what tracing costs: W1 on nodes that differ in nothing
// else. Their spans go to the handler that does nothing. The order of the nodes
// turns from round to round, so that a drift of the machine favours none.
func (b *bench) runTracing(ctx context.Context) error {
	b.goals = tracingGoals()
	b.rounds *= 3 // the differences are small
	began := time.Now()
	b.say("%d rounds of %v in %s", b.rounds, b.length, b.dir)
	sink, err := b.startNoop(ctx)
	if err != nil {
		return err
	}
	var nodes []*process
	for _, s := range samplings() {
		address, err := freeAddress()
		if err != nil {
			return err
		}
		args := []string{b.chronik, "serve", "--data-dir", b.file("data-" + s.sampler + s.arg), "--http", address,
			"--kafka", "127.0.0.1:0", "--peer", "127.0.0.1:0", "--log-level", "error"}
		if s.sampler != "" {
			args = append([]string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + sink.address,
				"OTEL_TRACES_SAMPLER=" + s.sampler, "OTEL_TRACES_SAMPLER_ARG=" + s.arg}, args...)
		}
		p, err := b.start("tracing-"+s.sampler, address, "/usr/bin/env", args...) // which becomes the node
		if err != nil {
			return err
		}
		if err := p.readyHTTP(ctx, "/readyz"); err != nil {
			return err
		}
		if err := createTopic(ctx, address, "w1", 1); err != nil {
			return err
		}
		nodes = append(nodes, p)
	}
	if err := b.writeBodies(); err != nil {
		return err
	}
	turn := 0
	err = b.inRounds(began, func() error {
		turn++
		for i := range nodes {
			at := (i + turn) % len(nodes)
			plan := loadPlan{Connections: connections, Path: "/v1/topics/w1/records", BodyFile: b.file("one")}
			if err := b.load(ctx, "T1 "+samplings()[at].name, nodes[at], plan); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		b.print(os.Stdout, time.Since(began))
	}
	return err
}
