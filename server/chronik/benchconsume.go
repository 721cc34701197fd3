package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/chroniklog/chronik/server/client"
	"github.com/chroniklog/chronik/server/loadgen"
	"github.com/chroniklog/chronik/storage/record"
)

// BenchConsumeCmd measures reads.
type BenchConsumeCmd struct {
	Remote `embed:""`
	Load   `embed:""`
	Limit  int `name:"limit" short:"n" default:"1" help:"Records per read at a --rate."`
}

// Help shows examples.
func (BenchConsumeCmd) Help() string {
	return `Without --rate the whole topic is read once, partition by partition, as record
batches: a consumer that catches up. With --rate, reads of --limit records as JSON at
random offsets are due at fixed times, and latency counts from then.

Examples:

    chronik bench consume scratch
    chronik bench consume scratch --rate 500 --limit 10`
}

// Run reads as asked.
func (c BenchConsumeCmd) Run(ctx context.Context, streams Streams) error {
	plan, err := c.plan(c.Server)
	if err != nil {
		return err
	}
	if c.Limit < 1 || c.Limit > 1000 {
		return usagef("use a limit of 1 to 1000")
	}
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	partitions, err := api.Partitions(ctx, c.Topic)
	if err != nil {
		return err
	}
	if c.Rate == 0 {
		return c.catchUp(ctx, streams, api, partitions)
	}
	if plan.Request, err = c.request(plan.Address, partitions); err != nil {
		return err
	}
	r, err := loadgen.Run(ctx, plan)
	if err != nil {
		return err
	}
	return report(streams, c.JSON(), r, int64(c.Limit), r.Bytes/max(r.Requests, 1))
}

func (c BenchConsumeCmd) request(host string, all []client.Partition) (func([]byte, int64) []byte, error) {
	filled := make([]client.Partition, 0, len(all))
	for _, p := range all {
		if p.HighWatermark > p.LogStartOffset {
			filled = append(filled, p)
		}
	}
	if len(filled) == 0 {
		return nil, fmt.Errorf("topic %s has no records to read", c.Topic)
	}
	topic := url.PathEscape(c.Topic)
	return func(dst []byte, i int64) []byte {
		p := filled[i%int64(len(filled))]
		offset := p.LogStartOffset + rand.Int64N(p.HighWatermark-p.LogStartOffset)
		return fmt.Appendf(dst, "GET /v1/topics/%s/partitions/%d/records?offset=%d&limit=%d HTTP/1.1\r\n"+
			"Host: %s\r\nAccept: application/json\r\n\r\n", topic, p.Partition, offset, c.Limit, host)
	}, nil
}

// catchUp reads everything once and reports the latency of fetches.
func (c BenchConsumeCmd) catchUp(
	ctx context.Context, streams Streams, api *client.Client, partitions []client.Partition,
) error {
	begin := time.Now()
	r := loadgen.Report{Latency: hdrhistogram.New(1, int64(time.Hour), 3)}
	var records int64
	for _, p := range partitions {
		request := client.FetchRequest{Topic: c.Topic, Partition: p.Partition, Offset: p.LogStartOffset, MaxBytes: fetchBytes}
		for request.Offset < p.HighWatermark {
			sent := time.Now()
			got, err := api.Fetch(ctx, request)
			if err != nil {
				return err
			}
			_ = r.Latency.RecordValue(int64(time.Since(sent))) // an hour is beyond any fetch
			n, err := countRecords(got.Batches)
			if err != nil || got.Next <= request.Offset {
				return fmt.Errorf("partition %d at offset %d: no progress: %w", p.Partition, request.Offset, err)
			}
			r.Requests++
			r.Bytes += int64(len(got.Batches))
			records += n
			request.Offset = got.Next
		}
	}
	if r.Requests == 0 {
		return fmt.Errorf("topic %s has no records to read", c.Topic)
	}
	r.Elapsed = time.Since(begin)
	return report(streams, c.JSON(), r, records/r.Requests, r.Bytes/r.Requests)
}

// countRecords counts the records of whole batches by their headers alone.
func countRecords(batches []byte) (n int64, err error) {
	for len(batches) > 0 {
		h, err := record.ParseHeader(batches)
		if err != nil {
			return n, err
		}
		n += int64(h.Count)
		batches = batches[min(h.Size(), len(batches)):]
	}
	return n, nil
}

// recordBatch is a batch of n records with the same value.
func recordBatch(n int, value []byte) []byte {
	b := record.NewBuilder(record.CodecNone)
	b.Reset(0, 0)
	now := time.Now().UnixMilli()
	for range n {
		b.Append(now, nil, value, nil)
	}
	return b.Build(nil)
}
