package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/chroniklog/chronik/raft"
	"github.com/chroniklog/chronik/raft/meta"
	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/telemetry"
)

func (b *fakeBroker) Node(id server.NodeID) (server.NodeInfo, error) {
	if b.err != nil {
		return server.NodeInfo{}, b.err
	}
	for _, n := range b.Cluster().Nodes {
		if n.ID == id {
			return n, nil
		}
	}
	return server.NodeInfo{}, fmt.Errorf("%w: %d", server.ErrUnknownNode, id)
}

func (b *fakeBroker) DrainNode(
	_ context.Context, id server.NodeID, replicas bool, throttle int64,
) (server.NodeInfo, error) {
	n, err := b.Node(id)
	n.Draining, n.Replicas, n.Leaders = true, 7, int(throttle)
	if replicas {
		n.Leaving = 7
	}
	return n, err
}

func (b *fakeBroker) Moving(context.Context, server.NodeID) (int64, error) { return 0, b.err }

func (b *fakeBroker) Load(context.Context) []server.NodeLoad {
	return []server.NodeLoad{
		{Node: 1, Answered: true, Load: telemetry.Load{Records: 7, Bytes: 70, Read: 5, Cycles: []int64{1, 2}}}, {Node: 2},
	}
}

func (b *fakeBroker) EndDrain(_ context.Context, id server.NodeID) (server.NodeInfo, error) {
	return b.Node(id)
}

func (b *fakeBroker) RemoveNode(_ context.Context, id server.NodeID) error {
	_, err := b.Node(id)
	return err
}

func (b *fakeBroker) MoveController(_ context.Context, id server.NodeID) error {
	_, err := b.Node(id)
	return err
}

func (b *fakeBroker) ElectPreferred(_ context.Context, topic string) (int, error) {
	if topic == "" {
		return 9, b.err
	}
	_, err := b.Topic(topic)
	return 2, err
}

func (b *fakeBroker) ElectLeader(ctx context.Context, topic string, p int32) error {
	_, err := b.Partition(ctx, topic, p)
	return err
}

func (b *fakeBroker) ElectUnclean(ctx context.Context, topic string, p int32, _ server.NodeID) error {
	return b.ElectLeader(ctx, topic, p)
}

func (b *fakeBroker) ReassignThrottled(
	ctx context.Context, topic string, p int32, replicas []server.NodeID, _ int64,
) (server.PartitionInfo, error) {
	info, err := b.Partition(ctx, topic, p)
	info.Target = replicas
	return info, err
}

func (b *fakeBroker) CancelReassign(ctx context.Context, topic string, p int32) (server.PartitionInfo, error) {
	return b.Partition(ctx, topic, p)
}

