package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"golang.org/x/sys/unix"
)

// kafkaRate is the open loop's, in records per second.
const kafkaRate = 1000

// kafkaRounds are enough: the ratios are far from 1.
const kafkaRounds = 3

// kafkaBytes is the most that a workload writes, replicas included.
const kafkaBytes = 1500 << 20

// cell is one shape of W11.
type cell struct{ size, partitions int }

func (c cell) String() string {
	size := fmt.Sprintf("%d B", c.size)
	if c.size == largeValue {
		size = "1 KB"
	}
	if c.partitions == 1 {
		return size + ", 1 partition"
	}
	return fmt.Sprintf("%s, %d partitions", size, c.partitions)
}

var kafkaCells = []cell{{smallValue, 1}, {largeValue, 1}, {smallValue, 100}, {largeValue, 100}}

func kafkaError(code int16) error { return kerr.ErrorForCode(code) }

// kafkaPhase is what runs side by side: servers of as many nodes.
type kafkaPhase struct {
	id      string // "1 node" or "3 nodes"
	servers []*kafkaServer
	cells   []cell // that are filled and read as fast as it goes
	steady  []cell // at a fixed rate
}

// Names of the servers.
const (
	chronikName = "chronik"
	defaultName = "kafka"
	flushName   = "kafka flush=1"
)

// runKafka measures the Kafka listener against Apache Kafka.
func (b *bench) runKafka(ctx context.Context) error {
	// A JVM compiles what it runs often, and servers open their files at a
	// partition's first record: neither is measured, in the short form either.
	b.rounds, b.warmup = min(b.rounds, kafkaRounds), time.Second
	b.say("the Kafka listener, %d rounds of %v in %s", b.rounds, b.length, b.dir)
	began := time.Now()
	for _, w := range []struct {
		name string
		run  func(context.Context, time.Time) error
	}{{"one", b.oneNode}, {"three", b.threeNodes}, {"idle", b.idleKafka}} {
		if !b.wanted(w.name) {
			continue
		}
		b.say("%s", w.name)
		if err := w.run(ctx, began); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}
	b.printKafka(os.Stdout, time.Since(began))
	return nil
}

func (b *bench) oneNode(ctx context.Context, began time.Time) error {
	phase := &kafkaPhase{id: "1 node", cells: kafkaCells, steady: []cell{kafkaCells[0], kafkaCells[3]}}
	if b.short {
		phase.cells, phase.steady = phase.steady, phase.steady[:1]
	}
	s, err := b.startChronik(ctx, chronikName, 1)
	if err != nil {
		return err
	}
	phase.servers = append(phase.servers, s)
	for _, k := range []struct{ name, more string }{{defaultName, ""}, {flushName, "log.flush.interval.messages=1\n"}} {
		if s, err = b.startKafka(ctx, k.name, 1, k.more); err != nil {
			return err
		}
		phase.servers = append(phase.servers, s)
	}
	return b.phase(ctx, began, phase)
}

func (b *bench) threeNodes(ctx context.Context, began time.Time) error {
	phase := &kafkaPhase{id: "3 nodes", cells: kafkaCells, steady: []cell{kafkaCells[0], kafkaCells[3]}}
	if b.short {
		phase.cells, phase.steady = kafkaCells[3:], kafkaCells[:1]
	}
	s, err := b.startChronik(ctx, chronikName+"-three", clusterSize)
	if err != nil {
		return err
	}
	k, err := b.startKafka(ctx, defaultName+"-three", clusterSize, "")
	if err != nil {
		return err
	}
	s.name, k.name = chronikName, defaultName
	phase.servers = []*kafkaServer{s, k}
	return b.phase(ctx, began, phase)
}

// phase runs the rounds and ends the servers.
func (b *bench) phase(ctx context.Context, began time.Time, phase *kafkaPhase) error {
	defer func() {
		for _, s := range phase.servers {
			s.kill()
		}
	}()
	if err := b.warmUp(ctx, phase); err != nil {
		return err
	}
	if err := b.inRounds(began, func() error { return b.kafkaRound(ctx, phase) }); err != nil {
		return err
	}
	for _, s := range phase.servers {
		b.measured(kafkaRow{phase: phase.id, what: "resident memory after all that", unit: "MB", scale: 1e-6, less: true}, s,
			s.resident())
	}
	return nil
}

