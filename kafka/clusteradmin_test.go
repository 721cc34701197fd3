package kafka_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/chroniklog/chronik/server/servertest"
)

// cluster is three nodes with Kafka listeners, and a client of them.
type cluster struct {
	*servertest.Cluster
	t   *testing.T
	ctx context.Context
	cl  *kgo.Client
	adm *kadm.Client
}

func startCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{Cluster: servertest.StartCluster(t, 3), t: t, ctx: within(t, 50*time.Second)}
	c.cl = (&broker{addr: c.Nodes[0].Kafka}).client(t)
	c.adm = kadm.NewClient(c.cl)
	return c
}

// create makes topic "t" with one partition and the replicas given.
func (c *cluster) create(replicas ...int32) {
	c.t.Helper()
	req, topic := kmsg.NewPtrCreateTopicsRequest(), kmsg.NewCreateTopicsRequestTopic()
	place := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
	place.Replicas = replicas
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = "t", -1, -1
	topic.ReplicaAssignment = append(topic.ReplicaAssignment, place)
	req.Topics, req.TimeoutMillis = append(req.Topics, topic), 20_000
	resp, err := req.RequestWith(c.ctx, c.cl)
	if err != nil || resp.Topics[0].ErrorCode != 0 {
		c.t.Fatalf("%+v %v", resp, err)
	}
}

