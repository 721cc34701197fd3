package api

import (
	"context"

	"github.com/chroniklog/chronik/api/gen"
	"github.com/chroniklog/chronik/server"
)

// ListPartitions implements GET /v1/topics/{topic}/partitions.
func (s *Server) ListPartitions(
	ctx context.Context, req gen.ListPartitionsRequestObject,
) (gen.ListPartitionsResponseObject, error) {
	list, err := s.broker.Partitions(ctx, req.Topic)
	if err != nil {
		return nil, err
	}
	out := gen.ListPartitions200JSONResponse{Partitions: make([]gen.Partition, len(list))}
	for i := range list {
		out.Partitions[i] = partitionJSON(list[i])
	}
	return out, nil
}

// AddPartitions implements POST /v1/topics/{topic}/partitions.
func (s *Server) AddPartitions(
	ctx context.Context, req gen.AddPartitionsRequestObject,
) (gen.AddPartitionsResponseObject, error) {
	if req.Body.Count < 1 {
		return nil, badField("count", "want the total number of partitions, 1 or more, have %d", req.Body.Count)
	}
	t, err := s.broker.AddPartitions(ctx, req.Topic, server.Growth{Total: req.Body.Count, Force: deref(req.Body.Force)})
	if err != nil {
		return nil, err
	}
	return gen.AddPartitions200JSONResponse(topicJSON(t)), nil
}

// DescribePartition implements GET …/partitions/{partition}.
func (s *Server) DescribePartition(
	ctx context.Context, req gen.DescribePartitionRequestObject,
) (gen.DescribePartitionResponseObject, error) {
	info, err := s.partition(ctx, req.Topic, req.Partition)
	if err != nil {
		return nil, err
	}
	start, hw := offsetHeaders(info)
	return gen.DescribePartition200JSONResponse{
		Body:    partitionJSON(info),
		Headers: gen.DescribePartition200ResponseHeaders{LogStartOffset: start, LogHighWatermark: hw},
	}, nil
}

// HeadPartition implements HEAD …/partitions/{partition}.
func (s *Server) HeadPartition(
	ctx context.Context, req gen.HeadPartitionRequestObject,
) (gen.HeadPartitionResponseObject, error) {
	info, err := s.partition(ctx, req.Topic, req.Partition)
	if err != nil {
		return nil, err
	}
	start, hw := offsetHeaders(info)
	return gen.HeadPartition200Response{
		Headers: gen.HeadPartition200ResponseHeaders{LogStartOffset: start, LogHighWatermark: hw},
	}, nil
}

func (s *Server) partition(ctx context.Context, topic string, p int32) (server.PartitionInfo, error) {
	if p < 0 {
		return server.PartitionInfo{}, badParameter("partition", "want a whole number from 0 on, have %d", p)
	}
	return s.broker.Partition(ctx, topic, p)
}

// offsetHeaders are nil where this node does not know the offsets.
func offsetHeaders(info server.PartitionInfo) (start, hw *int) {
	if !info.OffsetsKnown {
		return nil, nil
	}
	s, h := int(info.Offsets.LogStart), int(info.Offsets.HighWatermark)
	return &s, &h
}

func partitionJSON(info server.PartitionInfo) gen.Partition {
	out := gen.Partition{
		Partition: info.Partition, Leader: info.Leader, LeaderEpoch: info.LeaderEpoch,
		PartitionEpoch: &info.PartitionEpoch, Replicas: nonNil(info.Replicas), Isr: nonNil(info.ISR),
	}
	if len(info.Target) > 0 {
		out.Target = &info.Target
	}
	if info.OffsetsKnown {
		o := info.Offsets
		out.LogStartOffset, out.HighWatermark, out.LastStableOffset = &o.LogStart, &o.HighWatermark, &o.LastStable
		out.Bytes = &info.Bytes
	}
	return out
}

// nonNil makes an absent list [] in JSON.
func nonNil(list []int32) []int32 {
	if list == nil {
		return []int32{}
	}
	return list
}
