package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sys/unix"
)

// natsPlan is what one run of the NATS generator does.
type natsPlan struct {
	url      string
	action   string // "sync", "async", "streams" or "consume"
	clients  int
	size     int
	rate     float64
	count    int // of streams to create, or records to consume
	replicas int // of the stream; 0 is 1
	warmup   time.Duration
	duration time.Duration
}

func (p natsPlan) args() []string {
	return []string{"nats", "-url", p.url, "-action", p.action, "-clients", fmt.Sprint(p.clients),
		"-size", fmt.Sprint(p.size), "-rate", fmt.Sprint(p.rate), "-count", fmt.Sprint(p.count),
		"-replicas", fmt.Sprint(p.replicas),
		"-warmup", p.warmup.String(), "-duration", p.duration.String()}
}

func natsMain(ctx context.Context, args []string) error {
	var p natsPlan
	flags := flag.NewFlagSet("nats", flag.ContinueOnError)
	flags.StringVar(&p.url, "url", "", "")
	flags.StringVar(&p.action, "action", "sync", "")
	flags.IntVar(&p.clients, "clients", 1, "")
	flags.IntVar(&p.size, "size", 100, "")
	flags.Float64Var(&p.rate, "rate", 0, "")
	flags.IntVar(&p.count, "count", 0, "")
	flags.IntVar(&p.replicas, "replicas", 0, "")
	flags.DurationVar(&p.warmup, "warmup", 0, "")
	flags.DurationVar(&p.duration, "duration", time.Second, "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	clients := make([]jetstream.JetStream, p.clients)
	for i := range clients {
		conn, err := nats.Connect(p.url)
		if err != nil {
			return err
		}
		defer conn.Close()
		if clients[i], err = jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(500)); err != nil {
			return err
		}
	}
	cpu := selfCPU()
	result, err := p.run(ctx, clients)
	if err != nil {
		return err
	}
	result.CPU = selfCPU() - cpu
	return json.NewEncoder(os.Stdout).Encode(result)
}

func (p natsPlan) run(ctx context.Context, clients []jetstream.JetStream) (loadResult, error) {
	if p.action == "streams" {
		return p.createStreams(ctx, clients)
	}
	if _, err := clients[0].CreateOrUpdateStream(ctx, natsStream(p.replicas)); err != nil {
		return loadResult{}, err
	}
	switch p.action {
	case "sync", "async":
		return p.publish(ctx, clients)
	case "consume":
		return p.consume(ctx, clients[0])
	default:
		return loadResult{}, fmt.Errorf("unknown action %q", p.action)
	}
}

// natsStream is what is published to.
func natsStream(replicas int) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: "bench", Subjects: []string{"bench.>"}, Storage: jetstream.FileStorage, Replicas: max(replicas, 1),
	}
}

// publish measures acknowledged messages: one at a time per client, or with up
// to 500 on their way.
func (p natsPlan) publish(ctx context.Context, clients []jetstream.JetStream) (loadResult, error) {
	begin := time.Now()
	m := &natsMeter{measure: begin.Add(p.warmup), end: begin.Add(p.warmup + p.duration)}
	var due chan time.Time
	if p.rate > 0 {
		due = make(chan time.Time, 1<<16)
		go pace(begin, m.end, p.rate, due)
	}
	send := m.sync
	if p.action == "async" {
		send = m.async
	}
	body := make([]byte, p.size)
	var group sync.WaitGroup
	errs := make(chan error, len(clients))
	for i, js := range clients {
		group.Go(func() { errs <- send(ctx, js, fmt.Sprintf("bench.%d", i), natsLoad{body, due}) })
	}
	group.Wait()
	for range clients {
		if err := <-errs; err != nil {
			return loadResult{}, err
		}
	}
	return m.result(time.Since(m.measure)), nil
}

// pace hands out times at which a request is due, from a thread of its own.
func pace(begin, end time.Time, rate float64, due chan<- time.Time) {
	runtime.LockOSThread()
	defer close(due)
	for i := 0; ; i++ {
		at := begin.Add(time.Duration(float64(i) / rate * float64(time.Second)))
		if at.After(end) {
			return
		}
		if wait := unix.NsecToTimespec(int64(max(time.Until(at), 0))); wait.Nano() > 0 {
			_ = unix.Nanosleep(&wait, nil) // early by a signal is early by little
		}
		due <- at
	}
}

// natsLoad is what a client sends, and when.
type natsLoad struct {
	body []byte
	due  <-chan time.Time // nil: at once
}