// await asks for partition t/0 until it is as wanted.
func (c *cluster) await(want func(kadm.PartitionDetail) bool) {
	c.t.Helper()
	var last kadm.PartitionDetail
	for c.ctx.Err() == nil {
		list, err := c.adm.ListTopics(c.ctx, "t")
		if err != nil {
			c.t.Fatal(err)
		}
		if last = list["t"].Partitions[0]; want(last) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	c.t.Fatalf("the partition stays %+v", last)
}

// reassign leads t/0 to other replicas, none to cancel.
func (c *cluster) reassign(replicas ...int32) error {
	c.t.Helper()
	var req kadm.AlterPartitionAssignmentsReq
	if len(replicas) == 0 {
		req.CancelAssign("t", 0)
	} else {
		req.Assign("t", 0, replicas)
	}
	resp, err := c.adm.AlterPartitionAssignments(c.ctx, req)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp["t"][0].Err
}

func (c *cluster) elect(how kadm.ElectLeadersHow) error {
	c.t.Helper()
	resp, err := c.adm.ElectLeaders(c.ctx, how, kadm.TopicsSet{"t": {0: {}}})
	if err != nil {
		c.t.Fatal(err)
	}
	return resp["t"][0].Err
}

func TestReassignments(t *testing.T) {
	c := startCluster(t)
	c.create(1, 2)
	rec := &kgo.Record{Topic: "t", Value: []byte("v")}
	if err := c.cl.ProduceSync(c.ctx, rec, rec).FirstErr(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		replicas []int32
		want     error
	}{
		{nil, kerr.NoReassignmentInProgress},
		{[]int32{1, 9}, kerr.InvalidReplicaAssignment},
		{[]int32{1, 1}, kerr.InvalidReplicaAssignment},
	} {
		if err := c.reassign(tt.replicas...); !errors.Is(err, tt.want) {
			t.Errorf("to %v: %v, want %v", tt.replicas, err, tt.want)
		}
	}
	if err := c.reassign(3, 2); err != nil {
		t.Fatal(err)
	}
	c.await(func(p kadm.PartitionDetail) bool {
		slices.Sort(p.ISR)
		return slices.Equal(p.Replicas, []int32{3, 2}) && slices.Equal(p.ISR, []int32{2, 3}) && p.Leader > 0
	})
	if left, err := c.adm.ListPartitionReassignments(c.ctx, nil); err != nil || len(left) != 0 {
		t.Errorf("still under way: %+v %v", left, err)
	}
	if err := c.elect(kadm.ElectPreferredReplica); err != nil && !errors.Is(err, kerr.ElectionNotNeeded) {
		t.Error(err)
	}
	c.await(func(p kadm.PartitionDetail) bool { return p.Leader == 3 })
	for _, how := range []kadm.ElectLeadersHow{kadm.ElectPreferredReplica, kadm.ElectLiveReplica} {
		if err := c.elect(how); !errors.Is(err, kerr.ElectionNotNeeded) {
			t.Errorf("election %v: %v", how, err)
		}
	}
	if got := c.logHolders(); !slices.Equal(got, []int32{2, 3}) {
		t.Errorf("logs of t/0 are on nodes %v", got)
	}
}

// logHolders are the nodes that tell of a log of t/0.
func (c *cluster) logHolders() (nodes []int32) {
	c.t.Helper()
	for c.ctx.Err() == nil { // what a node gave away it drops a moment later
		nodes = nodes[:0]
		all, err := c.adm.DescribeAllLogDirs(c.ctx, kadm.TopicsSet{"t": {0: {}}})
		if err != nil {
			c.t.Fatal(err)
		}
		all.Each(func(d kadm.DescribedLogDir) {
			if d.Dir == "" || d.Err != nil {
				c.t.Errorf("%+v", d)
			}
			if p, ok := d.Topics["t"][0]; ok && p.Size > 0 {
				nodes = append(nodes, d.Broker)
			}
		})
		slices.Sort(nodes)
		if len(nodes) == 2 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nodes
}

// New partitions go where the request says.
func TestCreatePartitionsPlaced(t *testing.T) {
	c := startCluster(t)
	c.create(1, 2)
	place := func(replicas ...[]int32) int16 {
		req, topic := kmsg.NewPtrCreatePartitionsRequest(), kmsg.NewCreatePartitionsRequestTopic()
		topic.Topic, topic.Count, req.TimeoutMillis = "t", 2, 20_000
		for _, r := range replicas {
			a := kmsg.NewCreatePartitionsRequestTopicAssignment()
			a.Replicas = r
			topic.Assignment = append(topic.Assignment, a)
		}
		req.Topics = append(req.Topics, topic)
		resp, err := req.RequestWith(c.ctx, c.cl)
		if err != nil {
			t.Fatal(err)
		}
		return resp.Topics[0].ErrorCode
	}
	for _, refused := range [][][]int32{{{3, 9}}, {{3, 3}}, {{3}}, {{3, 1}, {1, 3}}, {{}}} {
		wantCode(t, place(refused...), kerr.InvalidReplicaAssignment)
	}
	wantCode(t, place([]int32{3, 1}), nil)
	list, err := c.adm.ListTopics(c.ctx, "t")
	if err != nil || !slices.Equal(list["t"].Partitions[1].Replicas, []int32{3, 1}) {
		t.Errorf("%+v %v", list, err)
	}
}

func TestDescribeProducers(t *testing.T) {
	c := startCluster(t)
	c.create(2, 3)
	for i := range 3 {
		rec := &kgo.Record{Topic: "t", Value: []byte("v"), Timestamp: time.UnixMilli(time.Now().UnixMilli())}
		if err := c.cl.ProduceSync(c.ctx, rec).FirstErr(); err != nil {
			t.Fatal(err)
		}
		found, err := c.adm.DescribeProducers(c.ctx, kadm.TopicsSet{"t": {0: {}}})
		if err != nil || found["t"].Partitions[0].Err != nil {
			t.Fatal(err, found)
		}
		list := found.SortedProducers()
		id, _, _ := c.cl.ProducerID(c.ctx)
		if len(list) != 1 || list[0].ProducerID != id || list[0].LastSequence != int32(i) ||
			list[0].LastTimestamp != rec.Timestamp.UnixMilli() {
			t.Errorf("after %d records of producer %d: %+v", i+1, id, list)
		}
	}
}

func TestDescribeQuorum(t *testing.T) {
	c := startCluster(t)
	for _, n := range c.Nodes {
		req := kmsg.NewPtrDescribeQuorumRequest()
		for _, name := range []string{"__cluster_metadata", "t"} {
			topic := kmsg.NewDescribeQuorumRequestTopic()
			topic.Topic = name
			topic.Partitions = append(topic.Partitions, kmsg.NewDescribeQuorumRequestTopicPartition())
			req.Topics = append(req.Topics, topic)
		}
		resp, err := req.RequestWith(c.ctx, (&broker{addr: n.Kafka}).client(t))
		if err != nil || resp.ErrorCode != 0 || len(resp.Nodes) != 3 {
			t.Fatalf("%+v %v", resp, err)
		}
		p := resp.Topics[0].Partitions[0]
		if p.ErrorCode != 0 || p.LeaderID < 1 || p.LeaderEpoch < 1 || p.HighWatermark < 1 || len(p.Observers) != 0 {
			t.Errorf("%+v", p)
		}
		var voters []int32
		for _, v := range p.CurrentVoters {
			voters = append(voters, v.ReplicaID)
			if v.ReplicaID == p.LeaderID && v.LogEndOffset < p.HighWatermark {
				t.Errorf("the leader has %d of %d", v.LogEndOffset, p.HighWatermark)
			}
		}
		if !slices.Equal(voters, []int32{1, 2, 3}) {
			t.Errorf("voters %v", voters)
		}
		wantCode(t, resp.Topics[1].Partitions[0].ErrorCode, kerr.UnknownTopicOrPartition)
	}
}
