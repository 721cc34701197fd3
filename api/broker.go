package api

import (
	"context"

	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/server/replica"
)

// Broker is what the API needs of the domain; *server.Broker satisfies it.
type Broker interface {
	topicAdmin
	appender
	reader
	clusterAdmin
	backups
	// Draining is closed when the node begins to shut down: streams end and
	// connections are not kept.
	Draining() <-chan struct{}
}

// topicAdmin reads and changes topics.
type topicAdmin interface {
	CreateTopic(context.Context, server.TopicSpec) (server.Topic, error)
	EnsureTopic(context.Context, server.TopicSpec) (t server.Topic, created bool, err error)
	DeleteTopic(ctx context.Context, name string) error
	AlterConfigs(ctx context.Context, name string, configs map[string]*string) (server.Topic, error)
	AddPartitions(ctx context.Context, name string, g server.Growth) (server.Topic, error)
	Topic(name string) (server.Topic, error)
	TopicByID(server.TopicID) (server.Topic, error)
	Topics(prefix, after string, limit int) (list []server.Topic, more bool)
	DescribeConfigs(server.Topic) []server.ConfigEntry
	Partitions(ctx context.Context, topic string) ([]server.PartitionInfo, error)
	Partition(ctx context.Context, topic string, p int32) (server.PartitionInfo, error)
}

// appender writes records.
type appender interface {
	ResolveTopic(ctx context.Context, name string, autoCreate bool) (server.Topic, error)
	TopicLimits(server.Topic) server.TopicLimits
	ChoosePartition(ctx context.Context, t server.Topic, key []byte, idempotencyKey string) (int32, error)
	Leader(topic string, p int32) (server.Leader, error)
	ProducerID(ctx context.Context, name string) (int64, error)
	BeginRecord(ctx context.Context, topic string, p int32, r partition.RecordAppend) (*replica.Pending, error)
	// AwaitLeader waits a moment for a partition between two leaders; false
	// when another attempt is of no use.
	AwaitLeader(ctx context.Context) bool
	BeginBatch(ctx context.Context, topic string, p int32, r partition.BatchAppend) (*replica.Pending, error)
	Trim(ctx context.Context, topic string, p int32, before int64) (logStart int64, err error)
	SetFence(ctx context.Context, topic string, p int32, token string, expect *string) (offset int64, err error)
}

// reader reads records and is told when there are more.
type reader interface {
	Read(context.Context, server.ReadRequest) (server.ReadResult, error)
	Offsets(ctx context.Context, topic string, p int32) (partition.Offsets, error)
	// PartitionState is what the metadata says: no other node is asked.
	PartitionState(topic string, p int32) (server.PartitionInfo, error)
	Confirmed(ctx context.Context, topic string, p int32) (partition.Offsets, error)
	OffsetForTime(ctx context.Context, topic string, p int32, ts int64) (offset, timestamp int64, ok bool, err error)
	Subscribe(topic string, p int32, ch chan<- struct{}) (cancel func(), err error)
	KeyOffset(ctx context.Context, topic string, p int32, key []byte) (offset int64, live bool, err error)
}
