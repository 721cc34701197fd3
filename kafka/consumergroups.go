package kafka

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/chroniklog/chronik/server/group"
)

// answerConsumerHeartbeat answers ConsumerGroupHeartbeat (KIP-848): when what
// it tells is stored.
func answerConsumerHeartbeat(ctx context.Context, c *call, out *output) error {
	req := c.req.(*kmsg.ConsumerGroupHeartbeatRequest)
	resp := kmsg.NewPtrConsumerGroupHeartbeatResponse()
	resp.Version = c.version
	if fault := faultOf(req); fault != "" {
		resp.ErrorCode, resp.ErrorMessage = codeInvalidRequest, &fault
		out.buf = resp.AppendTo(out.buf)
		return nil
	}
	e := consumerHeartbeat(req)
	e.ClientID, e.Host = c.clientID, "/"+hostOf(c.frame.c.nc)
	r, err := c.frame.c.k.groups.ConsumerHeartbeat(ctx, req.Group, e)
	if resp.ErrorCode, resp.ErrorMessage = codeOf(err), message(err); err == nil {
		resp.MemberID, resp.MemberEpoch = &r.MemberID, r.Generation
		resp.HeartbeatIntervalMillis = int32(r.Beat.Every.Milliseconds())
		if r.Beat.Told {
			a := kmsg.NewConsumerGroupHeartbeatResponseAssignment()
			eachTopicID(r.Beat.Assigned, func(id [16]byte, partitions []int32) {
				t := kmsg.NewConsumerGroupHeartbeatResponseAssignmentTopic()
				t.TopicID, t.Partitions = id, partitions
				a.Topics = append(a.Topics, t)
			})
			resp.Assignment = &a
		}
	}
	out.buf = resp.AppendTo(out.buf)
	return nil
}

// clientMemberIDs is the version of ConsumerGroupHeartbeat from which clients
// make their member ids (KIP-1082).
const clientMemberIDs = 1

// faultOf tells what a heartbeat says that no member may.
func faultOf(req *kmsg.ConsumerGroupHeartbeatRequest) string {
	empty := func(s *string) bool { return s != nil && *s == "" }
	joins := req.MemberEpoch == 0
	switch {
	case req.MemberID == "" && (req.Version >= clientMemberIDs || req.MemberEpoch > 0 || req.MemberEpoch == -1):
		return "a member id is missing"
	case req.Group == "":
		return "the group's id is empty"
	case empty(req.InstanceID):
		return "the instance id is empty"
	case empty(req.RackID):
		return "the rack is empty"
	case req.MemberEpoch < group.LeaveStaticEpoch:
		return fmt.Sprintf("there is no member epoch %d", req.MemberEpoch)
	case req.MemberEpoch == group.LeaveStaticEpoch && req.InstanceID == nil:
		return "only a static member leaves for a time: the instance id is missing"
	case joins && req.RebalanceTimeoutMillis == -1:
		return "who joins tells its rebalance timeout"
	case joins && (req.Topics == nil || len(req.Topics) > 0):
		return "who joins owns no partitions, and says so"
	case joins && req.SubscribedTopicNames == nil && req.SubscribedTopicRegex == nil:
		return "who joins says what it subscribes to"
	}
	return ""
}

// consumerHeartbeat is what a request says, for the group.
func consumerHeartbeat(req *kmsg.ConsumerGroupHeartbeatRequest) group.ConsumerHeartbeat {
	e := group.ConsumerHeartbeat{
		MemberID: req.MemberID, Epoch: req.MemberEpoch, Instance: text(req.InstanceID), Rack: text(req.RackID),
		Rebalance: time.Duration(req.RebalanceTimeoutMillis) * time.Millisecond, Names: req.SubscribedTopicNames,
		Regex: req.SubscribedTopicRegex, Assignor: req.ServerAssignor, Said: req.Topics != nil,
	}
	if e.MemberID == "" {
		e.MemberID = newID()
	}
	for i := range req.Topics {
		for _, p := range req.Topics[i].Partitions {
			e.Owned = append(e.Owned, group.PartitionID{Topic: req.Topics[i].TopicID, Partition: p})
		}
	}
	return e
}

// eachTopicID visits partitions, which are in order, by topic.
func eachTopicID(list []group.PartitionID, visit func(id [16]byte, partitions []int32)) {
	for len(list) > 0 {
		n := slices.IndexFunc(list, func(p group.PartitionID) bool { return p.Topic != list[0].Topic })
		if n < 0 {
			n = len(list)
		}
		partitions := make([]int32, n)
		for i, p := range list[:n] {
			partitions[i] = p.Partition
		}
		visit(list[0].Topic, partitions)
		list = list[n:]
	}
}

// describeConsumerGroups answers ConsumerGroupDescribe.
func (k *Listener) describeConsumerGroups(ctx context.Context, req *kmsg.ConsumerGroupDescribeRequest) kmsg.Response {
	resp := kmsg.NewPtrConsumerGroupDescribeResponse()
	for _, id := range req.Groups {
		g := kmsg.NewConsumerGroupDescribeResponseGroup()
		g.Group = id
		md, err := k.groups.Describe(ctx, id)
		if err == nil && md.Consumer == nil {
			err = fmt.Errorf("%w: %q is not of the consumer protocol", group.ErrUnknownGroup, id)
		}
		if g.ErrorCode, g.ErrorMessage = codeOf(err), message(err); err == nil {
			g.State, g.Epoch, g.AssignmentEpoch = md.State.String(), md.Generation, md.Consumer.AssignmentEpoch
			g.AssignorName = md.Protocol
			for i := range md.Members {
				g.Members = append(g.Members, k.showConsumer(&md.Members[i]))
			}
		}
		resp.Groups = append(resp.Groups, g)
	}
	return resp
}

// consumerMember is the type of every member of such a group here.
const consumerMember int8 = 1

func (k *Listener) showConsumer(from *group.Member) kmsg.ConsumerGroupDescribeResponseGroupMember {
	m := kmsg.NewConsumerGroupDescribeResponseGroupMember()
	m.MemberID, m.ClientID, m.ClientHost, m.MemberType = from.ID, from.ClientID, from.Host, consumerMember
	if from.Instance != "" {
		m.InstanceID = &from.Instance
	}
	d := from.Consumer
	if d.Rack != "" {
		m.RackID = &d.Rack
	}
	m.MemberEpoch, m.SubscribedTopics, m.SubscribedTopicRegex = d.Epoch, d.Names, &d.Regex
	m.Assignment, m.TargetAssignment = k.assignment(d.Assigned), k.assignment(d.Target)
	return m
}

// assignment names the topics of partitions; one that is gone has no name and
// is left out.
func (k *Listener) assignment(list []group.PartitionID) kmsg.Assignment {
	a := kmsg.NewAssignment()
	eachTopicID(list, func(id [16]byte, partitions []int32) {
		topic, err := k.broker.TopicByID(id)
		if err != nil {
			return
		}
		t := kmsg.NewAssignmentTopicPartition()
		t.TopicID, t.Topic, t.Partitions = id, topic.Name, partitions
		a.TopicPartitions = append(a.TopicPartitions, t)
	})
	return a
}
