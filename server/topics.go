package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/chroniklog/chronik/raft/meta"
	"github.com/chroniklog/chronik/server/topicconfig"
)

// CreateTopic makes a topic and returns when it is visible on this node and
// every partition has a leader. With spec.ValidateOnly it only judges.
func (b *Broker) CreateTopic(ctx context.Context, spec TopicSpec) (Topic, error) {
	if err := checkClientName(spec.Name); err != nil {
		return Topic{}, err
	}
	t, err := b.createTopic(ctx, spec, false)
	if err != nil {
		return Topic{}, fmt.Errorf("create topic %q: %w", spec.Name, err)
	}
	return t, nil
}

// EnsureTopic is CreateTopic, except that a topic which has the name already
// is returned as it is, with created false.
func (b *Broker) EnsureTopic(ctx context.Context, spec TopicSpec) (t Topic, created bool, err error) {
	if e, err := b.dir.topic(spec.Name); err == nil {
		return e.topic, false, nil
	}
	t, err = b.CreateTopic(ctx, spec)
	if !errors.Is(err, ErrTopicExists) {
		return t, err == nil, err
	}
	// Somebody was faster, perhaps through another node: wait until it shows.
	if err := b.awaitLed(ctx, func() *entry { e, _ := b.dir.topic(spec.Name); return e }); err != nil {
		return Topic{}, false, fmt.Errorf("create topic %q: %w", spec.Name, err)
	}
	t, err = b.Topic(spec.Name)
	return t, false, err
}

func (b *Broker) createTopic(ctx context.Context, spec TopicSpec, internal bool) (Topic, error) {
	if _, err := b.dir.topic(spec.Name); err == nil {
		return Topic{}, ErrTopicExists
	}
	assignment, err := b.awaitBrokers(ctx, spec)
	if err != nil {
		return Topic{}, err
	}
	rf := int32(len(assignment[0]))
	if err := topicconfig.Check(spec.Configs, rf); err != nil {
		return Topic{}, err
	}
	cmd := &meta.CreateTopic{
		ID: newTopicID(), Name: spec.Name, Configs: maps.Clone(spec.Configs), Assignments: assignment,
		RFExplicit: spec.ReplicationFactor > 0 || len(spec.Assignment) > 0, Internal: internal,
	}
	if spec.ValidateOnly {
		return Topic{
			Name: spec.Name, Partitions: int32(len(assignment)), ReplicationFactor: int16(rf), Configs: cmd.Configs,
		}, nil
	}
	if err := b.roomForMetadata(); err != nil {
		return Topic{}, err
	}
	res, err := b.propose(ctx, cmd)
	if err != nil {
		return Topic{}, err
	}
	if err := b.awaitLed(ctx, func() *entry { return b.dir.id(cmd.ID) }); err != nil {
		return Topic{}, err
	}
	if err := b.awaitEverywhere(ctx, res.Index); err != nil {
		return Topic{}, err
	}
	return b.TopicByID(cmd.ID)
}

// brokersTime is how long a creation waits for members that start.
const brokersTime = 5 * time.Second

// awaitBrokers assigns partitions. While members of the cluster have not
// registered it waits for them, up to brokersTime.
func (b *Broker) awaitBrokers(ctx context.Context, spec TopicSpec) ([][]NodeID, error) {
	ctx, cancel := context.WithTimeout(ctx, brokersTime)
	defer cancel()
	for {
		assignment, err := b.assign(spec)
		if !errors.Is(err, ErrNotEnoughBrokers) || len(b.memberIDs()) <= len(b.registered()) ||
			!b.AwaitLeader(ctx) {
			return assignment, err
		}
	}
}

// memberIDs are the nodes of the metadata group, registered as brokers or not.
func (b *Broker) memberIDs() (ids []NodeID) {
	b.meta.View(func(img *meta.Image) {
		for _, m := range img.Members() {
			if !slices.Contains(ids, m.Node) {
				ids = append(ids, m.Node)
			}
		}
	})
	return ids
}

