package kafka

import (
	"context"
	"sort"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/chroniklog/chronik/server"
)

// endpointBrokers is the only kind of endpoint that DescribeCluster knows
// here; controllers have no listener of their own.
const endpointBrokers = 1

// describeCluster answers DescribeCluster.
func (k *Listener) describeCluster(_ context.Context, req *kmsg.DescribeClusterRequest) kmsg.Response {
	resp := kmsg.NewPtrDescribeClusterResponse()
	info := k.broker.Cluster()
	if req.Version >= 1 {
		switch {
		case req.EndpointType == 2:
			resp.ErrorCode = codeMismatchedEndpoint
			return resp
		case req.EndpointType != endpointBrokers:
			resp.ErrorCode = codeUnsupportedEndpoint
			return resp
		}
	}
	resp.ClusterID, resp.ControllerID = info.ClusterID, controller(&info)
	for _, e := range endpoints(&info, req.IncludeFencedBrokers) {
		b := kmsg.NewDescribeClusterResponseBroker()
		b.NodeID, b.Host, b.Port, b.IsFenced = e.id, e.host, e.port, e.fenced
		resp.Brokers = append(resp.Brokers, b)
	}
	return resp
}

// mostDescribed bounds the partitions of one answer to
// DescribeTopicPartitions.
const mostDescribed = 2000

// describeTopicPartitions answers DescribeTopicPartitions (KIP-966): topics in
// the order of their names, in pages.
func (k *Listener) describeTopicPartitions(_ context.Context, req *kmsg.DescribeTopicPartitionsRequest) kmsg.Response {
	resp := kmsg.NewPtrDescribeTopicPartitionsResponse()
	info := k.broker.Cluster()
	left := int(req.ResponsePartitionLimit)
	if left <= 0 || left > mostDescribed {
		left = mostDescribed
	}
	for _, name := range k.wantedTopics(req) {
		from := int32(0)
		if c := req.Cursor; c != nil {
			if name < c.Topic {
				continue
			}
			if name == c.Topic {
				from = max(c.Partition, 0)
			}
		}
		if left <= 0 {
			resp.NextCursor = cursorAt(name, from)
			break
		}
		answer, next := k.describePart(&info, name, from, left)
		left -= max(len(answer.Partitions), 1)
		resp.Topics = append(resp.Topics, answer)
		if next >= 0 {
			resp.NextCursor = cursorAt(name, next)
			break
		}
	}
	return resp
}

func cursorAt(topic string, p int32) *kmsg.DescribeTopicPartitionsResponseNextCursor {
	c := kmsg.NewDescribeTopicPartitionsResponseNextCursor()
	c.Topic, c.Partition = topic, p
	return &c
}

// wantedTopics are the names to describe, sorted; none means all.
func (k *Listener) wantedTopics(req *kmsg.DescribeTopicPartitionsRequest) []string {
	var names []string
	for i := range req.Topics {
		names = append(names, req.Topics[i].Topic)
	}
	if len(req.Topics) == 0 {
		k.allTopics(func(t server.Topic) { names = append(names, t.Name) })
	}
	sort.Strings(names)
	return names
}

// describePart describes a topic from a partition on. next is the partition at
// which the rest begins, -1 if there is none.
func (k *Listener) describePart(info *server.ClusterInfo, name string, from int32, most int,
) (answer kmsg.DescribeTopicPartitionsResponseTopic, next int32) {
	answer = kmsg.NewDescribeTopicPartitionsResponseTopic()
	answer.Topic = &name
	t, err := k.broker.Topic(name)
	var parts []server.PartitionInfo
	if err == nil {
		parts, err = k.broker.PartitionStates(name)
	}
	if err != nil {
		answer.ErrorCode = codeOf(err)
		if server.CheckTopicName(name) != nil {
			answer.ErrorCode = codeInvalidTopic
		}
		return answer, -1
	}
	answer.TopicID, answer.IsInternal = t.ID, t.Internal
	for i := int(from); i < len(parts); i++ {
		if len(answer.Partitions) == most {
			return answer, int32(i)
		}
		p := kmsg.NewDescribeTopicPartitionsResponseTopicPartition()
		p.Partition, p.LeaderID, p.LeaderEpoch = parts[i].Partition, parts[i].Leader, parts[i].LeaderEpoch
		p.Replicas, p.ISR, p.OfflineReplicas = parts[i].Replicas, parts[i].ISR, away(info, parts[i].Replicas)
		p.EligibleLeaderReplicas, p.LastKnownELR = []int32{}, []int32{}
		if p.LeaderID == 0 {
			p.LeaderID, p.ErrorCode = -1, codeLeaderNotAvailable
		}
		answer.Partitions = append(answer.Partitions, p)
	}
	return answer, -1
}
