package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/chroniklog/chronik/raft/meta"
	"github.com/chroniklog/chronik/server"
)

// Kinds of elections (KIP-460).
const (
	electPreferred int8 = 0
	electUnclean   int8 = 1
)

// electLeaders answers ElectLeaders. Without topics it visits all partitions,
// and answers those only that needed an election.
func (k *Listener) electLeaders(ctx context.Context, req *kmsg.ElectLeadersRequest) kmsg.Response {
	ctx, cancel := deadline(ctx, req.TimeoutMillis)
	defer cancel()
	resp := kmsg.NewPtrElectLeadersResponse()
	if req.ElectionType != electPreferred && req.ElectionType != electUnclean {
		resp.ErrorCode = codeInvalidRequest
	}
	all := req.Topics == nil
	for _, want := range k.electionsOf(req) {
		t := kmsg.NewElectLeadersResponseTopic()
		t.Topic = want.Topic
		for _, index := range want.Partitions {
			p := kmsg.NewElectLeadersResponseTopicPartition()
			p.Partition = index
			p.ErrorCode, p.ErrorMessage = k.elect(ctx, req.ElectionType, t.Topic, index)
			if !all || p.ErrorCode != codeElectionNotNeeded {
				t.Partitions = append(t.Partitions, p)
			}
		}
		if len(t.Partitions) > 0 {
			resp.Topics = append(resp.Topics, t)
		}
	}
	return resp
}

// electionsOf are the partitions that a request is about.
func (k *Listener) electionsOf(req *kmsg.ElectLeadersRequest) []kmsg.ElectLeadersRequestTopic {
	if req.Topics != nil {
		return req.Topics
	}
	var list []kmsg.ElectLeadersRequestTopic
	k.allTopics(func(t server.Topic) {
		e := kmsg.NewElectLeadersRequestTopic()
		e.Topic = t.Name
		for p := range t.Partitions {
			e.Partitions = append(e.Partitions, p)
		}
		list = append(list, e)
	})
	return list
}

// elect holds one election. One that is not needed is not put to the
// controller.
func (k *Listener) elect(ctx context.Context, kind int8, topic string, p int32) (code int16, text *string) {
	say := func(code int16, format string, args ...any) (int16, *string) {
		s := fmt.Sprintf(format, args...)
		return code, &s
	}
	if kind != electPreferred && kind != electUnclean {
		return say(codeInvalidRequest, "elections are of kind %d, preferred, or %d, unclean", electPreferred, electUnclean)
	}
	info, err := k.broker.PartitionState(topic, p)
	if err != nil {
		return codeOf(err), message(err)
	}
	switch kind {
	case electUnclean:
		if info.Leader != 0 {
			return say(codeElectionNotNeeded, "node %d leads", info.Leader)
		}
		err = k.broker.ElectUnclean(ctx, topic, p, 0)
		if errors.Is(err, meta.ErrIneligibleReplica) {
			return say(codeEligibleNotAvailable, "none of the replicas %v is alive", info.Replicas)
		}
	case electPreferred:
		preferred := info.Replicas[0]
		if info.Leader == preferred {
			return say(codeElectionNotNeeded, "the preferred replica, %d, leads", preferred)
		}
		err = k.broker.ElectLeader(ctx, topic, p)
		if errors.Is(err, meta.ErrNoElection) {
			return say(codePreferredNotAvailable, "the preferred replica, %d, is away, not in sync or draining", preferred)
		}
	}
	return codeOf(err), message(err)
}
