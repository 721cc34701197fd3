package server

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/chroniklog/chronik/raft/meta"
	"github.com/chroniklog/chronik/server/topicconfig"
)

// maxListed bounds one page of Topics.
const maxListed = 10_000

// Topic finds a topic by name.
func (b *Broker) Topic(name string) (Topic, error) {
	e, err := b.dir.topic(name)
	if err != nil {
		return Topic{}, err
	}
	return e.topic, nil
}

// TopicByID finds a topic by its UUID.
func (b *Broker) TopicByID(id TopicID) (Topic, error) {
	if e := b.dir.id(id); e != nil {
		return e.topic, nil
	}
	return Topic{}, fmt.Errorf("%w: id %x", ErrUnknownTopic, id)
}

// TopicsVersion counts the changes of topics that this node has seen: while it
// stands still, Topic, TopicByID and Topics say the same.
func (b *Broker) TopicsVersion() uint64 {
	b.dir.mu.RLock()
	defer b.dir.mu.RUnlock()
	return b.dir.version
}

// Topics lists topics by name: at most limit whose names have the prefix and
// come after the given one. more tells that there are others.
func (b *Broker) Topics(prefix, after string, limit int) (list []Topic, more bool) {
	entries, more := b.dir.list(prefix, after, min(max(limit, 0), maxListed))
	list = make([]Topic, len(entries))
	for i, e := range entries {
		list[i] = e.topic
	}
	return list, more
}

// DescribeConfigs lists every config that a topic has, by name, with its
// effective value.
func (b *Broker) DescribeConfigs(t Topic) []ConfigEntry {
	entries := topicconfig.Describe(t.Configs, int32(t.ReplicationFactor))
	list := make([]ConfigEntry, len(entries))
	for i, e := range entries {
		list[i] = ConfigEntry{Name: e.Name, Value: e.Value, Default: e.Default, IsDefault: !e.Set}
		if e.Name == "min.insync.replicas" && b.o.MinInsync > 0 {
			list[i].Default = strconv.Itoa(int(b.minInsync(int32(t.ReplicationFactor))))
			if !e.Set {
				list[i].Value = list[i].Default
			}
		}
	}
	return list
}

// minInsync is the node's default of min.insync.replicas, which no topic with
// fewer replicas could ever meet.
func (b *Broker) minInsync(rf int32) int32 { return min(int32(b.o.MinInsync), max(rf, 1)) }

// TopicLimits tells what a topic accepts.
func (b *Broker) TopicLimits(t Topic) TopicLimits {
	if e := b.dir.id(t.ID); e != nil {
		return e.limits
	}
	return b.newEntry(&meta.Topic{Name: t.Name, Configs: t.Configs}).limits
}

// describeParallel bounds the questions to leaders at once; they travel
// together.
const describeParallel = 128

// Partitions describes every partition of a topic.
func (b *Broker) Partitions(ctx context.Context, topic string) ([]PartitionInfo, error) {
	e, err := b.dir.topic(topic)
	if err != nil {
		return nil, err
	}
	list := make([]PartitionInfo, len(e.parts))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(describeParallel)
	for i, p := range e.parts {
		g.Go(func() (err error) {
			list[i], err = b.describe(ctx, e, p)
			return err
		})
	}
	return list, g.Wait()
}

// Partition describes one partition.
func (b *Broker) Partition(ctx context.Context, topic string, p int32) (PartitionInfo, error) {
	e, part, err := b.dir.part(topic, p)
	if err != nil {
		return PartitionInfo{}, err
	}
	return b.describe(ctx, e, part)
}

// describe tells a partition's offsets where its leader can be asked. One that
// was never used is not opened for that: it is empty.
func (b *Broker) describe(ctx context.Context, e *entry, p *part) (PartitionInfo, error) {
	s := p.state.Load()
	info := PartitionInfo{
		Partition: p.number, Leader: s.Leader, LeaderEpoch: s.LeaderEpoch, PartitionEpoch: s.PartitionEpoch,
		Replicas: s.Replicas, ISR: s.ISR, Target: s.Target,
	}
	if s.Leader != b.o.Node {
		return b.describeThere(ctx, e, info), nil
	}
	log, used := b.store.Log(logID(e.topic.ID, p.number))
	if !used {
		info.Offsets.LeaderEpoch, info.OffsetsKnown = s.LeaderEpoch, true
		return info, nil
	}
	r, err := b.replicaOf(e, p)
	if err != nil {
		return info, err
	}
	info.Offsets, info.OffsetsKnown, info.Bytes = r.Offsets(), true, log.Size()
	return info, nil
}

// describeThere asks the node that leads; one that does not answer soon leaves
// the offsets unknown.
func (b *Broker) describeThere(ctx context.Context, e *entry, info PartitionInfo) PartitionInfo {
	if b.peers == nil || info.Leader == 0 {
		return info
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	o, err := b.peers.Leader(info.Leader).Offsets(ctx, logID(e.topic.ID, info.Partition))
	if err == nil {
		info.Offsets, info.OffsetsKnown = o, true
	}
	return info
}
