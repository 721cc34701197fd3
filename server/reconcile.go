package server

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/chroniklog/chronik/raft/meta"
	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/server/topicconfig"
	"github.com/chroniklog/chronik/storage/plog"
	"github.com/chroniklog/chronik/storage/record"
)

// closeParallel is how many replicas are closed, or logs deleted, at once:
// enough that they share commit cycles.
const closeParallel = 64

// touched collects what the metadata log changed until the reconciler takes
// it. It never blocks the raft loop.
type touched struct {
	mu sync.Mutex
	changes
	wake chan struct{}
}

// changes are topics to read anew, partitions with their new state in the
// order of the log, and the index up to which that is complete.
type changes struct {
	all        bool // the image was replaced: look at every topic
	topics     map[TopicID]struct{}
	partitions []meta.PartitionChanged
	index      uint64
}

func newTouched() touched {
	return touched{changes: changes{topics: map[TopicID]struct{}{}}, wake: make(chan struct{}, 1)}
}

// Applied is told by the metadata log, in order, what each entry changed.
func (b *Broker) Applied(index uint64, events []meta.Event) {
	t := &b.touched
	t.mu.Lock()
	for _, event := range events {
		switch e := event.(type) {
		case meta.TopicCreated:
			t.topics[e.ID] = struct{}{}
		case meta.TopicDeleted:
			t.topics[e.ID] = struct{}{}
		case meta.PartitionsAdded:
			t.topics[e.ID] = struct{}{}
		case meta.ConfigChanged:
			if e.TopicID != (TopicID{}) {
				t.topics[e.TopicID] = struct{}{}
			}
		case meta.PartitionChanged:
			t.partitions = append(t.partitions, e)
		case meta.ImageReplaced:
			t.all, t.partitions = true, nil
		}
	}
	t.index = max(t.index, index)
	t.mu.Unlock()
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

func (t *touched) take() changes {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.changes
	t.changes = changes{topics: map[TopicID]struct{}{}, index: c.index}
	return c
}

// reconciler brings the directory up to date with the image until Close.
func (b *Broker) reconciler() {
	for {
		select {
		case <-b.touched.wake:
			b.reconcile(b.touched.take())
		case <-b.ctx.Done():
			return
		}
	}
}

// reconcileAll reads the whole image.
func (b *Broker) reconcileAll() {
	c := b.touched.take() // the image is at least there
	c.all = true
	b.reconcile(c)
}

// reconcile reads the changed topics from the image and serves them from then
// on. What the image shows may be newer than the changes, never older; a
// partition's epoch tells which state is.
func (b *Broker) reconcile(c changes) {
	if c.all {
		b.touchAll(&c)
	}
	var set []*entry
	var gone []TopicID
	for id := range c.topics {
		var t meta.Topic
		found := false
		b.meta.View(func(img *meta.Image) {
			if p, ok := img.TopicByID(id); ok {
				t, found = p.Clone(), true
			}
		})
		if found {
			set = append(set, b.serve(&t))
		} else {
			gone = append(gone, id)
		}
	}
	if len(set)+len(gone) > 0 {
		for _, e := range b.dir.apply(set, gone) {
			b.reap.add(e)
		}
	}
	b.followPartitions(c.partitions)
	b.dir.reached(c.index)
}

// touchAll adds every topic that the image has, or the directory still shows.
func (b *Broker) touchAll(c *changes) {
	b.meta.View(func(img *meta.Image) {
		list, _ := img.Topics("", "", 0)
		for _, t := range list {
			c.topics[t.ID] = struct{}{}
		}
	})
	for _, e := range b.dir.all() {
		c.topics[e.topic.ID] = struct{}{}
	}
}

// followPartitions gives partitions their new states, and topics their new
// lists of what is led here.
func (b *Broker) followPartitions(list []meta.PartitionChanged) {
	moved := map[TopicID]*entry{}
	for i := range list {
		c := &list[i]
		e := b.dir.id(c.TopicID)
		if e == nil || int(c.Partition) >= len(e.parts) {
			continue // deleted since
		}
		if b.renew(e, e.parts[c.Partition], &c.New) {
			moved[c.TopicID] = e
		}
	}
	set := make([]*entry, 0, len(moved))
	for _, e := range moved {
		next := *e
		next.led = b.ledOf(e.parts)
		set = append(set, &next)
	}
	if len(set) > 0 {
		b.dir.apply(set, nil)
	}
}

// renew gives a partition a newer state and tells whether this node began or
// ceased to lead it.
func (b *Broker) renew(e *entry, p *part, s *meta.Partition) (moved bool) {
	was := p.state.Load()
	if s.PartitionEpoch <= was.PartitionEpoch {
		return false
	}
	b.logLeadership(e.topic.Name, p.number, was, s)
	fresh := *s // of its own, so that one change doesn't keep a whole topic's clone
	b.update(p, &fresh)
	return (was.Leader == b.o.Node) != (s.Leader == b.o.Node)
}

// ledOf lists the partitions that this node leads.
func (b *Broker) ledOf(parts []*part) (led []int32) {
	for _, p := range parts {
		if p.state.Load().Leader == b.o.Node {
			led = append(led, p.number)
		}
	}
	return led
}

// serve makes the directory's entry of a topic, tells its open replicas what
// is new, and keeps the parts that exist.
func (b *Broker) serve(t *meta.Topic) *entry {
	old := b.dir.id(t.ID)
	e := b.newEntry(t)
	reconfigured := false
	if old != nil {
		copy(e.parts, old.parts)
		e.sticky = old.sticky
		reconfigured = !maps.Equal(old.topic.Configs, t.Configs) || old.values != e.values
	} else {
		e.sticky = new(atomic.Uint32)
	}
	for i := range t.Partitions {
		s := &t.Partitions[i] // the clone is ours
		p := e.parts[i]
		if p == nil {
			p = &part{number: int32(i)}
			p.state.Store(s)
			e.parts[i] = p
			continue
		}
		b.renew(e, p, s)
		if reconfigured {
			b.reconfigure(e, p)
		}
	}
	e.led = b.ledOf(e.parts)
	return e
}

func (b *Broker) newEntry(t *meta.Topic) *entry {
	rf := int32(t.ReplicationFactor())
	values, err := topicconfig.Parse(t.Configs, rf)
	if err != nil { // stored by a newer release: what can't be read has its default
		b.o.Logger.Warn("topic config can't be read", "topic", t.Name, "error", err)
	}
	if _, set := t.Configs["min.insync.replicas"]; !set && b.o.MinInsync > 0 {
		values.MinInsyncReplicas = b.minInsync(rf)
	}
	return &entry{
		topic: Topic{
			ID: t.ID, Name: t.Name, Partitions: int32(len(t.Partitions)), ReplicationFactor: int16(rf),
			Configs: t.Configs, Internal: t.Internal, CreatedAt: time.UnixMilli(t.CreatedMs).UTC(),
		},
		values: values,
		limits: TopicLimits{
			MaxMessageBytes: min(values.MaxMessageBytes, b.store.MaxBatchBytes()), MaxDecompressed: b.o.MaxDecompressed,
			MaxBatchRecords: b.o.MaxBatchRecords, Compacted: values.Compact, LogAppendTime: values.LogAppendTime,
		},
		parts: make([]*part, len(t.Partitions)),
	}
}

// logLeadership tells operators of a failover.
func (b *Broker) logLeadership(topic string, p int32, was, is *meta.Partition) {
	if was.Leader == is.Leader || is.Leader == 0 {
		return
	}
	b.o.Logger.Info("elected new leader", "topic", topic, "partition", p,
		"leader", is.Leader, "epoch", is.LeaderEpoch, "isr", is.ISR)
}

// reconfigure gives new configs to a partition's replica and log, as far as
// they exist.
func (b *Broker) reconfigure(e *entry, p *part) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r := p.replica.Load(); r != nil {
		r.SetConfig(partitionConfig(&e.values))
	}
	if log, ok := b.store.Log(logID(e.topic.ID, p.number)); ok {
		log.SetConfig(logConfig(&e.values))
	}
}

