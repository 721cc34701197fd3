package server

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/chroniklog/chronik/raft/meta"
	"github.com/chroniklog/chronik/server/forward"
	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/server/replica"
	"github.com/chroniklog/chronik/server/topicconfig"
	"github.com/chroniklog/chronik/storage/plog"
	"github.com/chroniklog/chronik/storage/record"
)

// The mark in the metadata that a backup is being restored.
const (
	restoreSpace = "restore"
	restoreKey   = "backup"
)

const (
	// MaxBackupID bounds the id of a backup in bytes.
	MaxBackupID = 128
	// producersPerCommand bounds what one command of the metadata log restores.
	producersPerCommand = 1000
)

// BeginRestore marks the cluster as one that the backup of the given id is
// restored into, and takes over what its metadata says beside topics.
// ErrNotEmpty if there are topics already, unless the same backup's restoration
// was interrupted: then resumed is true.
func (b *Broker) BeginRestore(ctx context.Context, id string, m BackupMetadata) (resumed bool, err error) {
	if resumed, err = b.markRestore(ctx, id); err != nil {
		return false, fmt.Errorf("restore backup %s: %w", id, err)
	}
	if err := b.restoreCluster(ctx, m); err != nil {
		return false, fmt.Errorf("restore backup %s: %w", id, err)
	}
	return resumed, nil
}

// markRestore sets the mark.
func (b *Broker) markRestore(ctx context.Context, id string) (resumed bool, err error) {
	if err := b.awaitCommitted(ctx); err != nil {
		return false, err
	}
	var names []string
	mark := ""
	b.meta.View(func(img *meta.Image) {
		topics, more := img.Topics("", "", 3)
		for _, t := range topics {
			names = append(names, t.Name)
		}
		if more {
			names = append(names, "…")
		}
		if e, ok := img.Entry(restoreSpace, restoreKey); ok {
			mark = string(e.Value)
		}
	})
	switch {
	case mark == id:
		return true, nil
	case mark != "":
		return false, fmt.Errorf("%w: the restoration of backup %s was begun and not finished; "+
			"finish it, or begin with empty data directories", ErrNotEmpty, mark)
	case len(names) > 0:
		return false, fmt.Errorf("%w: it has topics (%s); a backup is restored into a new one",
			ErrNotEmpty, strings.Join(names, ", "))
	}
	cmd := &meta.SetEntry{Space: restoreSpace, Key: restoreKey, Value: []byte(id), Check: true}
	_, err = b.propose(ctx, cmd)
	if errors.Is(err, meta.ErrConflict) {
		return false, fmt.Errorf("%w: another restoration has just begun", ErrNotEmpty)
	}
	return false, err
}

// awaitCommitted waits until this node shows what was committed before.
func (b *Broker) awaitCommitted(ctx context.Context) error {
	quorum, err := b.meta.Quorum(ctx)
	if err == nil {
		err = b.meta.Await(ctx, quorum.Commit)
	}
	return metadataError(err)
}

// restoreCluster takes over configs, entries and producers; repeating it is
// harmless.
func (b *Broker) restoreCluster(ctx context.Context, m BackupMetadata) error {
	if len(m.Configs) > 0 {
		if _, err := b.propose(ctx, &meta.AlterConfig{Set: m.Configs}); err != nil {
			return err
		}
	}
	for _, e := range m.Entries {
		if e.Space == restoreSpace {
			continue
		}
		if _, err := b.propose(ctx, &meta.SetEntry{Space: e.Space, Key: e.Key, Value: e.Value}); err != nil {
			return err
		}
	}
	for rest := m.Producers; ; rest = rest[min(len(rest), producersPerCommand):] {
		cmd := &meta.RestoreProducers{Next: m.NextProducer, Names: rest[:min(len(rest), producersPerCommand)]}
		if _, err := b.propose(ctx, cmd); err != nil {
			return err
		}
		if len(rest) <= producersPerCommand {
			return nil
		}
	}
}