// assign decides how many partitions a topic gets and where they live.
func (b *Broker) assign(spec TopicSpec) ([][]NodeID, error) {
	n := spec.Partitions
	if n == 0 {
		n = b.o.Partitions
	}
	if len(spec.Assignment) > 0 {
		if spec.Partitions > 0 && int(spec.Partitions) != len(spec.Assignment) {
			return nil, fmt.Errorf("%w: %d partitions, but the assignment has %d",
				ErrInvalidPartitions, spec.Partitions, len(spec.Assignment))
		}
		n = int32(len(spec.Assignment))
	}
	if err := b.checkPartitions(0, n); err != nil {
		return nil, err
	}
	brokers := b.registered()
	if len(spec.Assignment) > 0 {
		return spec.Assignment, checkAssignment(spec.Assignment, brokers)
	}
	rf := int(spec.ReplicationFactor)
	if rf == 0 {
		rf = int(b.o.Replication)
	}
	if rf == 0 {
		rf = min(3, max(len(brokers), len(b.memberIDs())))
	}
	if rf < 0 || rf > meta.MaxReplicas {
		return nil, fmt.Errorf("%w: %d: want 1 to %d", ErrInvalidReplication, rf, meta.MaxReplicas)
	}
	return b.place(n, rf)
}

// place chooses replicas for n new partitions. Brokers that are registered but
// away count: one that restarts is not passed over.
func (b *Broker) place(n int32, rf int) (assignment [][]NodeID, err error) {
	b.meta.View(func(img *meta.Image) { assignment, err = meta.Assign(img, int(n), max(rf, 1)) })
	if errors.Is(err, meta.ErrNotEnoughBrokers) {
		err = fmt.Errorf("%w: %w", ErrNotEnoughBrokers, err)
	}
	return assignment, err
}

// placeMore chooses, or judges, the replicas of the partitions that a topic is
// to grow by.
func (b *Broker) placeMore(t Topic, g Growth) ([][]NodeID, error) {
	more := g.Total - t.Partitions
	switch {
	case g.Assignment == nil:
		return b.place(more, int(t.ReplicationFactor))
	case len(g.Assignment) != int(more):
		return nil, fmt.Errorf("%w: %d new partitions, but the assignment has %d",
			ErrInvalidPartitions, more, len(g.Assignment))
	case len(g.Assignment[0]) != int(t.ReplicationFactor):
		return nil, fmt.Errorf("%w: the assignment has %d replicas where the topic's other partitions have %d",
			ErrInvalidReplication, len(g.Assignment[0]), t.ReplicationFactor)
	}
	return g.Assignment, checkAssignment(g.Assignment, b.registered())
}

// checkPartitions judges growing a topic from one number of partitions to
// another.
func (b *Broker) checkPartitions(from, to int32) error {
	switch {
	case to < 1 || to > meta.MaxPartitions:
		return fmt.Errorf("%w: %d: want 1 to %d", ErrInvalidPartitions, to, meta.MaxPartitions)
	case to < from:
		return fmt.Errorf("%w: the topic has %d, which can't be lowered to %d", ErrInvalidPartitions, from, to)
	}
	if _, total := b.counts(); b.o.MaxPartitions > 0 && total+int(to-from) > b.o.MaxPartitions {
		return fmt.Errorf("%w: %d more would exceed --max-partitions=%d (there are %d)",
			ErrInvalidPartitions, to-from, b.o.MaxPartitions, total)
	}
	return nil
}

// registered are the brokers of the cluster.
func (b *Broker) registered() (ids []NodeID) {
	b.meta.View(func(img *meta.Image) {
		for _, n := range img.Brokers() {
			ids = append(ids, n.ID)
		}
	})
	return ids
}

// roomForMetadata refuses what makes the metadata grow while the disk is full.
// Deleting topics and altering configs, which can make room, stay possible.
func (b *Broker) roomForMetadata() error {
	if b.store.DiskFull() {
		return ErrDiskFull
	}
	return nil
}

