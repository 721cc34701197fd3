package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/twmb/franz-go/pkg/kgo"
)

// kafkaPlan is what one run of the Kafka generator does.
type kafkaPlan struct {
	seeds    string // HOST:PORT,…
	topic    string
	action   string // "produce", "consume", "latency", "connections" or "members"
	size     int
	rate     float64 // records per second of "latency"
	count    int64   // of records: at most to produce, and to consume
	clients  int     // that are idle
	pids     string  // of the servers, PID,…, whose memory and CPU are read while clients are idle
	warmup   time.Duration
	duration time.Duration
}

func (p kafkaPlan) args() []string {
	return []string{"kafka", "-seeds", p.seeds, "-topic", p.topic, "-action", p.action, "-size", fmt.Sprint(p.size),
		"-rate", fmt.Sprint(p.rate), "-count", fmt.Sprint(p.count), "-clients", fmt.Sprint(p.clients),
		"-pids", p.pids, "-warmup", p.warmup.String(), "-duration", p.duration.String()}
}

// kafkaResult is what the generator prints.
type kafkaResult struct {
	loadResult
	Total          int64 // records that were acknowledged, those of the warm-up included
	Whole          float64
	Late50, Late99 int64   // from when a record was due until it was consumed, nanoseconds
	Resident       float64 // bytes of the servers while clients were idle
	Busy           float64 // CPU seconds that they took then
}

func kafkaMain(ctx context.Context, args []string) error {
	var p kafkaPlan
	flags := flag.NewFlagSet("kafka", flag.ContinueOnError)
	flags.StringVar(&p.seeds, "seeds", "", "")
	flags.StringVar(&p.topic, "topic", "", "")
	flags.StringVar(&p.action, "action", "produce", "")
	flags.IntVar(&p.size, "size", smallValue, "")
	flags.Float64Var(&p.rate, "rate", 0, "")
	flags.Int64Var(&p.count, "count", 0, "")
	flags.IntVar(&p.clients, "clients", 0, "")
	flags.StringVar(&p.pids, "pids", "", "")
	flags.DurationVar(&p.warmup, "warmup", 0, "")
	flags.DurationVar(&p.duration, "duration", time.Second, "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	run, ok := map[string]func(context.Context) (kafkaResult, error){
		"produce": p.produce, "consume": p.consume, "latency": p.latency,
		"connections": p.connections, "members": p.members,
	}[p.action]
	if !ok {
		return fmt.Errorf("unknown action %q", p.action)
	}
	cpu := selfCPU()
	result, err := run(ctx)
	if err != nil {
		return err
	}
	result.CPU = selfCPU() - cpu
	return json.NewEncoder(os.Stdout).Encode(result)
}

// client is franz-go's with its defaults, but for compression: what is sent is
// random, and would only cost the generator time.
func (p kafkaPlan) client(opts ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(strings.Split(p.seeds, ",")...), kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.RecordDeliveryTimeout(time.Minute),
	}, opts...)...)
}

// value is a record's value that does not compress.
func (p kafkaPlan) value() []byte {
	random := rand.NewChaCha8([32]byte{1})
	b := make([]byte, p.size)
	_, _ = random.Read(b) // never fails
	return b
}

// produce sends as fast as the client takes records: idempotent, acks=all,
// lingering and batching as the client does by default.
func (p kafkaPlan) produce(ctx context.Context) (r kafkaResult, err error) {
	client, err := p.client(kgo.DefaultProduceTopic(p.topic))
	if err != nil {
		return r, err
	}
	defer client.Close()
	var acked atomic.Int64
	var failed atomic.Pointer[error]
	promise := func(_ *kgo.Record, err error) {
		if err != nil {
			failed.CompareAndSwap(nil, &err)
			return
		}
		acked.Add(1)
	}
	begin := time.Now()
	measure, end := begin.Add(p.warmup), begin.Add(p.warmup+p.duration)
	from, at, warm := int64(0), begin, false
	value := p.value()
	const slab = 256
	for n := int64(0); n < p.count && failed.Load() == nil; n += slab {
		now := time.Now()
		if !now.Before(end) {
			break
		}
		if !warm && !now.Before(measure) {
			from, at, warm = acked.Load(), now, true
		}
		records := make([]kgo.Record, slab)
		for i := range records {
			records[i].Value = value
			client.Produce(ctx, &records[i], promise)
		}
	}
	// The rest counts, and the time that it takes: a server may answer in gusts.
	if err := client.Flush(ctx); err != nil {
		return r, err
	}
	if err := failed.Load(); err != nil {
		return r, *err
	}
	r.Total, r.Whole = acked.Load(), time.Since(begin).Seconds()
	r.Requests, r.Seconds = r.Total-from, time.Since(at).Seconds()
	return r, nil
}

