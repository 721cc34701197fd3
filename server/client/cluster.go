package client

import (
	"context"
	"net/http"
	"strconv"
)

// Cluster is the cluster as one node knows it.
type Cluster struct {
	ClusterID  string `json:"cluster_id"`
	NodeID     int32  `json:"node_id"`
	Controller int32  `json:"controller"` // 0: none is known
	Nodes      []Node `json:"nodes"`

	Topics                    int `json:"topics"`
	Partitions                int `json:"partitions"`
	OfflinePartitions         int `json:"offline_partitions"`
	UnderReplicatedPartitions int `json:"under_replicated_partitions"`

	Raft Raft `json:"raft"`
}

// Raft is the metadata group as one node knows it.
type Raft struct {
	Term      uint64  `json:"term"`
	Commit    uint64  `json:"commit"`
	Applied   uint64  `json:"applied"`
	LastIndex uint64  `json:"last_index"`
	Voters    []int32 `json:"voters"`
	Learners  []int32 `json:"learners"`
}

// Node is a member of the cluster and what it has.
type Node struct {
	ID       int32  `json:"id"`
	HTTP     string `json:"http"`
	Kafka    string `json:"kafka"`
	Peer     string `json:"peer"`
	Alive    bool   `json:"alive"`
	Draining bool   `json:"draining"`
	Voter    bool   `json:"voter"`
	// Leaders and Replicas are the partitions that it leads, and holds;
	// Reassigning are the replicas that are about to leave it.
	Leaders     int `json:"leaders"`
	Replicas    int `json:"replicas"`
	Reassigning int `json:"reassigning"`
	// BytesLeft is about what is still to be copied before those leave; nil if
	// that is not known.
	BytesLeft *int64 `json:"bytes_left"`
}

// Cluster asks the node what it knows of the cluster.
func (c *Client) Cluster(ctx context.Context) (Cluster, error) {
	var s Cluster
	err := c.Call(ctx, http.MethodGet, Path("cluster"), nil, &s)
	return s, err
}

// Node describes one member.
func (c *Client) Node(ctx context.Context, id int32) (Node, error) {
	var n Node
	err := c.Call(ctx, http.MethodGet, nodePath(id), nil, &n)
	return n, err
}

// Drain moves leadership away from a node and, with replicas, its replicas
// too, each node sending at most throttle bytes per second for that, 0: as fast
// as it goes. It returns when that is under way; see Node.
func (c *Client) Drain(ctx context.Context, id int32, replicas bool, throttle int64) (Node, error) {
	var n Node
	body := struct {
		Replicas bool  `json:"replicas"`
		Throttle int64 `json:"throttle_bytes_per_second,omitempty"`
	}{replicas, throttle}
	err := c.Call(ctx, http.MethodPost, nodePath(id)+"/drain", body, &n)
	return n, err
}

// EndDrain lets a node lead again.
func (c *Client) EndDrain(ctx context.Context, id int32) (Node, error) {
	var n Node
	err := c.Call(ctx, http.MethodDelete, nodePath(id)+"/drain", nil, &n)
	return n, err
}

// RemoveNode forgets a node that is stopped and holds nothing.
func (c *Client) RemoveNode(ctx context.Context, id int32) error {
	return c.Call(ctx, http.MethodDelete, nodePath(id), nil, nil)
}

// Controller is who leads the metadata group, in which term.
type Controller struct {
	Controller int32  `json:"controller"`
	Term       uint64 `json:"term"`
}

// MoveController makes a node the controller.
func (c *Client) MoveController(ctx context.Context, id int32) (Controller, error) {
	var s Controller
	body := struct {
		Node int32 `json:"node"`
	}{id}
	err := c.Call(ctx, http.MethodPost, Path("cluster", "controller"), body, &s)
	return s, err
}

func nodePath(id int32) string { return Path("cluster", "nodes", strconv.Itoa(int(id))) }

// Health asks for /livez or /readyz and returns nil if the node is well.
func (c *Client) Health(ctx context.Context, path string) error {
	req, err := c.request(ctx, http.MethodGet, path, nil, nil)
	if err != nil {
		return err
	}
	resp, err := c.do(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}