// warmUp lets every server compile what it will run.
func (b *bench) warmUp(ctx context.Context, phase *kafkaPhase) error {
	const most = 200 << 20
	for _, s := range phase.servers {
		if err := s.create(ctx, "warm", 100); err != nil {
			return fmt.Errorf("%s: %w%s", s.name, err, s.logs())
		}
		for _, size := range []int{smallValue, largeValue} {
			for _, action := range []string{"produce", "consume"} {
				plan := kafkaPlan{
					topic: "warm", action: action, size: size, duration: 3 * time.Second, count: int64(most / size),
				}
				if _, err := b.generate(ctx, s, plan); err != nil {
					return err
				}
			}
		}
		if err := s.remove(ctx, "warm"); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// kafkaRound runs every workload once, server after server within a shape.
func (b *bench) kafkaRound(ctx context.Context, phase *kafkaPhase) error {
	for _, c := range phase.cells {
		for _, s := range phase.servers {
			if err := b.throughput(ctx, phase.id, s, c); err != nil {
				return fmt.Errorf("%s, %s: %w", s.name, c, err)
			}
		}
	}
	for _, c := range phase.steady {
		for _, s := range phase.servers {
			if err := b.kafkaLatency(ctx, phase.id, s, c); err != nil {
				return fmt.Errorf("%s, %s, latency: %w", s.name, c, err)
			}
		}
	}
	for _, s := range phase.servers {
		if err := b.producerPerf(ctx, phase.id, s); err != nil {
			return fmt.Errorf("%s, kafka-producer-perf-test: %w", s.name, err)
		}
	}
	return nil
}

// generate runs the generator.
func (b *bench) generate(ctx context.Context, s *kafkaServer, plan kafkaPlan) (kafkaResult, error) {
	plan.seeds = s.seeds[0]
	for _, more := range s.seeds[1:] {
		plan.seeds += "," + more
	}
	var r kafkaResult
	err := child(ctx, &r, plan.args()...)
	if err != nil {
		err = fmt.Errorf("%s: %w%s", s.name, err, s.logs())
	}
	return r, err
}

// onTopic runs something on a topic of its own. What was written before, by
// whichever server, has reached the disk: Apache Kafka leaves that to the
// kernel, which would do it in another's time.
func (b *bench) onTopic(ctx context.Context, s *kafkaServer, partitions int, run func(topic string) error) error {
	b.topics++
	topic := fmt.Sprintf("t%d", b.topics)
	if err := s.create(ctx, topic, partitions); err != nil {
		return err
	}
	unix.Sync()
	if err := run(topic); err != nil {
		return err
	}
	return s.remove(ctx, topic)
}

// throughput fills a topic and reads it.
func (b *bench) throughput(ctx context.Context, phase string, s *kafkaServer, c cell) error {
	return b.onTopic(ctx, s, c.partitions, func(topic string) error {
		// What is kept on all nodes together is bounded, for the disk's sake.
		most := kafkaBytes / int64(c.size*len(s.nodes))
		for _, action := range []string{"produce", "consume"} {
			cpu := s.cpu()
			plan := kafkaPlan{
				topic: topic, action: action, size: c.size, warmup: b.warmup, duration: b.length, count: most,
			}
			r, err := b.generate(ctx, s, plan)
			if err != nil {
				return err
			}
			most = r.Total
			row := kafkaRow{phase: phase, what: c.String() + ": " + action, unit: "records/s"}
			if action == "produce" {
				row.goals = [2]float64{1, 3}
			}
			b.measured(row, s, r.rate())
			row = kafkaRow{phase: phase, what: "… server's CPU per GB", unit: "s", less: true, of: row.what}
			b.measured(row, s, (s.cpu()-cpu)/(float64(r.Total)*float64(c.size)/1e9))
		}
		return nil
	})
}

// kafkaLatency sends and consumes at a fixed rate.
func (b *bench) kafkaLatency(ctx context.Context, phase string, s *kafkaServer, c cell) error {
	return b.onTopic(ctx, s, c.partitions, func(topic string) error {
		plan := kafkaPlan{
			topic: topic, action: "latency", size: c.size, rate: kafkaRate, warmup: b.warmup, duration: b.length,
		}
		r, err := b.generate(ctx, s, plan)
		if err != nil {
			return err
		}
		first := fmt.Sprintf("%s, %d/s: acknowledged, p50", c, kafkaRate)
		for _, m := range []struct {
			what  string
			value int64
		}{{first, r.P50}, {"… p99", r.P99}, {"… consumed, p50", r.Late50}, {"… consumed, p99", r.Late99}} {
			b.measured(kafkaRow{phase: phase, what: m.what, of: first, unit: "ms", scale: 1e-6, less: true}, s, float64(m.value))
		}
		return nil
	})
}

// steadyState is what kafka-producer-perf-test says of the records after its
// warm-up.
var steadyState = regexp.MustCompile(`(?m)^\d+ steady state records sent, ([0-9.]+) records/sec`)

// producerPerf runs kafka-producer-perf-test with its defaults, which are the
// Java client's, and acks=all.
func (b *bench) producerPerf(ctx context.Context, phase string, s *kafkaServer) error {
	count := 1_000_000
	if b.short {
		count = 300_000
	}
	return b.onTopic(ctx, s, 1, func(topic string) error {
		args := b.kafkaClass([]string{"-Xmx256m"}, "org.apache.kafka.tools.ProducerPerformance", "--topic", topic,
			"--num-records", strconv.Itoa(count), "--warmup-records", strconv.Itoa(count/3),
			"--record-size", strconv.Itoa(smallValue), "--throughput", "-1", "--bootstrap-server", s.seeds[0],
			"--command-property", "acks=all")
		text, err := exec.CommandContext(ctx, b.java, args...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s%s", err, text, s.logs())
		}
		found := steadyState.FindSubmatch(text)
		if found == nil {
			return fmt.Errorf("no steady state in %s", text)
		}
		rate, err := strconv.ParseFloat(string(found[1]), 64)
		row := kafkaRow{phase: phase, what: "kafka-producer-perf-test, 100 B, 1 partition", unit: "records/s"}
		b.measured(row, s, rate)
		return err
	})
}
