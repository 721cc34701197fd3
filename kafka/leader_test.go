package kafka_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/chroniklog/chronik/kafka"
	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/server/replica"
	"github.com/chroniklog/chronik/storage/record"
)

// elsewhere is a cluster in which node 2 leads everything and node 1 is asked.
type elsewhere struct {
	kafka.Broker
	kafka.Logs
	drain chan struct{}
}

var topicElsewhere = server.Topic{ID: server.TopicID{5}, Name: "t", Partitions: 1, ReplicationFactor: 2}

func (e *elsewhere) Draining() <-chan struct{}                              { return e.drain }
func (*elsewhere) Topic(string) (server.Topic, error)                       { return topicElsewhere, nil }
func (*elsewhere) TopicByID(server.TopicID) (server.Topic, error)           { return topicElsewhere, nil }
func (*elsewhere) TopicLimits(server.Topic) (l server.TopicLimits)          { return l }
func (*elsewhere) Subscribe(string, int32, chan<- struct{}) (func(), error) { return nil, notLeader() }
func (*elsewhere) Offsets(string, int32) (o partition.Offsets, err error)   { return o, notLeader() }

func (*elsewhere) Cluster() server.ClusterInfo {
	return server.ClusterInfo{NodeID: 1, Nodes: []server.NodeInfo{
		{ID: 1, Kafka: "127.0.0.1:1", Alive: true}, {ID: 2, Kafka: "two.example:9092", Alive: true},
	}}
}

func (*elsewhere) PartitionState(_ string, p int32) (server.PartitionInfo, error) {
	return server.PartitionInfo{Partition: p, Leader: 2, LeaderEpoch: 7}, nil
}

func (*elsewhere) BeginBatch(context.Context, string, int32, partition.BatchAppend) (*replica.Pending, error) {
	return nil, notLeader()
}

func (*elsewhere) Read(context.Context, server.ReadRequest) (server.ReadResult, error) {
	return server.ReadResult{}, notLeader()
}

func notLeader() error { return &server.NotLeaderError{Leader: 2, Addr: "two.example:8080"} }

// A partition that another node leads is never forwarded: the answer names the
// leader, its epoch and, where the version has a place, its address (KIP-951).
func TestLeaderHints(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &elsewhere{drain: make(chan struct{})}
	k := kafka.New(kafka.Options{Broker: e, Logs: e})
	served := make(chan error, 1)
	go func() { served <- k.Serve(l) }()
	t.Cleanup(func() {
		if err := errors.Join(k.Close(), <-served); !errors.Is(err, kafka.ErrClosed) {
			t.Error(err)
		}
	})
	r := (&broker{addr: l.Addr().String()}).raw(t)
	for v := int16(3); v <= 13; v++ {
		req := produceTo(v, "t", 0, batch(record.CodecNone, "x"))
		req.Topics[0].TopicID = topicElsewhere.ID
		resp := r.ask(req).(*kmsg.ProduceResponse)
		p := produced(resp)
		wantCode(t, p.ErrorCode, kerr.NotLeaderForPartition)
		if v >= 10 && (p.CurrentLeader.LeaderID != 2 || p.CurrentLeader.LeaderEpoch != 7 ||
			len(resp.Brokers) != 1 || resp.Brokers[0].Host != "two.example" || resp.Brokers[0].Port != 9092) {
			t.Errorf("Produce %d: %+v %+v", v, p.CurrentLeader, resp.Brokers)
		}
	}
	began := time.Now()
	for v := int16(4); v <= 18; v++ {
		req := fetchFrom("t", 0, 0)
		req.Version, req.MaxWaitMillis, req.Topics[0].TopicID = v, 10_000, topicElsewhere.ID
		resp := r.ask(req).(*kmsg.FetchResponse)
		p := resp.Topics[0].Partitions[0]
		wantCode(t, p.ErrorCode, kerr.NotLeaderForPartition)
		if v >= 12 && (p.CurrentLeader.LeaderID != 2 || p.CurrentLeader.LeaderEpoch != 7) {
			t.Errorf("Fetch %d: %+v", v, p.CurrentLeader)
		}
		if v >= 16 && (len(resp.Brokers) != 1 || resp.Brokers[0].Host != "two.example") {
			t.Errorf("Fetch %d: %+v", v, resp.Brokers)
		}
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("errors were held back for %v", took)
	}
}
