package chaos

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	kafkaProducers = 2
	kafkaMembers   = 2
	kafkaPause     = 2 * time.Millisecond // between two records of a producer
	// SessionTimeout is the group's: within it of the cluster's recovery, and
	// a rebalance that may be due, records must flow again.
	SessionTimeout = 6 * time.Second
)

// Kafka is clients of the other protocol: idempotent producers, which never
// give a record up, and the members of one classic group, which commit what
// they have read.
type Kafka struct {
	load    *Load // its topic and history; its own clients do not run
	seeds   []string
	metrics groupProgress
}

// groupProgress is how far the group has come.
type groupProgress struct {
	mu        sync.Mutex
	committed []int64 // acknowledged commits
	delivered []int64 // by any member
	last      []time.Time
	repeated  int // records that were delivered again, not being committed
}

// NewKafka makes clients of a topic that find the nodes at seeds.
func NewKafka(topic string, partitions int32, seeds ...string) *Kafka {
	k := &Kafka{load: NewLoad(topic, partitions, 0), seeds: seeds}
	k.metrics.committed = make([]int64, partitions)
	k.metrics.delivered = make([]int64, partitions)
	k.metrics.last = make([]time.Time, partitions)
	return k
}

// client has the patience of a test: what a node that stands still does not
// answer is asked elsewhere after two seconds.
func (k *Kafka) client(opts ...kgo.Opt) *kgo.Client {
	c, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(k.seeds...), kgo.RequestTimeoutOverhead(2 * time.Second), kgo.DialTimeout(2 * time.Second),
		kgo.MetadataMinAge(100 * time.Millisecond), kgo.ConnIdleTimeout(time.Minute), kgo.DisableClientMetrics(),
		kgo.RetryBackoffFn(func(int) time.Duration { return 50 * time.Millisecond }),
	}, opts...)...)
	if err != nil {
		panic(err) // options of our own making
	}
	return c
}

// Produce drives the producers until ctx ends; then every record that was
// begun must still be acknowledged within patience.
func (k *Kafka) Produce(ctx context.Context, patience time.Duration) {
	var wg sync.WaitGroup
	for w := range kafkaProducers {
		c := k.client(kgo.DefaultProduceTopic(k.load.Topic), kgo.RecordPartitioner(kgo.ManualPartitioner()),
			kgo.MaxBufferedRecords(500), kgo.ProducerLinger(0))
		wg.Go(func() {
			defer c.Close()
			k.produce(ctx, c, w)
			flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
			defer cancel()
			if err := c.Flush(flush); err != nil {
				k.load.History.fault("kafka producer %d: %d records are not acknowledged: %v", w, c.BufferedProduceRecords(), err)
			}
		})
	}
	wg.Wait()
}

func (k *Kafka) produce(ctx context.Context, c *kgo.Client, w int) {
	tick := time.NewTicker(kafkaPause)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		value := fmt.Sprintf("k%d-%d", w, n)
		k.load.History.sent(value)
		r := &kgo.Record{Partition: int32(n) % k.load.Partitions, Value: []byte(value)}
		c.Produce(context.WithoutCancel(ctx), r, func(r *kgo.Record, err error) {
			if err != nil {
				k.load.History.fault("kafka producer %d: %s: %v", w, r.Value, err)
				return
			}
			k.load.History.acked(string(r.Value), Place{r.Partition, r.Offset}, false, false)
		})
	}
}

// Consume drives the members of the group until ctx ends.
func (k *Kafka) Consume(ctx context.Context) {
	var wg sync.WaitGroup
	for n := range kafkaMembers {
		m := &member{Kafka: k, name: fmt.Sprintf("member %d", n), next: map[int32]int64{}, atLeast: map[int32]int64{}}
		c := k.client(kgo.ConsumerGroup("chaos"), kgo.ConsumeTopics(k.load.Topic),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
			kgo.SessionTimeout(SessionTimeout), kgo.RebalanceTimeout(SessionTimeout/2),
			kgo.HeartbeatInterval(500*time.Millisecond), kgo.FetchMaxWait(500*time.Millisecond),
			kgo.OnPartitionsAssigned(m.assigned))
		wg.Go(func() {
			defer c.Close()
			m.run(ctx, c)
		})
	}
	wg.Wait()
}

