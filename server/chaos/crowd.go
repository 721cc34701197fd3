package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// Crowd is all clients of a cluster under nemeses, each kind on a topic of its
// own: writers and readers (t), those whose calls are judged as a history
// (ops), Kafka's (k); and readers of the whole of t.
type Crowd struct {
	Load   *Load
	Linear *Linear
	Kafka  *Kafka
	Tails  []*Tail

	stopWriters, stopReaders context.CancelFunc
	writers, readers         sync.WaitGroup
}

// crowdTopics are the topics, three partitions each.
func crowdTopics() []string { return []string{"t", "ops", "k"} }

const crowdPartitions = 3

// NewCrowd makes clients of c's nodes, on topics that exist.
func NewCrowd(c *Cluster, seed uint64) *Crowd {
	x := &Crowd{
		Load: NewLoad("t", crowdPartitions, 12), Linear: NewLinear("ops", crowdPartitions, seed),
		Kafka: NewKafka("k", crowdPartitions, c.kafkaAddrs()...),
	}
	x.Load.Target(c.URLs()...)
	x.Linear.Target(c.URLs()...)
	x.Kafka.load.Target(c.URLs()...)
	x.Tails = []*Tail{NewTail("pages", x.Load), NewTail("events", x.Load)}
	return x
}

// Start sets everybody going.
func (x *Crowd) Start(ctx context.Context, seed uint64) {
	writing, stop := context.WithCancel(ctx)
	x.stopWriters = stop
	x.writers.Go(func() { x.Load.Run(writing) })
	x.writers.Go(func() { x.Linear.Run(writing) })
	x.writers.Go(func() { x.Kafka.Produce(writing, patience) })
	reading, stop := context.WithCancel(ctx)
	x.stopReaders = stop
	x.readers.Go(func() { x.Tails[0].Pages(reading) })
	x.readers.Go(func() { x.Tails[1].Events(reading, rand.New(rand.NewPCG(seed, 1)).IntN(1<<20)) })
	x.readers.Go(func() { x.Kafka.Consume(reading) })
}

// Quiet ends those who write. Those who read whole topics go on, to the end of
// what was written.
func (x *Crowd) Quiet() {
	x.stopWriters()
	x.writers.Wait()
}

// Stop ends everybody.
func (x *Crowd) Stop() {
	x.Quiet()
	x.stopReaders()
	x.readers.Wait()
	x.Load.client.CloseIdleConnections()
	x.Kafka.load.client.CloseIdleConnections()
}

// Resumed is how long after a time, at which the cluster was whole, Kafka's
// group read records of every partition again.
func (x *Crowd) Resumed(ctx context.Context, whole time.Time) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*SessionTimeout)
	defer cancel()
	err := Await(ctx, func() error { return x.Kafka.Flows(whole) })
	return time.Since(whole), err
}

// Check settles the cluster, waits until every reader has seen everything, and
// returns how the clients' answers and the logs break the promises; pictures
// go to dir. Nobody writes any more.
func (x *Crowd) Check(ctx context.Context, c *Cluster, dir string) (report string, faults []string) {
	for _, l := range []*Load{x.Load, x.Kafka.load} {
		if err := Settle(ctx, c, l); err != nil {
			return "", []string{err.Error()}
		}
	}
	url := c.URLs()[0]
	for _, reader := range []struct {
		topic   string
		reached func(ends []int64) error
	}{
		{x.Load.Topic, x.Tails[0].Reached}, {x.Load.Topic, x.Tails[1].Reached}, {x.Kafka.load.Topic, x.Kafka.Reached},
	} {
		ends, err := c.ends(ctx, reader.topic)
		if err == nil {
			err = Await(ctx, func() error { return reader.reached(ends) })
		}
		if err != nil {
			faults = append(faults, err.Error())
		}
	}
	x.Stop()
	for _, l := range []*Load{x.Load, x.Kafka.load} {
		records, broken := Check(l, url)
		sent, acked := l.History.Counts()
		report += fmt.Sprintf("%s: %d sent, %d acknowledged, %d in the log, %d said not to be applied, "+
			"%d duplicates answered, %d read meanwhile\n",
			l.Topic, sent, acked, records, len(l.History.Refused), l.History.Duplicates, len(l.History.Seen))
		faults = append(faults, broken...)
	}
	calls, broken := x.Linear.Check(ctx, url, dir)
	faults = append(faults, broken...)
	report += fmt.Sprintf("%d calls judged; the topic's pages took %d requests, its events %d; "+
		"the group read %d records again", calls, x.Tails[0].Streams, x.Tails[1].Streams, x.Kafka.Repeated())
	return report, faults
}

// ends are a topic's high watermarks.
func (c *Cluster) ends(ctx context.Context, topic string) (ends []int64, err error) {
	parts, err := c.Partitions(ctx, c.Members[0], topic)
	for _, p := range parts {
		ends = append(ends, p.HighWatermark)
	}
	return ends, err
}

// Settle appends a last record to every partition. Its acknowledgement tells
// that all replicas, which are in sync, have synced all before it.
func Settle(ctx context.Context, c *Cluster, l *Load) error {
	for p := range l.Partitions {
		value := fmt.Sprintf("last of %d", p)
		l.History.sent(value)
		err := Await(ctx, func() error {
			if !l.record(c.URLs()[0], value, p, value).acked {
				return fmt.Errorf("%s/%d takes no record", l.Topic, p)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	l.client.CloseIdleConnections()
	return c.Healthy(ctx, l.Topic)
}
