package kafka

import (
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/chroniklog/chronik/server"
)

// reassign answers AlterPartitionReassignments (KIP-455): null replicas cancel.
func (k *Listener) reassign(ctx context.Context, req *kmsg.AlterPartitionAssignmentsRequest) kmsg.Response {
	ctx, cancel := deadline(ctx, req.TimeoutMillis)
	defer cancel()
	resp := kmsg.NewPtrAlterPartitionAssignmentsResponse()
	fixed := req.Version >= 1 && !req.AllowReplicationFactorChange
	for i := range req.Topics {
		t := kmsg.NewAlterPartitionAssignmentsResponseTopic()
		t.Topic = req.Topics[i].Topic
		for j := range req.Topics[i].Partitions {
			want := &req.Topics[i].Partitions[j]
			p := kmsg.NewAlterPartitionAssignmentsResponseTopicPartition()
			p.Partition = want.Partition
			p.ErrorCode, p.ErrorMessage = k.reassignOne(ctx, t.Topic, want, fixed)
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

// reassignOne leads one partition to other replicas; fixed refuses another
// number of them.
func (k *Listener) reassignOne(ctx context.Context, topic string,
	want *kmsg.AlterPartitionAssignmentsRequestTopicPartition, fixed bool,
) (code int16, text *string) {
	info, err := k.broker.PartitionState(topic, want.Partition)
	if err != nil {
		return codeOf(err), message(err)
	}
	if want.Replicas == nil {
		if len(info.Target) == 0 {
			s := "no reassignment of the partition is under way"
			return codeNoReassignment, &s
		}
		_, err = k.broker.CancelReassign(ctx, topic, want.Partition)
		return codeOf(err), message(err)
	}
	if now := replicationOf(&info); fixed && len(want.Replicas) != now {
		err = fmt.Errorf("%w: %d replicas where the partition has %d", server.ErrInvalidReplication, len(want.Replicas), now)
		return codeOf(err), message(err)
	}
	if _, err = k.broker.Reassign(ctx, topic, want.Partition, want.Replicas); err != nil {
		code = codeOf(err)
		if code == codeInvalidReplication || code == codeBrokerNotAvailable || code == codeInvalidRequest {
			code = codeInvalidAssignment
		}
	}
	return code, message(err)
}

// replicationOf is how many replicas a partition has, or will have when its
// reassignment is through.
func replicationOf(info *server.PartitionInfo) int {
	if len(info.Target) > 0 {
		return len(info.Target)
	}
	return len(info.Replicas)
}

// listReassignments answers ListPartitionReassignments: of the partitions
// asked for, or of all, those that are being reassigned.
func (k *Listener) listReassignments(_ context.Context, req *kmsg.ListPartitionReassignmentsRequest) kmsg.Response {
	resp := kmsg.NewPtrListPartitionReassignmentsResponse()
	if req.Topics == nil {
		k.allTopics(func(t server.Topic) { k.listReassigned(resp, t.Name, nil) })
		return resp
	}
	for i := range req.Topics {
		k.listReassigned(resp, req.Topics[i].Topic, req.Topics[i].Partitions)
	}
	return resp
}

// listReassigned adds what is under way of a topic: of the partitions that are
// wanted, nil for all.
func (k *Listener) listReassigned(resp *kmsg.ListPartitionReassignmentsResponse, topic string, wanted []int32) {
	infos, err := k.broker.PartitionStates(topic)
	if err != nil {
		return // nothing of it is reassigned
	}
	t := kmsg.NewListPartitionReassignmentsResponseTopic()
	t.Topic = topic
	for i := range infos {
		info := &infos[i]
		if len(info.Target) == 0 || wanted != nil && !slices.Contains(wanted, info.Partition) {
			continue
		}
		p := kmsg.NewListPartitionReassignmentsResponseTopicPartition()
		p.Partition, p.Replicas = info.Partition, info.Replicas
		p.AddingReplicas, p.RemovingReplicas = without(info.Target, info.ISR), without(info.Replicas, info.Target)
		t.Partitions = append(t.Partitions, p)
	}
	if len(t.Partitions) > 0 {
		resp.Topics = append(resp.Topics, t)
	}
}

// without are the nodes of a list that are not in another one.
func without(list, other []server.NodeID) []int32 {
	rest := []int32{}
	for _, id := range list {
		if !slices.Contains(other, id) {
			rest = append(rest, id)
		}
	}
	return rest
}
