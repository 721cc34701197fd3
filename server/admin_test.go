package server

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chroniklog/chronik/raft"
	"github.com/chroniklog/chronik/raft/meta"
	"github.com/chroniklog/chronik/server/partition"
)

// newMembers is a broker of a cluster of n, of which only the first is real.
func newMembers(t *testing.T, n int) (*Broker, *soleMeta) {
	t.Helper()
	b := newBroker(t, nil)
	m := b.meta.(*soleMeta)
	m.voters = []NodeID{1}
	for id := 2; id <= n; id++ {
		m.voters = append(m.voters, NodeID(id))
		command(t, b, &meta.RegisterBroker{
			ID: NodeID(id), Incarnation: meta.ID{byte(id)}, Directory: meta.ID{byte(id)}, Peer: fmt.Sprint("peer:", id),
		})
	}
	return b, m
}

func command(t *testing.T, b *Broker, c meta.Command) {
	t.Helper()
	if err := b.change(t.Context(), fmt.Sprintf("%T", c), c); err != nil {
		t.Fatal(err)
	}
}

// inSync has a partition's leader report that all live replicas are in sync.
func inSync(t *testing.T, b *Broker, topic string, p int32) {
	t.Helper()
	var cmd *meta.AlterPartition
	b.meta.View(func(img *meta.Image) {
		found, _ := img.Topic(topic)
		s := found.Partitions[p]
		leader, _ := img.Broker(s.Leader)
		cmd = &meta.AlterPartition{
			TopicID: found.ID, Partition: p, Leader: s.Leader, BrokerEpoch: leader.Epoch,
			LeaderEpoch: s.LeaderEpoch, PartitionEpoch: s.PartitionEpoch,
		}
		for _, id := range s.Replicas {
			if n, _ := img.Broker(id); n.Live() {
				cmd.ISR = append(cmd.ISR, id)
			}
		}
	})
	command(t, b, cmd)
}

