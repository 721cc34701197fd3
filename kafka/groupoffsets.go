package kafka

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/coordinator"
	"github.com/chroniklog/chronik/server/group"
)

// memberEpochs is the version of OffsetCommit from which a generation may be the
// epoch of a member of the consumer protocol.
const memberEpochs = 9

// Version of OffsetCommit and OffsetFetch from which topics are named by id.
const offsetTopicIDs = 10

// known finds a topic by name or, from offsetTopicIDs on, by id.
func (k *Listener) known(version int16, name string, id [16]byte) (server.Topic, int16) {
	if version < offsetTopicIDs {
		t, err := k.broker.Topic(name)
		return t, codeOf(err)
	}
	t, err := k.broker.TopicByID(id)
	if errors.Is(err, server.ErrUnknownTopic) {
		return t, codeUnknownTopicID
	}
	return t, codeOf(err)
}

// offsetCommit answers OffsetCommit: when the offsets are on every in-sync
// replica. A partition that can't be committed does not hold the others up.
func (k *Listener) offsetCommit(ctx context.Context, req *kmsg.OffsetCommitRequest) kmsg.Response {
	resp := kmsg.NewPtrOffsetCommitResponse()
	commits := make(map[group.TopicPartition]group.Commit)
	for i := range req.Topics {
		want := &req.Topics[i]
		t := kmsg.NewOffsetCommitResponseTopic()
		t.Topic, t.TopicID = want.Topic, want.TopicID
		topic, code := k.known(req.Version, want.Topic, want.TopicID)
		for j := range want.Partitions {
			p := kmsg.NewOffsetCommitResponseTopicPartition()
			p.Partition, p.ErrorCode = want.Partitions[j].Partition, code
			if code == codeNone {
				p.ErrorCode = commitOf(commits, topic, &want.Partitions[j])
			}
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	err := k.groups.Commit(ctx, coordinator.Committer{
		Group: req.Group, MemberID: req.MemberID, Instance: text(req.InstanceID), Generation: req.Generation,
		Old: req.Version < memberEpochs,
	}, commits)
	if code := codeOf(err); code != codeNone {
		for i := range resp.Topics {
			for j := range resp.Topics[i].Partitions {
				resp.Topics[i].Partitions[j].ErrorCode = code
			}
		}
	}
	return resp
}

// commitOf notes what a partition commits; the code refuses it.
func commitOf(commits map[group.TopicPartition]group.Commit, t server.Topic,
	p *kmsg.OffsetCommitRequestTopicPartition,
) int16 {
	metadata := text(p.Metadata)
	switch {
	case p.Partition < 0 || p.Partition >= t.Partitions:
		return codeUnknownTopic
	case len(metadata) > group.MaxOffsetMetadata:
		return codeOf(group.ErrMetadataTooLarge)
	}
	commits[group.TopicPartition{Topic: t.Name, Partition: p.Partition}] = group.Commit{
		Offset: p.Offset, LeaderEpoch: p.LeaderEpoch, Metadata: metadata,
	}
	return codeNone
}

// offsetFetch answers OffsetFetch: of one group, from version 8 on of several.
func (k *Listener) offsetFetch(ctx context.Context, req *kmsg.OffsetFetchRequest) kmsg.Response {
	resp := kmsg.NewPtrOffsetFetchResponse()
	if req.Version >= 8 {
		for i := range req.Groups {
			resp.Groups = append(resp.Groups, k.fetchGroup(ctx, req.Version, &req.Groups[i]))
		}
		return resp
	}
	one := kmsg.NewOffsetFetchRequestGroup()
	one.Group = req.Group
	if req.Topics != nil {
		one.Topics = []kmsg.OffsetFetchRequestGroupTopic{}
	}
	for i := range req.Topics {
		t := kmsg.NewOffsetFetchRequestGroupTopic()
		t.Topic, t.Partitions = req.Topics[i].Topic, req.Topics[i].Partitions
		one.Topics = append(one.Topics, t)
	}
	found := k.fetchGroup(ctx, req.Version, &one)
	resp.ErrorCode = found.ErrorCode
	if req.Version < 2 && found.ErrorCode != codeNone { // there is no other place for it
		found.Topics = refusedTopics(&one, found.ErrorCode)
	}
	for i := range found.Topics {
		t := kmsg.NewOffsetFetchResponseTopic()
		t.Topic = found.Topics[i].Topic
		for _, from := range found.Topics[i].Partitions {
			p := kmsg.NewOffsetFetchResponseTopicPartition()
			p.Partition, p.Offset, p.LeaderEpoch = from.Partition, from.Offset, from.LeaderEpoch
			p.Metadata, p.ErrorCode = from.Metadata, from.ErrorCode
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

func refusedTopics(want *kmsg.OffsetFetchRequestGroup, code int16) (list []kmsg.OffsetFetchResponseGroupTopic) {
	for i := range want.Topics {
		t := kmsg.NewOffsetFetchResponseGroupTopic()
		t.Topic = want.Topics[i].Topic
		for _, index := range want.Topics[i].Partitions {
			p := offsetOf(nil, group.TopicPartition{Partition: index})
			p.ErrorCode = code
			t.Partitions = append(t.Partitions, p)
		}
		list = append(list, t)
	}
	return list
}

// fetchGroup finds a group's offsets: those asked for, or all.
func (k *Listener) fetchGroup(ctx context.Context, version int16, want *kmsg.OffsetFetchRequestGroup,
) kmsg.OffsetFetchResponseGroup {
	answer := kmsg.NewOffsetFetchResponseGroup()
	answer.Group = want.Group
	who := coordinator.Committer{Group: want.Group, Generation: -1}
	if want.MemberID != nil {
		who.MemberID, who.Generation = *want.MemberID, want.MemberEpoch
	}
	all, err := k.groups.OffsetsFor(ctx, who)
	if answer.ErrorCode = codeOf(err); err != nil {
		return answer
	}
	if want.Topics == nil {
		answer.Topics = k.everyOffset(version, all)
		return answer
	}
	for i := range want.Topics {
		t := kmsg.NewOffsetFetchResponseGroupTopic()
		t.Topic, t.TopicID = want.Topics[i].Topic, want.Topics[i].TopicID
		name, code := t.Topic, codeNone
		if version >= offsetTopicIDs {
			var topic server.Topic
			topic, code = k.known(version, "", t.TopicID)
			name = topic.Name
		}
		for _, index := range want.Topics[i].Partitions {
			p := offsetOf(all, group.TopicPartition{Topic: name, Partition: index})
			p.ErrorCode = code
			t.Partitions = append(t.Partitions, p)
		}
		answer.Topics = append(answer.Topics, t)
	}
	return answer
}

// everyOffset lists all offsets of a group; by id only those whose topic
// exists.
func (k *Listener) everyOffset(version int16, all map[group.TopicPartition]group.Commit,
) (list []kmsg.OffsetFetchResponseGroupTopic) {
	at := make(map[string]int)
	for tp := range all {
		i, seen := at[tp.Topic]
		if !seen {
			t := kmsg.NewOffsetFetchResponseGroupTopic()
			t.Topic = tp.Topic
			if version >= offsetTopicIDs {
				topic, err := k.broker.Topic(tp.Topic)
				if err != nil {
					continue
				}
				t.TopicID = topic.ID
			}
			i = len(list)
			at[tp.Topic] = i
			list = append(list, t)
		}
		list[i].Partitions = append(list[i].Partitions, offsetOf(all, tp))
	}
	return list
}

// offsetOf is a partition's committed offset, -1 if there is none.
func offsetOf(all map[group.TopicPartition]group.Commit, tp group.TopicPartition,
) kmsg.OffsetFetchResponseGroupTopicPartition {
	p := kmsg.NewOffsetFetchResponseGroupTopicPartition()
	p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = tp.Partition, -1, -1, kmsg.StringPtr("")
	if c, ok := all[tp]; ok {
		p.Offset, p.LeaderEpoch, p.Metadata = c.Offset, c.LeaderEpoch, &c.Metadata
	}
	return p
}

// offsetDelete answers OffsetDelete.
func (k *Listener) offsetDelete(ctx context.Context, req *kmsg.OffsetDeleteRequest) kmsg.Response {
	resp := kmsg.NewPtrOffsetDeleteResponse()
	var which []group.TopicPartition
	for i := range req.Topics {
		for j := range req.Topics[i].Partitions {
			which = append(which, group.TopicPartition{
				Topic: req.Topics[i].Topic, Partition: req.Topics[i].Partitions[j].Partition,
			})
		}
	}
	results, err := k.groups.DeleteOffsets(ctx, req.Group, which)
	if resp.ErrorCode = codeOf(err); err != nil {
		return resp
	}
	n := 0
	for i := range req.Topics {
		t := kmsg.NewOffsetDeleteResponseTopic()
		t.Topic = req.Topics[i].Topic
		for range req.Topics[i].Partitions {
			p := kmsg.NewOffsetDeleteResponseTopicPartition()
			p.Partition, p.ErrorCode = which[n].Partition, codeOf(results[n])
			if _, err := k.broker.PartitionState(t.Topic, p.Partition); err != nil {
				p.ErrorCode = codeOf(err)
			}
			t.Partitions = append(t.Partitions, p)
			n++
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}
