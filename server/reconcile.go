package server

import (
	"maps"
	"sync"
	"sync/atomic"

	"github.com/chroniklog/chronik/raft/meta"
)

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
	b.addresses.applied(events)
	b.pids.applied(events)
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
	topics, partitions := b.counts()
	b.o.Logger.Info("initializing partition metadata", "topics", topics, "partitions", partitions)
	b.reconcile(c)
}

// reconcile reads the changed topics from the image and serves them from then
// on. What the image shows may be newer than the changes, never older; a
// partition's epoch tells which state is.
func (b *Broker) reconcile(c changes) {
	if c.all {
		b.touchAll(&c)
	}
	b.touchResized(&c)
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
			if !c.all && b.dir.id(id) == nil {
				b.o.Logger.Info("initializing partition metadata", "topic", t.Name, "partitions", len(t.Partitions))
			}
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

// touchResized adds the topics that have more or fewer replicas than before:
// min.insync.replicas may follow.
func (b *Broker) touchResized(c *changes) {
	for i := range c.partitions {
		p := &c.partitions[i]
		e := b.dir.id(p.TopicID)
		if e != nil && p.Partition == 0 && int(e.topic.ReplicationFactor) != len(p.New.Assigned()) {
			c.topics[p.TopicID] = struct{}{}
		}
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
	if s.Leader == b.o.Node && was.Leader != s.Leader {
		b.countElection(was.Leader == 0 || b.fenced(was.Leader))
	}
	fresh := *s // of its own, so that one change doesn't keep a whole topic's clone
	b.update(p, &fresh)
	if b.holds(was) || b.holds(s) {
		b.roles.add(e, p)
	}
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
			if b.holds(s) {
				b.roles.add(e, p)
			}
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

// logLeadership tells operators of a failover: on the controller, which
// decided it, and on the replicas, whose leader is another one now.
func (b *Broker) logLeadership(topic string, p int32, was, is *meta.Partition) {
	if was.Leader == is.Leader || !b.assigned(is) && b.meta.Status().Leader != b.o.Node {
		return
	}
	if was.Leader != 0 && b.fenced(was.Leader) {
		b.o.Logger.Warn("leader timeout", "topic", topic, "partition", p, "leader", was.Leader)
	}
	if is.Leader != 0 {
		b.o.Logger.Info("elected new leader", "topic", topic, "partition", p,
			"leader", is.Leader, "epoch", is.LeaderEpoch, "isr", is.ISR)
	}
}

// fenced tells whether the cluster takes a node for dead.
func (b *Broker) fenced(id NodeID) (fenced bool) {
	b.meta.View(func(img *meta.Image) {
		n, ok := img.Broker(id)
		fenced = !ok || n.Fenced
	})
	return fenced
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
