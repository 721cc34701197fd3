package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/chroniklog/chronik/server/client"
	"github.com/chroniklog/chronik/server/loadgen"
)

// BenchCmd groups the measurements.
type BenchCmd struct {
	Produce BenchProduceCmd `cmd:"" help:"Measure appends."`
	Consume BenchConsumeCmd `cmd:"" help:"Measure reads."`
}

// Load is what the measurements have in common.
type Load struct {
	Topic       string        `arg:"" help:"Topic to use."`
	Rate        float64       `name:"rate" short:"r" placeholder:"N" help:"Requests per second, open loop; without it as fast as answers come."`
	Duration    time.Duration `name:"duration" short:"d" default:"10s" help:"How long to measure."`
	Warmup      time.Duration `name:"warmup" default:"1s" help:"How long to run before measuring."`
	Connections int           `name:"connections" short:"c" default:"64" help:"Connections to the node."`
}

// plan makes the load of server; only plain HTTP is spoken.
func (l Load) plan(server string) (loadgen.Plan, error) {
	node, err := client.New(server)
	if err != nil {
		return loadgen.Plan{}, usageError{err}
	}
	target, err := url.Parse(node.Server())
	if err != nil || target.Scheme != "http" {
		return loadgen.Plan{}, usagef("--server %q: bench speaks to http://HOST:PORT only", server)
	}
	if l.Connections < 1 || l.Connections > 10_000 || l.Rate < 0 || l.Duration <= 0 || l.Warmup < 0 {
		return loadgen.Plan{}, usagef("use 1 to 10000 connections, a rate of 0 or more and a positive duration")
	}
	address := target.Host
	if target.Port() == "" {
		address += ":80"
	}
	return loadgen.Plan{
		Address: address, Connections: l.Connections, Rate: l.Rate, Warmup: l.Warmup, Duration: l.Duration,
	}, nil
}

// benchResult is the JSON form of a report; times are in microseconds.
type benchResult struct {
	Requests  int64   `json:"requests"`
	Records   int64   `json:"records"`
	Errors    int64   `json:"errors"`
	Seconds   float64 `json:"seconds"`
	PerSecond float64 `json:"requests_per_second"`
	MBPerSec  float64 `json:"megabytes_per_second"`
	P50       float64 `json:"p50_us"`
	P90       float64 `json:"p90_us"`
	P99       float64 `json:"p99_us"`
	P999      float64 `json:"p999_us"`
	Max       float64 `json:"max_us"`
}

// report prints r; each request moved so many records and bytes.
func report(streams Streams, json bool, r loadgen.Report, records, bytes int64) error {
	if json {
		us := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
		err := writeJSON(streams.Out, benchResult{
			Requests: r.Requests, Records: r.Requests * records, Errors: r.Errors, Seconds: r.Elapsed.Seconds(),
			PerSecond: r.Rate(), MBPerSec: r.Rate() * float64(bytes) / 1e6,
			P50: us(r.Percentile(50)), P90: us(r.Percentile(90)), P99: us(r.Percentile(99)), P999: us(r.Percentile(99.9)),
			Max: us(time.Duration(r.Latency.Max())),
		})
		if err != nil {
			return err
		}
	} else {
		fmt.Fprintln(streams.Out, r)
		fmt.Fprintf(streams.Out, "%s records/s, %.1f MB/s\n",
			amount(r.Rate()*float64(records)), r.Rate()*float64(bytes)/1e6)
	}
	switch {
	case r.Requests == 0 && r.First == nil:
		return errors.New("no answer came while it was measured: use a longer --duration, or a --warmup")
	case r.Requests == 0:
		return fmt.Errorf("nothing succeeded: %w", r.First)
	}
	if r.Errors > 0 {
		return fmt.Errorf("%d requests failed, the first: %w", r.Errors, r.First)
	}
	return nil
}

// BenchProduceCmd measures appends.
type BenchProduceCmd struct {
	Remote `embed:""`
	Load   `embed:""`
	Size   int    `name:"size" short:"s" default:"100" help:"Bytes of each record's value."`
	Batch  int    `name:"batch" short:"b" default:"1" help:"Records per request; more than one go as record batches."`
	Acks   string `name:"acks" enum:"all,leader,none" default:"all" help:"When a record counts as written: ${enum}."`
}

// Help shows examples.
func (BenchProduceCmd) Help() string {
	return `The records stay in the topic: use one that you can delete.

With --rate the load is open loop: requests are due at fixed times and latency counts
from then, so a stall is not hidden. Without it throughput is the result.

Examples:

    chronik bench produce scratch --rate 1000
    chronik bench produce scratch --connections 64 --duration 30s --output json
    chronik bench produce scratch --batch 100 --size 1024 --connections 4`
}

// Run ensures the topic and applies the load.
func (c BenchProduceCmd) Run(ctx context.Context, streams Streams) error {
	plan, err := c.plan(c.Server)
	if err != nil {
		return err
	}
	if c.Size < 0 || c.Size > 1<<20 || c.Batch < 1 || c.Batch > 10_000 || c.Size*c.Batch > 10<<20 {
		return usagef("use a size of 0 to 1048576, a batch of 1 to 10000, and at most 10 MiB together")
	}
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	topic, err := api.EnsureTopic(ctx, client.TopicSpec{Name: c.Topic})
	if err != nil {
		return err
	}
	plan.Request = c.request(plan.Address, topic.Partitions)
	r, err := loadgen.Run(ctx, plan)
	if err != nil {
		return err
	}
	return report(streams, c.JSON(), r, int64(c.Batch), int64(c.Batch*c.Size))
}

// request prepares the bytes of a request once; only the partition of a batch
// changes from one to the next.
func (c BenchProduceCmd) request(host string, partitions int32) func(dst []byte, i int64) []byte {
	value := []byte(strings.Repeat("0123456789abcdef", c.Size/16+1)[:c.Size])
	topic := url.PathEscape(c.Topic)
	if c.Batch == 1 {
		whole := fmt.Appendf(nil, "POST /v1/topics/%s/records?acks=%s HTTP/1.1\r\nHost: %s\r\n"+
			"Content-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n%s", topic, c.Acks, host, c.Size, value)
		return func(dst []byte, _ int64) []byte { return append(dst, whole...) }
	}
	batch := recordBatch(c.Batch, value)
	tail := fmt.Appendf(nil, "&acks=%s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/vnd.kafka.recordbatch.v2\r\n"+
		"Content-Length: %d\r\n\r\n%s", c.Acks, host, len(batch), batch)
	return func(dst []byte, i int64) []byte {
		dst = fmt.Appendf(dst, "POST /v1/topics/%s/batches?partition=%d", topic, i%int64(max(partitions, 1)))
		return append(dst, tail...)
	}
}
