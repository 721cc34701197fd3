package server

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/chroniklog/chronik/raft"
	"github.com/chroniklog/chronik/raft/meta"
)

// register announces this process to the cluster. The command visits every
// partition that the node led, which may take several rounds.
func (b *Broker) register(ctx context.Context) error {
	for {
		res, err := b.propose(ctx, &meta.RegisterBroker{
			ID: b.o.Node, Incarnation: b.o.Incarnation, Directory: b.o.Directory,
			HTTP: b.o.HTTP, Kafka: b.o.Kafka, Peer: b.o.Peer,
		})
		if errors.Is(err, ErrUnavailable) && sleepFor(ctx, proposalPause) {
			continue // no majority for now
		}
		if err != nil {
			return fmt.Errorf("register broker: %w", err)
		}
		b.epoch.Store(uint64(res.Value))
		if !res.More {
			// Only then the image has the partitions' new epochs: in the old
			// ones this process must not append.
			return b.meta.Await(ctx, res.Index)
		}
	}
}

// propose sends a command to the metadata log and waits until it is applied,
// here or at the controller. Refusals and the log's own errors come back as this package's
// sentinels where it has one, with the cause.
func (b *Broker) propose(ctx context.Context, cmd meta.Command) (meta.Result, error) {
	res, err := b.meta.Propose(ctx, cmd)
	if err == nil {
		err = res.Err()
	}
	return res, metadataError(err)
}

// metadataError adds this package's sentinel to an error of the metadata log
// where there is one.
func metadataError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrOutcomeUnknown):
		return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	case errors.Is(err, raft.ErrNotController), errors.Is(err, raft.ErrNoController), errors.Is(err, raft.ErrBusy):
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	case errors.Is(err, raft.ErrDiskFull):
		return fmt.Errorf("%w: %w", ErrDiskFull, err)
	case errors.Is(err, raft.ErrClosed):
		return fmt.Errorf("%w: %w", ErrShuttingDown, err)
	case errors.Is(err, meta.ErrTopicExists):
		return fmt.Errorf("%w: %w", ErrTopicExists, err)
	case errors.Is(err, meta.ErrUnknownTopic):
		return fmt.Errorf("%w: %w", ErrUnknownTopic, err)
	case errors.Is(err, meta.ErrNotEnoughBrokers):
		return fmt.Errorf("%w: %w", ErrNotEnoughBrokers, err)
	case errors.Is(err, meta.ErrUnknownBroker):
		return fmt.Errorf("%w: %w", ErrUnknownNode, err)
	}
	return err
}

// nodeAddress is where a node's HTTP API is reached; empty if unknown.
func (b *Broker) nodeAddress(id NodeID) (addr string) {
	b.meta.View(func(img *meta.Image) {
		if n, ok := img.Broker(id); ok {
			addr = n.HTTP
		}
	})
	return addr
}

// Cluster describes the cluster as this node knows it.
func (b *Broker) Cluster() ClusterInfo {
	status := b.meta.Status()
	info := ClusterInfo{
		NodeID: b.o.Node, Controller: status.Leader, RaftTerm: status.Term,
		RaftCommit: status.Commit, RaftApplied: status.Applied, RaftLastIndex: status.LastIndex,
		RaftVoters: status.Voters, RaftLearners: status.Learners,
	}
	b.meta.View(func(img *meta.Image) {
		info.ClusterID = img.ClusterID()
		info.OfflinePartitions, info.UnderReplicatedPartitions = img.Health()
		for _, n := range img.Brokers() {
			info.Nodes = append(info.Nodes, NodeInfo{
				ID: n.ID, HTTP: n.HTTP, Kafka: n.Kafka, Peer: n.Peer, Alive: n.Live(), Draining: n.Draining,
				Voter: slices.Contains(status.Voters, n.ID),
			})
		}
		countReplicas(img, info.Nodes)
	})
	info.Topics, info.Partitions = b.counts()
	return info
}

// countReplicas fills in what each node has.
func countReplicas(img *meta.Image, nodes []NodeInfo) {
	at := make(map[NodeID]*NodeInfo, len(nodes))
	for i := range nodes {
		at[nodes[i].ID] = &nodes[i]
	}
	topics, _ := img.Topics("", "", 0)
	for _, t := range topics {
		for i := range t.Partitions {
			p := &t.Partitions[i]
			if n := at[p.Leader]; n != nil {
				n.Leaders++
			}
			for _, id := range p.Replicas {
				n := at[id]
				if n == nil {
					continue
				}
				n.Replicas++
				if !slices.Contains(p.Assigned(), id) {
					n.Leaving++
				}
			}
		}
	}
}

// counts are the topics and partitions of the cluster.
func (b *Broker) counts() (topics, partitions int) {
	b.meta.View(func(img *meta.Image) { topics, partitions = img.Counts() })
	return topics, partitions
}