// adoptLogs gives every log on disk the configs of its topic, so that
// retention goes on without anybody using it, and removes the logs of topics
// that were deleted while this node was away. The image has caught up: a topic
// that it does not know is gone.
func (b *Broker) adoptLogs(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(closeParallel)
	for _, id := range b.store.IDs() {
		e := b.dir.id(id.Topic)
		if e == nil || int(id.Partition) >= len(e.parts) {
			g.Go(func() error {
				b.o.Logger.Info("removing the log of a deleted topic", "topic_id", fmt.Sprintf("%x", id.Topic),
					"partition", id.Partition)
				return b.store.Delete(ctx, id)
			})
			continue
		}
		state := e.parts[id.Partition].state.Load()
		if _, err := b.store.Create(id, logConfig(&e.values), state.Incarnation); err != nil {
			return errors.Join(fmt.Errorf("adopt log of %s/%d: %w", e.topic.Name, id.Partition, err), g.Wait())
		}
	}
	return g.Wait()
}

// reapQueue holds deleted topics until their logs are removed.
type reapQueue struct {
	mu     sync.Mutex
	queued []*entry
	wake   chan struct{}
}

func newReapQueue() reapQueue { return reapQueue{wake: make(chan struct{}, 1)} }

func (q *reapQueue) add(e *entry) {
	q.mu.Lock()
	q.queued = append(q.queued, e)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *reapQueue) take() []*entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	queued := q.queued
	q.queued = nil
	return queued
}