// restoring is an error unless a backup is being restored.
func (b *Broker) restoring() error {
	found := false
	b.meta.View(func(img *meta.Image) { _, found = img.Entry(restoreSpace, restoreKey) })
	if !found {
		return fmt.Errorf("%w: the cluster takes no topics of a backup now", ErrNotRestoring)
	}
	return nil
}

// RestoreTopic makes a topic as it was, without records: RestorePartition brings
// them, and ElectUnclean ends the restoration of a partition. A topic that has
// the id already is returned as it is. ErrNotRestoring; otherwise errors as of
// CreateTopic.
func (b *Broker) RestoreTopic(ctx context.Context, t BackupTopic) (Topic, error) {
	op := fmt.Sprintf("restore topic %q", t.Name)
	if err := checkClientName(t.Name); err != nil {
		return Topic{}, err
	}
	if err := b.restoring(); err != nil {
		return Topic{}, fmt.Errorf("%s: %w", op, err)
	}
	if e := b.dir.id(t.ID); e != nil && e.topic.Name == t.Name && e.topic.Partitions == t.Partitions {
		return e.topic, nil
	}
	assignment, err := b.awaitBrokers(ctx, TopicSpec{
		Name: t.Name, Partitions: t.Partitions, ReplicationFactor: t.Replication,
	})
	if err == nil {
		err = topicconfig.Check(t.Configs, int32(len(assignment[0])))
	}
	if err == nil {
		err = b.roomForMetadata()
	}
	if err != nil {
		return Topic{}, fmt.Errorf("%s: %w", op, err)
	}
	res, err := b.propose(ctx, &meta.RestoreTopic{
		Topic: meta.CreateTopic{
			ID: t.ID, Name: t.Name, Configs: t.Configs, Assignments: assignment, RFExplicit: t.Replication > 0,
		},
		Epochs: t.Epochs, CreatedMs: t.CreatedAt.UnixMilli(), Born: t.Born,
	})
	if err == nil {
		err = b.dir.awaitIndex(ctx, res.Index)
	}
	if err == nil {
		err = b.awaitEverywhere(ctx, res.Index)
	}
	if err != nil {
		return Topic{}, fmt.Errorf("%s: %w", op, err)
	}
	return b.TopicByID(t.ID)
}

// EndRestore takes the mark away. Partitions that were not given their records
// stay without a leader.
func (b *Broker) EndRestore(ctx context.Context) error {
	if _, err := b.propose(ctx, &meta.SetEntry{Space: restoreSpace, Key: restoreKey, Delete: true}); err != nil {
		return fmt.Errorf("end the restoration: %w", err)
	}
	return nil
}

// BeginRestorePartition prepares the log of a partition that is being restored
// for batches from start on, with what derives from them and what came before,
// and tells where the log ends: above start, an interrupted restoration came
// that far. ErrNotRestoring if the partition has a leader already.
func (b *Broker) BeginRestorePartition(
	ctx context.Context, topic string, p int32, start int64, state []byte,
) (end int64, err error) {
	e, part, err := b.dir.part(topic, p)
	if err != nil {
		return 0, err
	}
	node, err := b.restorer(e, part)
	switch {
	case err != nil:
		return 0, err
	case node == nil:
		return b.Local().BeginRestore(ctx, logID(e.topic.ID, p), start, state)
	}
	end, err = node.BeginRestore(ctx, logID(e.topic.ID, p), start, state)
	return end, b.relayed(e, p, err)
}

// RestorePartition appends batches of a backup, as they are, and tells where
// the log ends when they are on disk. partition.OffsetConflictError if they do
// not follow the end; what is there already is passed over.
func (b *Broker) RestorePartition(ctx context.Context, topic string, p int32, batches []byte) (end int64, err error) {
	e, part, err := b.dir.part(topic, p)
	if err != nil {
		return 0, err
	}
	node, err := b.restorer(e, part)
	switch {
	case err != nil:
		return 0, err
	case node == nil:
		return b.Local().Restore(ctx, logID(e.topic.ID, p), batches)
	}
	end, err = node.Restore(ctx, logID(e.topic.ID, p), batches)
	return end, b.relayed(e, p, err)
}

