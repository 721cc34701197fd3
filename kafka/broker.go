package kafka

import (
	"context"

	"github.com/chroniklog/chronik/raft"
	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/server/replica"
)

// Broker is the cluster as the listener needs it; *server.Broker is one. Its
// errors are those that errors.go maps.
type Broker interface {
	topicBroker
	adminBroker
	Cluster() server.ClusterInfo
	AllocateProducerID(ctx context.Context) (id int64, epoch int16, err error)
	// Draining is closed when the node begins to shut down.
	Draining() <-chan struct{}
}

// adminBroker is what administrators of partitions and nodes need.
type adminBroker interface {
	ElectLeader(ctx context.Context, topic string, p int32) error
	ElectUnclean(ctx context.Context, topic string, p int32, leader server.NodeID) error
	Reassign(ctx context.Context, topic string, p int32, replicas []server.NodeID) (server.PartitionInfo, error)
	CancelReassign(ctx context.Context, topic string, p int32) (server.PartitionInfo, error)
	LogSizes() []server.LogSize
	DiskSpace() (total, free int64, err error)
	Quorum(ctx context.Context) (raft.Quorum, error)
}

// topicBroker is the part that knows topics.
type topicBroker interface {
	CreateTopic(ctx context.Context, spec server.TopicSpec) (server.Topic, error)
	DeleteTopic(ctx context.Context, name string) error
	AlterConfigs(ctx context.Context, name string, configs map[string]*string) (server.Topic, error)
	AddPartitions(ctx context.Context, name string, g server.Growth) (server.Topic, error)
	Topic(name string) (server.Topic, error)
	TopicByID(id server.TopicID) (server.Topic, error)
	Topics(prefix, after string, limit int) (list []server.Topic, more bool)
	ResolveTopic(ctx context.Context, name string, autoCreate bool) (server.Topic, error)
	DescribeConfigs(t server.Topic) []server.ConfigEntry
	TopicLimits(t server.Topic) server.TopicLimits
	PartitionStates(topic string) ([]server.PartitionInfo, error)
	PartitionState(topic string, p int32) (server.PartitionInfo, error)
}

// Logs are the partitions that this node leads; *server.LedLogs are. For
// others they answer ErrNotLeader or ErrNoLeader of package server.
type Logs interface {
	BeginBatch(ctx context.Context, topic string, p int32, r partition.BatchAppend) (*replica.Pending, error)
	Read(ctx context.Context, req server.ReadRequest) (server.ReadResult, error)
	Offsets(topic string, p int32) (partition.Offsets, error)
	OffsetForTime(topic string, p int32, ts int64) (offset, timestamp int64, ok bool, err error)
	MaxTimestamp(topic string, p int32) (offset, timestamp int64, ok bool, err error)
	EpochAt(topic string, p int32, offset int64) (int32, error)
	LeaderEpochEnd(topic string, p, epoch int32) (partition.EpochEnd, error)
	ActiveProducers(topic string, p int32) ([]partition.ActiveProducer, error)
	// Subscribe signals ch when a partition changes, until cancel.
	Subscribe(topic string, p int32, ch chan<- struct{}) (cancel func(), err error)
	Trim(ctx context.Context, topic string, p int32, before int64) (logStart int64, err error)
}

var (
	_ Broker = (*server.Broker)(nil)
	_ Logs   = (*server.LedLogs)(nil)
)
