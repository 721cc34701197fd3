package coordinator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/group"
	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/server/replica"
)

// Topic is the internal topic of groups and their offsets.
const Topic = "__consumer_offsets"

// The conditions of this package.
var (
	// ErrNotCoordinator: another node coordinates the group; look for it
	// anew. NOT_COORDINATOR.
	ErrNotCoordinator = errors.New("not the coordinator of the group")
	// ErrLoading: this node has become the coordinator and still reads the
	// group's log. Retryable. COORDINATOR_LOAD_IN_PROGRESS.
	ErrLoading = errors.New("the coordinator is loading")
	// ErrUnavailable: there is no coordinator now. Retryable.
	// COORDINATOR_NOT_AVAILABLE.
	ErrUnavailable = errors.New("the coordinator is not available")
)

// Topics is what the coordinator asks of the cluster; *server.Broker is one.
type Topics interface {
	EnsureInternalTopic(ctx context.Context, spec server.TopicSpec) (server.Topic, error)
	Topic(name string) (server.Topic, error)
	PartitionState(topic string, p int32) (server.PartitionInfo, error)
	TopicByID(id server.TopicID) (server.Topic, error)
	Topics(prefix, after string, limit int) (list []server.Topic, more bool)
	// TopicsVersion changes whenever a topic does.
	TopicsVersion() uint64
}

// Logs are the logs that this node leads; *server.LedLogs are.
type Logs interface {
	BeginBatch(ctx context.Context, topic string, p int32, r partition.BatchAppend) (*replica.Pending, error)
	Read(ctx context.Context, req server.ReadRequest) (server.ReadResult, error)
	Offsets(topic string, p int32) (partition.Offsets, error)
	Subscribe(topic string, p int32, ch chan<- struct{}) (cancel func(), err error)
}

// Options make a Coordinator. Topics, Logs, Node and Now are required.
type Options struct {
	Topics Topics
	Logs   Logs
	Node   server.NodeID
	Now    func() time.Time
	Logger *slog.Logger // nil: discards
	Group  group.Config
	// Partitions is how many the topic gets when it is created. Default 50.
	Partitions int32
	// MaxGroups bounds the groups of one partition. Default 100,000.
	MaxGroups int
	// OffsetRetention is how long the offsets of a group without members are
	// kept. Default 7 days.
	OffsetRetention time.Duration
	// LoadWait is how long a request waits for a shard that loads, and
	// WriteWait for a write. Defaults 5 s, 15 s.
	LoadWait, WriteWait time.Duration
}

func (o *Options) setDefaults() {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Partitions <= 0 {
		o.Partitions = 50
	}
	if o.MaxGroups <= 0 {
		o.MaxGroups = 100_000
	}
	if o.OffsetRetention <= 0 {
		o.OffsetRetention = 7 * 24 * time.Hour
	}
	if o.LoadWait <= 0 {
		o.LoadWait = 5 * time.Second
	}
	if o.WriteWait <= 0 {
		o.WriteWait = 15 * time.Second
	}
}

// Coordinator is one node's coordinator of consumer groups. Its methods may be
// called concurrently. Errors are those of this package and of package group,
// and of the broker where the log refuses a write.
type Coordinator struct {
	o      Options
	ctx    context.Context //nolint:containedctx // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex
	shards map[int32]*shard
	ticks  bool // the ticker runs
	closed bool
}

// tickEvery is how late a deadline of a group may be noticed.
const tickEvery = 100 * time.Millisecond