// reaper removes the logs of deleted topics until Close; what it leaves is
// removed by the next start's adoptLogs.
func (b *Broker) reaper() {
	for {
		select {
		case <-b.reap.wake:
			for _, e := range b.reap.take() {
				if err := b.remove(e); err != nil && b.ctx.Err() == nil {
					b.o.Logger.Error("removing the logs of a deleted topic failed; the next start tries again",
						"topic", e.topic.Name, "error", err)
				}
			}
		case <-b.ctx.Done():
			return
		}
	}
}

// remove closes the replicas of a deleted topic and deletes their logs.
func (b *Broker) remove(e *entry) error {
	g, ctx := errgroup.WithContext(b.ctx)
	g.SetLimit(closeParallel)
	for _, p := range e.parts {
		g.Go(func() error {
			if err := closePart(ctx, p); err != nil {
				return err
			}
			id := logID(e.topic.ID, p.number)
			if _, ok := b.store.Log(id); !ok {
				return nil
			}
			return b.store.Delete(ctx, id)
		})
	}
	return g.Wait()
}

// closeReplicas closes every open replica.
func (b *Broker) closeReplicas(ctx context.Context) error {
	var g errgroup.Group
	g.SetLimit(closeParallel)
	for _, e := range b.dir.all() {
		for _, p := range e.parts {
			g.Go(func() error { return closePart(ctx, p) })
		}
	}
	return g.Wait()
}

// closePart closes a partition's replica, if it is open, for good.
func closePart(ctx context.Context, p *part) error {
	p.mu.Lock()
	p.gone = true
	r := p.replica.Load()
	p.mu.Unlock()
	if r == nil {
		return nil
	}
	return r.Close(ctx)
}

func logConfig(v *topicconfig.Values) plog.Config {
	return plog.Config{
		SegmentBytes: v.SegmentBytes, SegmentAge: v.SegmentAge, Delete: v.Delete, Retention: v.Retention,
		RetentionBytes: v.RetentionBytes, Compact: v.Compact, MinCompactionLag: v.MinCompactionLag,
		DeleteRetention: v.DeleteRetention, MinDirtyRatio: v.MinCleanableRatio,
	}
}

func partitionConfig(v *topicconfig.Values) partition.Config {
	codec, err := record.ParseCodec(v.Compression)
	if err != nil { // "producer" and "uncompressed": what is packed here stays plain
		codec = record.CodecNone
	}
	return partition.Config{
		MaxMessageBytes: v.MaxMessageBytes, LogAppendTime: v.LogAppendTime, Compression: codec,
		MinISR: int(v.MinInsyncReplicas), Compact: v.Compact,
	}
}