func assignment(t *testing.T, b *Broker, topic string) (replicas [][]NodeID) {
	t.Helper()
	list, err := b.Partitions(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range list {
		replicas = append(replicas, p.Replicas)
	}
	return replicas
}

// A node is drained of leadership, then of replicas, then stopped and removed.
func TestDrainAndRemove(t *testing.T) {
	b, m := newMembers(t, 4)
	mustCreate(t, b, TopicSpec{Name: "t", Assignment: [][]NodeID{{2, 3, 4}, {3, 2, 4}}})
	n, err := b.DrainNode(t.Context(), 2, false, 0)
	if err != nil || !n.Draining || n.Leaders != 0 || n.Replicas != 2 || n.Leaving != 0 {
		t.Fatalf("%+v %v", n, err)
	}
	if n, err = b.DrainNode(t.Context(), 2, true, 0); err != nil || n.Replicas != 2 || n.Leaving != 2 {
		t.Fatalf("%+v %v", n, err)
	}
	if err := b.RemoveNode(t.Context(), 2); !errors.Is(err, ErrNodeState) {
		t.Errorf("a live node: %v", err)
	}
	info, err := b.Partition(t.Context(), "t", 0)
	if err != nil || !cmp.Equal(info.Target, []NodeID{1, 3, 4}) || len(info.Replicas) != 4 {
		t.Fatalf("%+v %v", info, err)
	}
	inSync(t, b, "t", 0)
	command(t, b, &meta.FenceBroker{ID: 2})
	if err := b.RemoveNode(t.Context(), 2); !errors.Is(err, ErrNodeState) || len(m.removed) != 0 {
		t.Errorf("a node with replicas: %v, removed %v", err, m.removed)
	}
	inSync(t, b, "t", 1)
	if diff := cmp.Diff([][]NodeID{{1, 3, 4}, {3, 1, 4}}, assignment(t, b, "t")); diff != "" {
		t.Error(diff)
	}
	m.refuse = raft.ErrNoController
	if err := b.RemoveNode(t.Context(), 2); !errors.Is(err, raft.ErrNoController) {
		t.Errorf("the metadata group fails: %v", err)
	}
	m.refuse = nil
	if err := b.RemoveNode(t.Context(), 2); err != nil || !cmp.Equal(m.removed, []NodeID{2, 2}) {
		t.Errorf("a removal that failed half-way: %v, removed %v", err, m.removed)
	}
	m.voters = []NodeID{1, 3, 4}
	if err := b.RemoveNode(t.Context(), 2); !errors.Is(err, ErrUnknownNode) {
		t.Errorf("a removed node: %v", err)
	}
}

// A cluster shrinks below the replication factor that nobody chose:
// min.insync.replicas follows, and both come back with another node.
func TestDrainShrinksReplication(t *testing.T) {
	b, _ := newMembers(t, 3)
	mustCreate(t, b, TopicSpec{Name: "t", Partitions: 2})
	minISR := func() string {
		t.Helper()
		e, err := b.dir.topic("t")
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(e.values.MinInsyncReplicas)
	}
	inSync(t, b, "t", 0)
	inSync(t, b, "t", 1)
	if n := minISR(); n != "2" {
		t.Fatalf("min.insync.replicas is %s of three", n)
	}
	n, err := b.DrainNode(t.Context(), 3, true, 0)
	if err != nil || n.Replicas != 0 {
		t.Fatalf("%+v %v", n, err)
	}
	if diff := cmp.Diff([][]NodeID{{1, 2}, {2, 1}}, assignment(t, b, "t")); diff != "" {
		t.Error(diff)
	}
	if n := minISR(); n != "1" {
		t.Errorf("min.insync.replicas is %s of two", n)
	}
	command(t, b, &meta.FenceBroker{ID: 3})
	if err := b.RemoveNode(t.Context(), 3); err != nil {
		t.Error(err)
	}
	created, _ := b.Topic("t")
	command(t, b, &meta.RegisterBroker{ID: 4, Incarnation: meta.ID{4}, Directory: meta.ID{4}, Peer: "peer:4"})
	command(t, b, &meta.RaiseTopic{ID: created.ID, Assignments: [][]NodeID{{1, 2, 4}, {2, 1, 4}}})
	if n := minISR(); n != "2" {
		t.Errorf("min.insync.replicas is %s of three again", n)
	}
}

// Nothing is changed when the replicas have no place to go.
func TestDrainNeedsBrokers(t *testing.T) {
	b, _ := newMembers(t, 3)
	mustCreate(t, b, TopicSpec{Name: "t", ReplicationFactor: 3})
	if _, err := b.DrainNode(t.Context(), 3, true, 0); !errors.Is(err, ErrNotEnoughBrokers) {
		t.Errorf("%v", err)
	}
	if n, err := b.Node(3); err != nil || n.Draining || n.Leaving != 0 {
		t.Errorf("%+v %v", n, err)
	}
	if _, err := b.DrainNode(t.Context(), 9, false, 0); !errors.Is(err, ErrUnknownNode) {
		t.Errorf("%v", err)
	}
}

func TestEndDrainAndElect(t *testing.T) {
	b, _ := newMembers(t, 2)
	mustCreate(t, b, TopicSpec{Name: "t", Assignment: [][]NodeID{{2, 1}, {1, 2}}})
	mustCreate(t, b, TopicSpec{Name: "u", Assignment: [][]NodeID{{2, 1}}})
	if n, err := b.DrainNode(t.Context(), 2, false, 0); err != nil || n.Leaders != 0 {
		t.Fatalf("%+v %v", n, err)
	}
	if n, err := b.ElectPreferred(t.Context(), ""); err != nil || n != 0 {
		t.Errorf("a draining node was elected %d times: %v", n, err)
	}
	if n, err := b.EndDrain(t.Context(), 2); err != nil || n.Draining || n.Leaders != 0 {
		t.Errorf("%+v %v", n, err)
	}
	if n, err := b.ElectPreferred(t.Context(), "t"); err != nil || n != 1 {
		t.Errorf("elected %d: %v", n, err)
	}
	if n, err := b.ElectPreferred(t.Context(), ""); err != nil || n != 1 {
		t.Errorf("elected %d of the rest: %v", n, err)
	}
	if n, err := b.Node(2); err != nil || n.Leaders != 2 {
		t.Errorf("%+v %v", n, err)
	}
	if _, err := b.ElectPreferred(t.Context(), "none"); !errors.Is(err, ErrUnknownTopic) {
		t.Error(err)
	}
	if _, err := b.EndDrain(t.Context(), 9); !errors.Is(err, ErrUnknownNode) {
		t.Error(err)
	}
}

func TestReassign(t *testing.T) {
	b, _ := newMembers(t, 4)
	mustCreate(t, b, TopicSpec{
		Name: "t", Assignment: [][]NodeID{{2, 3}}, Configs: map[string]string{"min.insync.replicas": "2"},
	})
	command(t, b, &meta.FenceBroker{ID: 4})
	for _, c := range []struct {
		to   []NodeID
		want error
	}{
		{nil, ErrInvalidReplication},
		{[]NodeID{2, 2}, ErrInvalidReplication},
		{[]NodeID{2}, ErrInvalidReplication}, // fewer than min.insync.replicas
		{[]NodeID{2, 9}, ErrUnknownNode},
		{[]NodeID{2, 4}, ErrNodeState},
	} {
		if _, err := b.Reassign(t.Context(), "t", 0, c.to); !errors.Is(err, c.want) {
			t.Errorf("%v: %v, want %v", c.to, err, c.want)
		}
	}
	if _, err := b.Reassign(t.Context(), "t", 1, []NodeID{1, 2}); !errors.Is(err, ErrUnknownPartition) {
		t.Error(err)
	}
	info, err := b.Reassign(t.Context(), "t", 0, []NodeID{1, 3})
	if err != nil || !cmp.Equal(info.Target, []NodeID{1, 3}) || !cmp.Equal(info.Replicas, []NodeID{1, 3, 2}) {
		t.Fatalf("%+v %v", info, err)
	}
	for range 2 { // nothing is left to cancel the second time
		info, err = b.CancelReassign(t.Context(), "t", 0)
		if err != nil || info.Target != nil || !cmp.Equal(info.Replicas, []NodeID{3, 2}) {
			t.Fatalf("cancelled: %+v %v", info, err)
		}
	}
}

func TestMoveController(t *testing.T) {
	b, m := newMembers(t, 3)
	command(t, b, &meta.FenceBroker{ID: 3})
	m.voters = []NodeID{1, 3}
	for id, want := range map[NodeID]error{2: ErrNodeState, 3: ErrNodeState, 9: ErrUnknownNode} {
		if err := b.MoveController(t.Context(), id); !errors.Is(err, want) || m.controller != 0 {
			t.Errorf("node %d: %v", id, err)
		}
	}
	m.voters = []NodeID{1, 2}
	if err := b.MoveController(t.Context(), 2); err != nil || m.controller != 2 {
		t.Errorf("%d, %v", m.controller, err)
	}
	m.refuse = raft.ErrNoController
	if err := b.MoveController(t.Context(), 2); !errors.Is(err, raft.ErrNoController) {
		t.Error(err)
	}
}

// What is served while a partition moves stays what it was.
func TestReassignKeepsRecords(t *testing.T) {
	b, _ := newMembers(t, 2)
	mustCreate(t, b, TopicSpec{Name: "t", ReplicationFactor: 1, Assignment: [][]NodeID{{1}}})
	if _, err := appendOne(t, b, "t", 0, plain("kept")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Reassign(t.Context(), "t", 0, []NodeID{1, 2}); err != nil {
		t.Fatal(err)
	}
	res, err := b.Read(t.Context(), ReadRequest{Topic: "t", MaxBytes: 1 << 20, Isolation: partition.ReadUncommitted})
	if err != nil || valuesOf(t, res.Batches, 0) != "kept" {
		t.Errorf("%v %v", res, err)
	}
}
