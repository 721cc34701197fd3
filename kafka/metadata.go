package kafka

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/chroniklog/chronik/server"
)

// pageSize is how many topics are taken from the broker at a time.
const pageSize = 1000

// metadata answers Metadata: brokers, and topics by name, by id, or all.
func (k *Listener) metadata(ctx context.Context, req *kmsg.MetadataRequest) kmsg.Response {
	resp := kmsg.NewPtrMetadataResponse()
	info := k.broker.Cluster()
	resp.ClusterID, resp.ControllerID = &info.ClusterID, controller(&info)
	for _, e := range endpoints(&info, false) {
		b := kmsg.NewMetadataResponseBroker()
		b.NodeID, b.Host, b.Port = e.id, e.host, e.port
		resp.Brokers = append(resp.Brokers, b)
	}
	// Version 0 has no null: an empty list means all.
	if req.Topics == nil || req.Version == 0 && len(req.Topics) == 0 {
		k.allTopics(func(t server.Topic) {
			resp.Topics = append(resp.Topics, k.describeTopic(&info, t))
		})
		return resp
	}
	create := req.Version < 4 || req.AllowAutoTopicCreation
	asked := once[fetchKey]{}
	for i := range req.Topics {
		if asked.again(fetchKey{name: text(req.Topics[i].Topic), id: req.Topics[i].TopicID}) {
			continue // Kafka takes them for a set, too
		}
		resp.Topics = append(resp.Topics, k.findTopic(ctx, &info, &req.Topics[i], create))
	}
	return resp
}

// allTopics visits every topic by name.
func (k *Listener) allTopics(visit func(server.Topic)) {
	for after, more := "", true; more; {
		var list []server.Topic
		list, more = k.broker.Topics("", after, pageSize)
		for _, t := range list {
			visit(t)
			after = t.Name
		}
	}
}

// findTopic describes a topic that was asked for by id or name.
func (k *Listener) findTopic(ctx context.Context, info *server.ClusterInfo, want *kmsg.MetadataRequestTopic,
	create bool,
) kmsg.MetadataResponseTopic {
	t, err := k.resolve(ctx, want, create)
	if err == nil {
		return k.describeTopic(info, t)
	}
	answer := kmsg.NewMetadataResponseTopic()
	answer.ErrorCode, answer.Topic, answer.TopicID = codeOf(err), want.Topic, want.TopicID
	if want.Topic == nil && errors.Is(err, server.ErrUnknownTopic) {
		answer.ErrorCode = codeUnknownTopicID
	}
	return answer
}

func (k *Listener) resolve(ctx context.Context, want *kmsg.MetadataRequestTopic, create bool) (server.Topic, error) {
	if want.Topic == nil {
		return k.broker.TopicByID(want.TopicID)
	}
	ctx, cancel := context.WithTimeout(ctx, maxTimeout)
	defer cancel()
	return k.broker.ResolveTopic(ctx, *want.Topic, create)
}

func (k *Listener) describeTopic(info *server.ClusterInfo, t server.Topic) kmsg.MetadataResponseTopic {
	answer := kmsg.NewMetadataResponseTopic()
	answer.Topic, answer.TopicID, answer.IsInternal = &t.Name, t.ID, t.Internal
	parts, err := k.broker.PartitionStates(t.Name)
	if err != nil {
		answer.ErrorCode = codeOf(err)
		return answer
	}
	answer.Partitions = make([]kmsg.MetadataResponseTopicPartition, 0, len(parts))
	for i := range parts {
		p := kmsg.NewMetadataResponseTopicPartition()
		p.Partition, p.Leader, p.LeaderEpoch = parts[i].Partition, parts[i].Leader, parts[i].LeaderEpoch
		p.Replicas, p.ISR = parts[i].Replicas, parts[i].ISR
		p.OfflineReplicas = away(info, parts[i].Replicas)
		if p.Leader == 0 {
			p.Leader, p.ErrorCode = -1, codeLeaderNotAvailable
		}
		answer.Partitions = append(answer.Partitions, p)
	}
	return answer
}
