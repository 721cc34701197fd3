// Package server is the broker: the façade that the HTTP and Kafka adapters
// stand on.
package server

import (
	"context"

	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/server/replica"
)

// Broker joins the metadata image and this node's replicas.
type Broker struct {
	draining chan struct{}
}

// CreateTopic makes a topic and waits until it is visible here and led.
func (b *Broker) CreateTopic(ctx context.Context, spec TopicSpec) (Topic, error) {
	return Topic{}, ErrUnavailable
}

// EnsureTopic is CreateTopic that returns the topic that has the name already.
func (b *Broker) EnsureTopic(ctx context.Context, spec TopicSpec) (t Topic, created bool, err error) {
	return Topic{}, false, ErrUnavailable
}

// DeleteTopic removes a topic and its logs.
func (b *Broker) DeleteTopic(ctx context.Context, name string) error { return ErrUnavailable }

// AlterConfigs merges configs; a nil value means back to the default.
func (b *Broker) AlterConfigs(ctx context.Context, name string, configs map[string]*string) (Topic, error) {
	return Topic{}, ErrUnavailable
}

// AddPartitions raises the partition count to total.
func (b *Broker) AddPartitions(ctx context.Context, name string, total int32, force bool) (Topic, error) {
	return Topic{}, ErrUnavailable
}

// Topic finds a topic by name.
func (b *Broker) Topic(name string) (Topic, error) { return Topic{}, ErrUnknownTopic }

// TopicByID finds a topic by its UUID.
func (b *Broker) TopicByID(id TopicID) (Topic, error) { return Topic{}, ErrUnknownTopic }

// Topics lists topics by name, after the given name.
func (b *Broker) Topics(prefix, after string, limit int) (list []Topic, more bool) { return nil, false }

// DescribeConfigs lists every config of a topic with its effective value.
func (b *Broker) DescribeConfigs(t Topic) []ConfigEntry { return nil }

// TopicLimits tells what a topic accepts.
func (b *Broker) TopicLimits(t Topic) TopicLimits { return TopicLimits{} }

// Partitions describes every partition of a topic.
func (b *Broker) Partitions(ctx context.Context, topic string) ([]PartitionInfo, error) {
	return nil, ErrUnavailable
}

// Partition describes one partition.
func (b *Broker) Partition(ctx context.Context, topic string, p int32) (PartitionInfo, error) {
	return PartitionInfo{}, ErrUnavailable
}

// ResolveTopic is Topic for producers: it creates the topic if autoCreate and
// the broker's configuration allow it.
func (b *Broker) ResolveTopic(ctx context.Context, name string, autoCreate bool) (Topic, error) {
	return Topic{}, ErrUnavailable
}

// ChoosePartition picks the partition of a record without explicit partition.
func (b *Broker) ChoosePartition(t Topic, key []byte, idempotencyKey string) int32 { return 0 }

// BeginRecord starts the append of one record.
func (b *Broker) BeginRecord(ctx context.Context, topic string, p int32,
	r partition.RecordAppend,
) (*replica.Pending, error) {
	return nil, ErrUnavailable
}

// BeginBatch starts the append of one record batch.
func (b *Broker) BeginBatch(ctx context.Context, topic string, p int32,
	r partition.BatchAppend,
) (*replica.Pending, error) {
	return nil, ErrUnavailable
}

// Read returns whole batches, waiting up to req.Wait while there are none.
func (b *Broker) Read(ctx context.Context, req ReadRequest) (ReadResult, error) {
	return ReadResult{}, ErrUnavailable
}

// Offsets tells a partition's offsets.
func (b *Broker) Offsets(ctx context.Context, topic string, p int32) (partition.Offsets, error) {
	return partition.Offsets{}, ErrUnavailable
}

// OffsetForTime finds the first record at or after ts (Unix milliseconds).
func (b *Broker) OffsetForTime(ctx context.Context, topic string, p int32, ts int64,
) (offset, timestamp int64, ok bool, err error) {
	return 0, 0, false, ErrUnavailable
}

// Subscribe signals ch when the partition's watermark, leadership or start
// changes.
func (b *Broker) Subscribe(topic string, p int32, ch chan<- struct{}) (cancel func(), err error) {
	return nil, ErrUnavailable
}

// Trim deletes records below before.
func (b *Broker) Trim(ctx context.Context, topic string, p int32, before int64) (logStart int64, err error) {
	return 0, ErrUnavailable
}

// SetFence sets the partition's fence token.
func (b *Broker) SetFence(ctx context.Context, topic string, p int32, token string, expect *string,
) (offset int64, err error) {
	return 0, ErrUnavailable
}

// KeyOffset finds a key's last offset in a compacted topic.
func (b *Broker) KeyOffset(ctx context.Context, topic string, p int32, key []byte,
) (offset int64, live bool, err error) {
	return 0, false, ErrUnavailable
}

// ProducerID maps an HTTP Producer-Id name to a producer id.
func (b *Broker) ProducerID(ctx context.Context, name string) (id int64, err error) {
	return 0, ErrUnavailable
}

// AllocateProducerID gives a new producer id (Kafka's InitProducerId).
func (b *Broker) AllocateProducerID(ctx context.Context) (id int64, epoch int16, err error) {
	return 0, 0, ErrUnavailable
}

// Cluster describes the cluster as this node knows it.
func (b *Broker) Cluster() ClusterInfo { return ClusterInfo{} }

// Draining is closed when the node begins to shut down.
func (b *Broker) Draining() <-chan struct{} { return b.draining }