func TestClusterAdmin(t *testing.T) {
	h := New(testDeps(t, &fakeBroker{}))
	const replicas = "/v1/topics/t/partitions/0/replicas"
	for _, step := range []struct {
		exchange
		status int
		want   string
	}{
		{exchange{method: "PUT", path: "/v1/topics/t"}, 201, ``},
		{exchange{method: "GET", path: "/v1/cluster"}, 200, `"voter":false`},
		{exchange{method: "GET", path: "/v1/cluster"}, 200, `"last_index":0,"learners":[],"term":0,"voters":[]`},
		{exchange{method: "GET", path: "/v1/cluster/nodes/1"}, 200, `"replicas":0`},
		{
			exchange{method: "GET", path: "/v1/cluster/load"}, 200,
			`"nodes":[{"answered":true,"appended_bytes":70,"appended_records":7,"commit_cycles":[1,2],"id":1,` +
				`"read_bytes":5},{"answered":false,"id":2}]`,
		},
		{exchange{method: "GET", path: "/v1/cluster/nodes/2"}, 404, `"code":"unknown_node"`},
		{exchange{method: "GET", path: "/v1/cluster/nodes/one", bad: true}, 400, `want a node id`},
		{exchange{method: "GET", path: "/v1/cluster/nodes/1?x=1", bad: true}, 400, `"code":"unknown_parameter"`},
		{exchange{method: "POST", path: "/v1/cluster/nodes/1/drain"}, 202, `"draining":true`},
		{exchange{method: "POST", path: "/v1/cluster/nodes/1/drain", body: `{"replicas":true}`}, 202, `"reassigning":7`},
		{exchange{method: "POST", path: "/v1/cluster/nodes/1/drain", body: `{"replica":true}`, bad: true}, 400, `unknown_field`},
		{exchange{
			method: "POST", path: "/v1/cluster/nodes/1/drain", body: `{"replicas":true,"throttle_bytes_per_second":2048}`,
		}, 202, `"leaders":2048`},
		{exchange{
			method: "POST", path: "/v1/cluster/nodes/1/drain", body: `{"throttle_bytes_per_second":0}`, bad: true,
		}, 400, `1024 or more`},
		{exchange{
			method: "PUT", path: replicas, body: `{"replicas":[1,2],"throttle_bytes_per_second":5}`, bad: true,
		}, 400, `"field":"throttle_bytes_per_second"`},
		{exchange{method: "DELETE", path: "/v1/cluster/nodes/1/drain"}, 200, `"draining":false`},
		{exchange{method: "DELETE", path: "/v1/cluster/nodes/1"}, 204, ``},
		{exchange{method: "DELETE", path: "/v1/cluster/nodes/2"}, 404, `"code":"unknown_node"`},
		{exchange{method: "POST", path: "/v1/cluster/controller", body: `{"node":1}`}, 200, `"controller":1`},
		{exchange{method: "POST", path: "/v1/cluster/controller", body: `{"node":2}`}, 404, `"code":"unknown_node"`},
		{exchange{method: "POST", path: "/v1/cluster/controller", body: `{}`, bad: true}, 400, `"field":"node"`},
		{exchange{method: "POST", path: "/v1/cluster/elections"}, 200, `"elected":9`},
		{exchange{method: "POST", path: "/v1/cluster/elections", body: `{"topic":"t"}`}, 200, `"elected":2`},
		{exchange{method: "POST", path: "/v1/cluster/elections", body: `{"topic":"u"}`}, 404, `unknown_topic`},
		{exchange{method: "POST", path: "/v1/cluster/elections", body: `{"topic":""}`}, 400, `"field":"topic"`},
		{exchange{method: "PUT", path: replicas, body: `{"replicas":[1,2]}`}, 202, `"target":[1,2]`},
		{exchange{method: "PUT", path: replicas, body: `{"replicas":"1"}`, bad: true}, 400, `invalid_field`},
		{exchange{method: "PUT", path: "/v1/topics/t/partitions/9/replicas", body: `{"replicas":[1]}`}, 404, `unknown_partition`},
		{exchange{method: "DELETE", path: replicas}, 200, `"partition":0`},
	} {
		w := step.do(t, h)
		if w.Code != step.status || !strings.Contains(w.Body.String(), step.want) {
			t.Errorf("%s %s: %d %s\nwant %d with %s", step.method, step.path, w.Code, w.Body, step.status, step.want)
		}
	}
}

// What the layers below refuse reaches the client with its text.
func TestClusterAdminRefusals(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		code   string
	}{
		{fmt.Errorf("%w: %w: broker 3 has a replica of t/0", server.ErrNodeState, meta.ErrConflict), http.StatusConflict, CodeNodeState},
		{fmt.Errorf("%w: %w: t/0", server.ErrNotEnoughBrokers, meta.ErrNotEnoughBrokers), 503, CodeNotEnoughBrokers},
		{fmt.Errorf("transfer: %w", raft.ErrNoController), 503, CodeNoController},
		{fmt.Errorf("remove: %w", raft.ErrLastVoter), http.StatusConflict, CodeNodeState},
	} {
		h := New(testDeps(t, &fakeBroker{err: c.err}))
		for _, e := range []exchange{
			{method: "DELETE", path: "/v1/cluster/nodes/1"},
			{method: "POST", path: "/v1/cluster/nodes/1/drain"},
			{method: "POST", path: "/v1/cluster/controller", body: `{"node":1}`},
		} {
			w := e.do(t, h)
			if w.Code != c.status || !strings.Contains(w.Body.String(), `"code":"`+c.code+`"`) ||
				!strings.Contains(w.Body.String(), c.err.Error()) {
				t.Errorf("%s %s: %d %s", e.method, e.path, w.Code, w.Body)
			}
		}
	}
}
