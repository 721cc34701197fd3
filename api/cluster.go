package api

import (
	"context"

	"github.com/chroniklog/chronik/api/gen"
)

// DescribeCluster implements GET /v1/cluster.
func (s *Server) DescribeCluster(
	context.Context, gen.DescribeClusterRequestObject,
) (gen.DescribeClusterResponseObject, error) {
	info := s.broker.Cluster()
	nodes := make([]gen.Node, len(info.Nodes))
	for i, n := range info.Nodes {
		nodes[i] = nodeJSON(n)
	}
	topics, partitions := int32(info.Topics), int32(info.Partitions)
	return gen.DescribeCluster200JSONResponse{
		ClusterId: info.ClusterID, NodeId: info.NodeID, Controller: info.Controller,
		Version: &s.version, TraceUrl: s.traceURL,
		Nodes: nodes, Topics: &topics, Partitions: &partitions,
		OfflinePartitions:         int32(info.OfflinePartitions),
		UnderReplicatedPartitions: int32(info.UnderReplicatedPartitions),
		Raft: gen.Raft{
			Term: int64(info.RaftTerm), Commit: int64(info.RaftCommit), Applied: int64(info.RaftApplied),
			LastIndex: int64(info.RaftLastIndex), Voters: nonNil(info.RaftVoters), Learners: nonNil(info.RaftLearners),
		},
		Limits: s.limits.json(),
	}, nil
}

// json declares the limits to clients.
func (l Limits) json() gen.Limits {
	return gen.Limits{
		RecordBytes: l.MaxRecordBytes, BatchBytes: l.MaxBatchBytes, BatchRecords: int32(l.MaxBatchRecords),
		ControlBytes: l.MaxControlBytes, InFlightBytes: l.MaxInFlightBytes,
		ReadRecords: int32(l.MaxReadRecords), ReadBytes: l.MaxReadBytes, WaitSeconds: l.MaxWait.Seconds(),
		RecordHeaders: int32(l.MaxHeaders), RecordHeaderBytes: int32(l.MaxHeaderBytes),
		KeyBytes: int32(l.MaxKeyBytes), Page: int32(l.MaxPage),
		HeartbeatSeconds: l.Heartbeat.Seconds(), AppendTimeoutSeconds: l.AppendTimeout.Seconds(),
	}
}

// optional is a member that is absent rather than empty.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