// EndRestorePartition has the replica that was given a partition's records lead
// it; the others copy it. Its log must end at end:
// partition.OffsetConflictError.
func (b *Broker) EndRestorePartition(ctx context.Context, topic string, p int32, end int64) error {
	have, err := b.BeginRestorePartition(ctx, topic, p, 0, nil)
	if err != nil {
		return err
	}
	op := fmt.Sprintf("end the restoration of %s/%d", topic, p)
	if have != end {
		return fmt.Errorf("%s: %w", op, &partition.OffsetConflictError{Expected: end, Current: have})
	}
	e, part, err := b.dir.part(topic, p)
	if err != nil {
		return err
	}
	s := part.state.Load()
	if len(s.ISR) != 1 {
		return fmt.Errorf("%s: %w", op, ErrNotRestoring)
	}
	return b.change(ctx, op, &meta.ElectLeaders{TopicID: e.topic.ID, Partition: p, Unclean: true, Leader: s.ISR[0]})
}

// restorer is the node that is given a partition's records, nil if it is this
// one.
func (b *Broker) restorer(e *entry, p *part) (*forward.Client, error) {
	s := p.state.Load()
	switch {
	case s.Leader != 0 || !s.Lost || len(s.ISR) != 1:
		return nil, fmt.Errorf("%w: %s/%d is led by node %d", ErrNotRestoring, e.topic.Name, p.number, s.Leader)
	case s.ISR[0] == b.o.Node:
		return nil, nil
	case b.peers == nil:
		return nil, b.leaderError(s.ISR[0])
	}
	return b.peers.Leader(s.ISR[0]), nil
}

// restoredReplica is a replica that is given records, in the epoch that nobody
// leads.
type restoredReplica struct {
	*replica.Replica
	epoch int32
}

// restored finds the replica that is given records here, and its epoch.
func (l *Local) restored(id plog.ID) (e *entry, r restoredReplica, err error) {
	e, p, err := l.part(id)
	if err != nil {
		return nil, r, err
	}
	s := p.state.Load()
	if s.Leader != 0 || !s.Lost || len(s.ISR) != 1 || s.ISR[0] != l.b.o.Node {
		return nil, r, fmt.Errorf("%w: %s/%d is not restored on this node", ErrNotRestoring, e.topic.Name, p.number)
	}
	if l.b.store.DiskFull() {
		return nil, r, fmt.Errorf("restore %s/%d: %w", e.topic.Name, p.number, partition.ErrDiskFull)
	}
	rep, err := l.b.replicaOf(e, p)
	return e, restoredReplica{Replica: rep, epoch: s.LeaderEpoch}, err
}

// BeginRestore implements forward.Backups.
func (l *Local) BeginRestore(ctx context.Context, id plog.ID, start int64, state []byte) (end int64, err error) {
	e, r, err := l.restored(id)
	if err != nil {
		return 0, err
	}
	end, err = r.BeginRestore(ctx, r.epoch, start, state)
	return end, l.b.explain(e, id.Partition, err)
}

// Restore implements forward.Backups.
func (l *Local) Restore(ctx context.Context, id plog.ID, batches []byte) (end int64, err error) {
	e, r, err := l.restored(id)
	if err != nil {
		return 0, err
	}
	for rest := batches; len(rest) > 0; {
		batch, after, err := record.Split(rest)
		if err == nil && len(batch) > l.b.store.MaxBatchBytes() {
			err = fmt.Errorf("%w: a batch of %d bytes; this node takes %d", ErrTooLarge, len(batch), l.b.store.MaxBatchBytes())
		}
		if err != nil {
			return 0, fmt.Errorf("restore %s/%d: %w", e.topic.Name, id.Partition, err)
		}
		rest = after
	}
	end, err = r.Restore(ctx, r.epoch, batches)
	return end, l.b.explain(e, id.Partition, err)
}