// New makes a coordinator that has loaded nothing.
func New(o Options) *Coordinator {
	o.setDefaults()
	c := &Coordinator{o: o, shards: map[int32]*shard{}}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// Close drops every shard and waits for what runs. What was acknowledged is in
// the log.
func (c *Coordinator) Close() {
	c.mu.Lock()
	c.closed = true
	for _, s := range c.shards {
		s.drop()
		s.settle()
	}
	clear(c.shards)
	c.mu.Unlock()
	c.cancel()
	c.wg.Wait()
}

func (c *Coordinator) now() int64 { return c.o.Now().UnixMilli() }

// PartitionOf is the partition of Topic, which has n, that a group belongs to:
// Java's hash of the name, as in Kafka, so that tools agree.
func PartitionOf(group string, n int32) int32 {
	var h int32
	for _, r := range group {
		if r > 0xffff { // two UTF-16 units
			r -= 0x10000
			h = 31*h + (0xd800 + r>>10)
			h = 31*h + (0xdc00 + r&0x3ff)
			continue
		}
		h = 31*h + r
	}
	return (h & 0x7fffffff) % n
}

// Find tells which node coordinates a group. It creates the topic if need be.
func (c *Coordinator) Find(ctx context.Context, id string) (server.NodeID, error) {
	t, err := c.o.Topics.EnsureInternalTopic(ctx, server.TopicSpec{
		Name: Topic, Partitions: c.o.Partitions, Configs: map[string]string{
			"cleanup.policy": "compact", "max.message.bytes": "16777216", "segment.bytes": "104857600",
		},
	})
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	info, err := c.o.Topics.PartitionState(Topic, PartitionOf(id, t.Partitions))
	if err != nil || info.Leader == 0 {
		return 0, fmt.Errorf("%w: group %q: no leader", ErrUnavailable, id)
	}
	return info.Leader, nil
}

// shardOf finds the shard of a group, opens it if this node is to, and waits
// for it to have loaded.
func (c *Coordinator) shardOf(ctx context.Context, id string) (*shard, error) {
	if id == "" {
		return nil, group.ErrInvalidGroup
	}
	t, err := c.o.Topics.Topic(Topic)
	if err != nil {
		return nil, fmt.Errorf("%w: look for it first", ErrNotCoordinator)
	}
	return c.shard(ctx, PartitionOf(id, t.Partitions))
}

func (c *Coordinator) shard(ctx context.Context, p int32) (*shard, error) {
	info, err := c.o.Topics.PartitionState(Topic, p)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	s, err := c.current(p, &info)
	if err != nil {
		return nil, err
	}
	wait := time.NewTimer(c.o.LoadWait)
	defer wait.Stop()
	select {
	case <-s.loaded:
		if s.failed != nil {
			return nil, s.failed
		}
		return s, nil
	case <-s.gone:
		return nil, ErrNotCoordinator
	case <-wait.C:
		return nil, ErrLoading
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrLoading, context.Cause(ctx))
	}
}

// current is the shard of a partition in its present epoch; older ones are
// dropped.
func (c *Coordinator) current(p int32, info *server.PartitionInfo) (*shard, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, ErrUnavailable
	}
	s := c.shards[p]
	if s != nil && (info.Leader != c.o.Node || info.LeaderEpoch != s.epoch || s.isGone()) {
		s.drop()
		delete(c.shards, p)
		s = nil
	}
	if info.Leader != c.o.Node {
		return nil, fmt.Errorf("%w: node %d is", ErrNotCoordinator, info.Leader)
	}
	if s == nil {
		if !c.ticks {
			c.ticks = true
			c.wg.Go(c.ticker)
		}
		s = newShard(c, p, info.LeaderEpoch)
		c.shards[p] = s
		c.wg.Go(s.load)
	}
	return s, nil
}

// ticker lets time pass for the groups as long as there is a shard, and drops
// shards that moved away.
func (c *Coordinator) ticker() {
	t := time.NewTicker(tickEvery)
	defer t.Stop()
	old := time.NewTicker(expireEvery)
	defer old.Stop()
	for {
		select {
		case <-t.C:
		case <-old.C:
			c.wg.Go(c.Expire)
		case <-c.ctx.Done():
			return
		}
		c.mu.Lock()
		var list []*shard
		for p, s := range c.shards {
			info, err := c.o.Topics.PartitionState(Topic, p)
			if err != nil || info.Leader != c.o.Node || info.LeaderEpoch != s.epoch || s.isGone() {
				s.drop()
				delete(c.shards, p)
				continue
			}
			list = append(list, s)
		}
		c.ticks = len(list) > 0
		idle := !c.ticks
		c.mu.Unlock()
		if idle {
			return // the next shard starts it again
		}
		for _, s := range list {
			s.tick()
		}
	}
}
