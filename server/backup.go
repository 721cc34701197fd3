package server

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/chroniklog/chronik/raft/meta"
	"github.com/chroniklog/chronik/server/replica"
	"github.com/chroniklog/chronik/storage/plog"
)

// BackupTopic is what a backup keeps of a topic.
type BackupTopic struct {
	ID         TopicID
	Name       string
	Partitions int32
	// Replication is the factor that was chosen; 0: none was.
	Replication int16
	Configs     map[string]string
	CreatedAt   time.Time
	// Born is how many partitions the topic was created with.
	Born int32
	// Epochs, of a restoration: the leader epoch that each partition begins
	// in, above that of its batches.
	Epochs []int32
}

// Entry is a named value of the metadata: see meta.Entry.
type Entry = meta.Entry

// Producer is the producer id of an HTTP producer's name.
type Producer = meta.Producer

// BackupMetadata is what a backup keeps of the cluster beside records and
// groups.
type BackupMetadata struct {
	ClusterID string
	Configs   map[string]string // of the cluster
	Topics    []BackupTopic     // without internal ones
	Entries   []Entry
	Producers []Producer
	// NextProducer is the least producer id that was never given out.
	NextProducer int64
}

// BackupMetadata is the metadata at one moment, as this node knows it. What
// was acknowledged before through any node is in it.
func (b *Broker) BackupMetadata(ctx context.Context) (m BackupMetadata, err error) {
	if err := b.awaitCommitted(ctx); err != nil {
		return m, fmt.Errorf("back up the metadata: %w", err)
	}
	now := b.o.Now().UnixMilli()
	b.meta.View(func(img *meta.Image) {
		m.ClusterID, m.Configs = img.ClusterID(), maps.Clone(img.ClusterConfigs())
		m.Producers, m.NextProducer = img.Producers(now)
		for _, e := range img.AllEntries() {
			if e.Space != restoreSpace {
				m.Entries = append(m.Entries, e)
			}
		}
		topics, _ := img.Topics("", "", 0)
		for _, t := range topics {
			if !t.Internal {
				m.Topics = append(m.Topics, backupTopic(t))
			}
		}
	})
	return m, nil
}

func backupTopic(t *meta.Topic) BackupTopic {
	b := BackupTopic{
		ID: t.ID, Name: t.Name, Partitions: int32(len(t.Partitions)), Configs: maps.Clone(t.Configs),
		CreatedAt: time.UnixMilli(t.CreatedMs).UTC(), Born: t.Born,
	}
	if t.RFExplicit {
		b.Replication = int16(t.ReplicationFactor())
	}
	return b
}

// BackupPoint is where a partition's log ends now, committed: a backup has the
// records below. Errors as of Offsets.
func (b *Broker) BackupPoint(ctx context.Context, topic string, p int32) (at replica.Point, err error) {
	e, part, err := b.dir.part(topic, p)
	if err != nil {
		return at, err
	}
	err = b.throughFailover(ctx, func() error {
		leader, err := b.remote(part)
		switch {
		case err != nil:
			return fmt.Errorf("back up %s/%d: %w", topic, p, err)
		case leader == nil:
			at, err = b.point(ctx, e, part)
			return err
		}
		at, err = leader.Point(ctx, logID(e.topic.ID, p))
		return b.relayed(e, p, err)
	})
	return at, err
}

func (b *Broker) point(ctx context.Context, e *entry, p *part) (replica.Point, error) {
	r, err := b.replicaOf(e, p)
	if err != nil {
		return replica.Point{}, err
	}
	at, err := r.Point(ctx)
	return at, b.explain(e, p.number, err)
}

// Point implements forward.Backups.
func (l *Local) Point(ctx context.Context, id plog.ID) (replica.Point, error) {
	e, p, err := l.part(id)
	if err != nil {
		return replica.Point{}, err
	}
	return l.b.point(ctx, e, p)
}