// member is one of the group.
type member struct {
	*Kafka
	name string

	mu      sync.Mutex
	next    map[int32]int64 // what must come next; none: just assigned
	atLeast map[int32]int64 // just assigned: what was committed before
}

// assigned is called before the offsets to begin at are fetched.
func (m *member) assigned(_ context.Context, _ *kgo.Client, got map[string][]int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.metrics.mu.Lock()
	defer m.metrics.mu.Unlock()
	for _, p := range got[m.load.Topic] {
		delete(m.next, p)
		m.atLeast[p] = m.metrics.committed[p]
	}
}

func (m *member) run(ctx context.Context, c *kgo.Client) {
	for ctx.Err() == nil {
		fetches := c.PollFetches(ctx)
		ends := map[int32]int64{}
		fetches.EachRecord(func(r *kgo.Record) {
			m.take(r)
			ends[r.Partition] = r.Offset + 1
		})
		fetches.EachError(func(_ string, p int32, err error) {
			if ctx.Err() == nil && strings.Contains(err.Error(), "OFFSET_OUT_OF_RANGE") {
				m.load.History.fault("kafka %s: partition %d: %v", m.name, p, err)
			}
		})
		if len(ends) > 0 {
			commit, cancel := context.WithTimeout(ctx, SessionTimeout)
			if c.CommitUncommittedOffsets(commit) == nil { // else it is read again, by whoever gets it
				m.metrics.commit(ends)
			}
			cancel()
		}
		c.AllowRebalance()
	}
}

// take checks a record's place: after an assignment nothing that was committed
// comes again, and from then on every offset comes once.
func (m *member) take(r *kgo.Record) {
	m.mu.Lock()
	next, begun := m.next[r.Partition]
	least := m.atLeast[r.Partition]
	m.next[r.Partition] = r.Offset + 1
	m.mu.Unlock()
	switch {
	case begun && r.Offset != next:
		m.load.History.fault("kafka %s: partition %d: offset %d came, %d was next", m.name, r.Partition, r.Offset, next)
	case !begun && r.Offset < least:
		m.load.History.fault("kafka %s: partition %d begins at %d, up to %d was committed",
			m.name, r.Partition, r.Offset, least)
	}
	m.load.History.saw(Place{r.Partition, r.Offset}, string(r.Value))
	m.metrics.deliver(r)
}

func (g *groupProgress) commit(ends map[int32]int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for p, end := range ends {
		g.committed[p] = max(g.committed[p], end)
	}
}

func (g *groupProgress) deliver(r *kgo.Record) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r.Offset < g.delivered[r.Partition] {
		g.repeated++
		return
	}
	g.delivered[r.Partition], g.last[r.Partition] = r.Offset+1, time.Now()
}

// Flows is nil when every partition's records were read since a time.
func (k *Kafka) Flows(since time.Time) error {
	k.metrics.mu.Lock()
	defer k.metrics.mu.Unlock()
	for p, last := range k.metrics.last {
		if last.Before(since) {
			return fmt.Errorf("kafka group: nothing of partition %d was read for %v", p, time.Since(last))
		}
	}
	return nil
}

// Reached is nil when the group has read everything below ends. No offset was
// left out, or Check finds that nobody saw it.
func (k *Kafka) Reached(ends []int64) error {
	k.metrics.mu.Lock()
	defer k.metrics.mu.Unlock()
	for p, end := range ends {
		if k.metrics.delivered[p] != end {
			return fmt.Errorf("kafka group has read up to %v of %v", k.metrics.delivered, ends)
		}
	}
	return nil
}

// Repeated counts records that came again after they had been read and before
// that was committed.
func (k *Kafka) Repeated() int {
	k.metrics.mu.Lock()
	defer k.metrics.mu.Unlock()
	return k.metrics.repeated
}
