package main

import (
	"context"
	"fmt"
)

// ClusterCmd groups the commands over the cluster.
type ClusterCmd struct {
	Status ClusterStatusCmd `cmd:"" help:"Show nodes, controller and partitions in trouble."`
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
	fmt.Fprintf(streams.Out, "cluster            %s\nasked node         %d\ncontroller         %d\n",
		s.ClusterID, s.NodeID, s.Controller)
	fmt.Fprintf(streams.Out, "raft               term %d, commit %d, applied %d\n",
		s.Raft.Term, s.Raft.Commit, s.Raft.Applied)
	fmt.Fprintf(streams.Out, "offline            %d partition(s)\nunder-replicated   %d partition(s)\n\n",
		s.OfflinePartitions, s.UnderReplicatedPartitions)
	rows := make([][]any, 0, len(s.Nodes))
	for _, n := range s.Nodes {
		rows = append(rows, []any{n.ID, n.Alive, n.HTTP, n.Kafka, n.Peer})
	}
	return writeTable(streams.Out, "NODE ALIVE HTTP KAFKA PEER", rows)
}
