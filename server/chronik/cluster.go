package main

import (
	"context"
	"fmt"

	"github.com/chroniklog/chronik/server/client"
)

// ClusterCmd groups the commands over the cluster.
type ClusterCmd struct {
	Status   ClusterStatusCmd   `cmd:"" help:"Show nodes, controller, raft state and partitions in trouble."`
	Drain    ClusterDrainCmd    `cmd:"" help:"Move leadership, and replicas, away from a node."`
	Remove   ClusterRemoveCmd   `cmd:"" help:"Remove a stopped node that holds nothing."`
	Transfer ClusterTransferCmd `cmd:"" help:"Make another node the controller."`
	Backup   ClusterBackupCmd   `cmd:"" help:"Back topics, records and group offsets up into a directory, or check that."`
	Restore  ClusterRestoreCmd  `cmd:"" help:"Restore a backup into an empty cluster."`
}

// ClusterStatusCmd shows the cluster's state.
type ClusterStatusCmd struct {
	Remote `embed:""`
}

// Help shows examples.
func (ClusterStatusCmd) Help() string {
	return `Examples:

    chronik cluster status
    chronik cluster status --server http://10.0.0.7:8080 --output json`
}

// Run asks one node what it knows of the cluster.
func (c ClusterStatusCmd) Run(ctx context.Context, streams Streams) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	s, err := api.Cluster(ctx)
	if err != nil {
		return err
	}
	if c.JSON() {
		return writeJSON(streams.Out, s)
	}
	controller := "none"
	if s.Controller != 0 {
		controller = fmt.Sprint(s.Controller)
	}
	fmt.Fprintf(streams.Out, "cluster            %s\nasked node         %d\ncontroller         %s\n",
		s.ClusterID, s.NodeID, controller)
	fmt.Fprintf(streams.Out, "raft               term %d, last index %d, commit %d, applied %d\n",
		s.Raft.Term, s.Raft.LastIndex, s.Raft.Commit, s.Raft.Applied)
	fmt.Fprintf(streams.Out, "voters             %s\nlearners           %s\n", list(s.Raft.Voters), list(s.Raft.Learners))
	fmt.Fprintf(streams.Out, "partitions         %d of %d topic(s)\n", s.Partitions, s.Topics)
	fmt.Fprintf(streams.Out, "offline            %d partition(s)\nunder-replicated   %d partition(s)\n\n",
		s.OfflinePartitions, s.UnderReplicatedPartitions)
	rows := make([][]any, 0, len(s.Nodes))
	for _, n := range s.Nodes {
		rows = append(rows, []any{n.ID, nodeState(n), n.Leaders, n.Replicas, n.HTTP, n.Kafka, n.Peer})
	}
	return writeTable(streams.Out, "NODE STATE LEADERS REPLICAS HTTP KAFKA PEER", rows)
}

// nodeState is how a node is, in a word or two.
func nodeState(n client.Node) string {
	state := "alive"
	if !n.Alive {
		state = "away"
	}
	if n.Draining {
		state += ",draining"
	}
	if !n.Voter {
		state += ",learner"
	}
	return state
}

// ClusterRemoveCmd removes a node.
type ClusterRemoveCmd struct {
	Remote `embed:""`
	Node   int32 `arg:"" help:"Id of the node."`
}

// Help shows examples.
func (ClusterRemoveCmd) Help() string {
	return `The node has to be stopped and to hold no replica: drain it first. For a node
that is lost for good, too: its replicas are then copied from the others.

Examples:

    chronik cluster drain 3 --replicas --wait
    chronik cluster remove 3`
}

// Run removes the node.
func (c ClusterRemoveCmd) Run(ctx context.Context, streams Streams) error {
	if err := checkNode(c.Node); err != nil {
		return err
	}
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	if err := api.RemoveNode(ctx, c.Node); err != nil {
		return err
	}
	if c.JSON() {
		return writeJSON(streams.Out, map[string]int32{"removed": c.Node})
	}
	_, err = fmt.Fprintf(streams.Err, "node %d removed\n", c.Node)
	return err
}

// ClusterTransferCmd moves the controller.
type ClusterTransferCmd struct {
	Remote `embed:""`
	Node   int32 `arg:"" help:"Id of the node that shall be the controller."`
}

// Help shows examples.
func (ClusterTransferCmd) Help() string {
	return `Examples:

    chronik cluster transfer 2`
}

// Run moves the controller and waits until it has moved.
func (c ClusterTransferCmd) Run(ctx context.Context, streams Streams) error {
	if err := checkNode(c.Node); err != nil {
		return err
	}
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	s, err := api.MoveController(ctx, c.Node)
	if err != nil {
		return err
	}
	if c.JSON() {
		return writeJSON(streams.Out, s)
	}
	_, err = fmt.Fprintf(streams.Err, "node %d is the controller, term %d\n", s.Controller, s.Term)
	return err
}

// checkNode refuses what is no node id.
func checkNode(id int32) error {
	if id < 1 {
		return usagef("%d is no node id: \"chronik cluster status\" lists them", id)
	}
	return nil
}