// consume reads the topic from its start, without a group.
func (p kafkaPlan) consume(ctx context.Context) (r kafkaResult, err error) {
	client, err := p.client(kgo.ConsumeTopics(p.topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return r, err
	}
	defer client.Close()
	// Of a backlog that takes longer, what was read by then counts.
	ctx, cancel := context.WithTimeout(ctx, p.duration)
	defer cancel()
	begin := time.Now()
	for r.Requests < p.count && ctx.Err() == nil {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err0(); err != nil && ctx.Err() == nil {
			return r, err
		}
		for _, e := range fetches.Errors() {
			if ctx.Err() == nil {
				return r, e.Err
			}
		}
		r.Requests += int64(fetches.NumRecords())
	}
	r.Total, r.Seconds = r.Requests, time.Since(begin).Seconds()
	r.Whole = r.Seconds
	if r.Requests == 0 {
		return r, errors.New("nothing was read")
	}
	return r, nil
}

// latency sends records at a fixed rate, without lingering, and consumes them
// again. Both times count from when a record was due.
func (p kafkaPlan) latency(ctx context.Context) (r kafkaResult, err error) {
	producer, err := p.client(kgo.DefaultProduceTopic(p.topic), kgo.ProducerLinger(0))
	if err != nil {
		return r, err
	}
	defer producer.Close()
	consumer, err := p.client(kgo.ConsumeTopics(p.topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return r, err
	}
	defer consumer.Close()
	begin := time.Now().Add(p.warmup / 4) // connections are made before
	m := &kafkaMeter{begin: begin, measure: begin.Add(p.warmup), acked: newLatency(), seen: newLatency()}
	due := make(chan time.Time, 1<<16)
	go pace(begin, m.measure.Add(p.duration), p.rate, due)

	sent := make(chan int64, 1)
	go func() {
		var n int64
		random := p.value()
		for at := range due {
			value := bytes.Clone(random)
			binary.BigEndian.PutUint64(value, uint64(at.Sub(begin)))
			producer.Produce(ctx, &kgo.Record{Value: value}, func(_ *kgo.Record, err error) { m.ack(at, err) })
			n++
		}
		sent <- n
	}()
	want := int64(-1)
	limit, cancel := context.WithTimeout(ctx, p.warmup+p.duration+30*time.Second)
	defer cancel()
	var got int64
	for want < 0 || got < want {
		step, done := context.WithTimeout(limit, 100*time.Millisecond)
		fetches := consumer.PollFetches(step)
		done()
		if limit.Err() != nil {
			return r, fmt.Errorf("%d of %d records were read: %w", got, want, limit.Err())
		}
		now := time.Now()
		fetches.EachRecord(func(rec *kgo.Record) {
			got++
			m.consumed(time.Duration(binary.BigEndian.Uint64(rec.Value)), now)
		})
		if want < 0 {
			select {
			case want = <-sent:
			default:
			}
		}
	}
	if err := producer.Flush(ctx); err != nil {
		return r, err
	}
	if err := m.failed.Load(); err != nil {
		return r, *err
	}
	r.Total, r.Requests, r.Seconds, r.Whole = got, m.acked.TotalCount(), p.duration.Seconds(), time.Since(begin).Seconds()
	r.P50, r.P99 = m.acked.ValueAtPercentile(50), m.acked.ValueAtPercentile(99)
	r.Late50, r.Late99 = m.seen.ValueAtPercentile(50), m.seen.ValueAtPercentile(99)
	return r, nil
}

// kafkaMeter keeps latencies. franz-go calls its promises one after another,
// and there is one consumer.
type kafkaMeter struct {
	begin, measure time.Time
	acked, seen    *hdrhistogram.Histogram
	failed         atomic.Pointer[error]
}

func newLatency() *hdrhistogram.Histogram { return hdrhistogram.New(1000, int64(time.Minute), 3) }

func (m *kafkaMeter) ack(due time.Time, err error) {
	if err != nil {
		m.failed.CompareAndSwap(nil, &err)
		return
	}
	if !due.Before(m.measure) {
		_ = m.acked.RecordValue(int64(time.Since(due))) // a minute is beyond the run
	}
}

func (m *kafkaMeter) consumed(due time.Duration, now time.Time) {
	if at := m.begin.Add(due); !at.Before(m.measure) {
		_ = m.seen.RecordValue(int64(now.Sub(at)))
	}
}