// natsMeter counts acknowledged messages.
type natsMeter struct {
	measure, end time.Time
	mu           sync.Mutex
	latency      *hdrhistogram.Histogram
	count        int64
}

func (m *natsMeter) add(histogram *hdrhistogram.Histogram, n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.count += n
	if m.latency == nil {
		m.latency = hdrhistogram.New(1000, int64(time.Minute), 3)
	}
	m.latency.Merge(histogram)
}

func (m *natsMeter) result(took time.Duration) loadResult {
	return loadResult{
		Requests: m.count, Seconds: took.Seconds(),
		P50: m.latency.ValueAtPercentile(50), P99: m.latency.ValueAtPercentile(99), P999: m.latency.ValueAtPercentile(99.9),
	}
}

func (m *natsMeter) sync(ctx context.Context, js jetstream.JetStream, subject string, load natsLoad) error {
	histogram := hdrhistogram.New(1000, int64(time.Minute), 3)
	var n int64
	for {
		at := time.Now()
		if load.due != nil {
			var open bool
			if at, open = <-load.due; !open {
				break
			}
		}
		if at.After(m.end) {
			break
		}
		if _, err := js.Publish(ctx, subject, load.body); err != nil {
			return err
		}
		if now := time.Now(); !at.Before(m.measure) && now.Before(m.end) {
			n++
			_ = histogram.RecordValue(int64(now.Sub(at))) // a minute is beyond the run
		}
	}
	m.add(histogram, n)
	return nil
}

func (m *natsMeter) async(ctx context.Context, js jetstream.JetStream, subject string, load natsLoad) error {
	histogram := hdrhistogram.New(1000, int64(time.Minute), 3)
	var n int64
	type sent struct {
		future jetstream.PubAckFuture
		at     time.Time
	}
	window := make(chan sent, 500)
	failed := make(chan error, 1)
	go func() {
		defer close(failed)
		for s := range window {
			select {
			case <-s.future.Ok():
			case err := <-s.future.Err():
				failed <- err
				return
			case <-ctx.Done():
				return
			}
			if now := time.Now(); !s.at.Before(m.measure) && now.Before(m.end) {
				n++
				_ = histogram.RecordValue(int64(now.Sub(s.at)))
			}
		}
	}()
	for now := time.Now(); now.Before(m.end) && len(failed) == 0; now = time.Now() {
		future, err := js.PublishAsync(subject, load.body, jetstream.WithStallWait(10*time.Second))
		if err != nil {
			close(window)
			return err
		}
		window <- sent{future, now}
	}
	close(window)
	err := <-failed
	m.add(histogram, n)
	return err
}

// consume reads messages from the stream's start with an ordered consumer.
func (p natsPlan) consume(ctx context.Context, js jetstream.JetStream) (loadResult, error) {
	consumer, err := js.OrderedConsumer(ctx, "bench", jetstream.OrderedConsumerConfig{})
	if err != nil {
		return loadResult{}, err
	}
	stream, err := js.Stream(ctx, "bench")
	if err != nil {
		return loadResult{}, err
	}
	count := min(p.count, int(stream.CachedInfo().State.Msgs))
	begin := time.Now()
	messages, err := consumer.Messages(jetstream.PullMaxMessages(5000))
	if err != nil {
		return loadResult{}, err
	}
	defer messages.Stop()
	n := 0
	for ; n < count && time.Since(begin) < p.duration; n++ {
		if _, err := messages.Next(jetstream.NextMaxWait(5 * time.Second)); err != nil {
			return loadResult{}, err
		}
	}
	return loadResult{Requests: int64(n), Seconds: time.Since(begin).Seconds()}, nil
}

func (p natsPlan) createStreams(ctx context.Context, clients []jetstream.JetStream) (loadResult, error) {
	begin := time.Now()
	var group sync.WaitGroup
	errs := make(chan error, len(clients))
	for c, js := range clients {
		group.Go(func() {
			for i := c; i < p.count; i += len(clients) {
				name := fmt.Sprintf("s%d", i)
				config := jetstream.StreamConfig{Name: name, Subjects: []string{name}, Storage: jetstream.FileStorage}
				if _, err := js.CreateStream(ctx, config); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		})
	}
	group.Wait()
	for range clients {
		if err := <-errs; err != nil {
			return loadResult{}, err
		}
	}
	return loadResult{Requests: int64(p.count), Seconds: time.Since(begin).Seconds()}, nil
}