// awaitLed waits until find finds a topic whose partitions all have leaders.
func (b *Broker) awaitLed(ctx context.Context, find func() *entry) error {
	err := b.dir.await(ctx, func() bool {
		e := find()
		if e == nil {
			return false
		}
		for _, p := range e.parts {
			if p.state.Load().Leader == 0 {
				return false
			}
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("%w: the topic is not led yet: %w", ErrOutcomeUnknown, err)
	}
	return nil
}

// DeleteTopic removes a topic. It returns when the name is free on this node;
// the logs are removed behind it.
func (b *Broker) DeleteTopic(ctx context.Context, name string) error {
	e, err := b.dir.topic(name)
	if err != nil {
		return err
	}
	if e.topic.Internal || ReservedTopic(name) {
		return fmt.Errorf("delete topic %q: %w", name, ErrReservedTopic)
	}
	return b.change(ctx, fmt.Sprintf("delete topic %q", name), &meta.DeleteTopic{ID: e.topic.ID})
}

// AlterConfigs merges configs into a topic's: a nil value takes the config
// back to its default.
func (b *Broker) AlterConfigs(ctx context.Context, name string, configs map[string]*string) (Topic, error) {
	e, err := b.dir.topic(name)
	if err != nil {
		return Topic{}, err
	}
	op := fmt.Sprintf("alter topic %q", name)
	merged := maps.Clone(e.topic.Configs)
	if merged == nil {
		merged = map[string]string{}
	}
	cmd := &meta.AlterConfig{ID: e.topic.ID, Set: map[string]string{}}
	for key, value := range configs {
		if value != nil {
			merged[key], cmd.Set[key] = *value, *value
			continue
		}
		if err := topicconfig.CheckName(key); err != nil {
			return Topic{}, fmt.Errorf("%s: %w", op, err)
		}
		delete(merged, key)
		cmd.Remove = append(cmd.Remove, key)
	}
	if err := topicconfig.Check(merged, int32(e.topic.ReplicationFactor)); err != nil {
		return Topic{}, fmt.Errorf("%s: %w", op, err)
	}
	if err := b.change(ctx, op, cmd); err != nil {
		return Topic{}, err
	}
	return b.TopicByID(e.topic.ID)
}

// AddPartitions raises a topic's partition count. On a compacted topic that
// moves keys to other partitions, away from their last values: it is refused
// unless forced.
func (b *Broker) AddPartitions(ctx context.Context, name string, g Growth) (Topic, error) {
	e, err := b.dir.topic(name)
	if err != nil {
		return Topic{}, err
	}
	op := fmt.Sprintf("add partitions to %q", name)
	if e.topic.Internal { // where its keys live would change
		return Topic{}, fmt.Errorf("%s: %w", op, ErrReservedTopic)
	}
	if err := b.checkPartitions(e.topic.Partitions, g.Total); err != nil {
		return Topic{}, fmt.Errorf("%s: %w", op, err)
	}
	if g.Total == e.topic.Partitions {
		return e.topic, nil
	}
	if e.values.Compact && !g.Force {
		return Topic{}, fmt.Errorf("%s: %w: the topic is compacted, and its keys would move away from their last values; "+
			"force it if that is meant", op, ErrInvalidPartitions)
	}
	if err := b.roomForMetadata(); err != nil {
		return Topic{}, fmt.Errorf("%s: %w", op, err)
	}
	assignments, err := b.placeMore(e.topic, g)
	if err != nil {
		return Topic{}, fmt.Errorf("%s: %w", op, err)
	}
	res, err := b.propose(ctx, &meta.CreatePartitions{
		ID: e.topic.ID, From: e.topic.Partitions, Assignments: assignments,
	})
	if err == nil {
		if err = b.dir.awaitIndex(ctx, res.Index); err != nil {
			err = fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
		}
	}
	if err == nil {
		err = b.awaitLed(ctx, func() *entry { return b.dir.id(e.topic.ID) })
	}
	if err == nil { // so that whichever node is asked next knows them
		err = b.awaitEverywhere(ctx, res.Index)
	}
	if err != nil {
		return Topic{}, fmt.Errorf("%s: %w", op, err)
	}
	return b.TopicByID(e.topic.ID)
}

// change proposes a command and waits until the directory shows it.
func (b *Broker) change(ctx context.Context, op string, cmd meta.Command) error {
	res, err := b.propose(ctx, cmd)
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	if err := b.dir.awaitIndex(ctx, res.Index); err != nil {
		return fmt.Errorf("%s: %w: %w", op, ErrOutcomeUnknown, err)
	}
	return nil
}

// newTopicID makes a random UUID (version 4).
func newTopicID() (id TopicID) {
	_, _ = rand.Read(id[:]) // never fails (crypto/rand since Go 1.24)
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return id
}
