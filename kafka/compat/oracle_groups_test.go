package compat

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// member is what a side told a group's member.
type member struct {
	id         string
	generation int32
}

func (s *side) member(group string) member {
	m, _ := s.noted["member "+group].(member)
	return m
}

// groups leads a group through its life, once per version of JoinGroup, and
// asks everything else in all versions while it is stable.
func (o *oracle) groups() {
	o.each("group", func(*side, int16) kmsg.Request { return findCoordinator("g", 0) })
	o.each("transaction", func(*side, int16) kmsg.Request { return findCoordinator("g", 1) })
	o.each("unknown type", func(_ *side, v int16) kmsg.Request {
		if v == 0 {
			return nil
		}
		return findCoordinator("g", 9)
	})
	o.each("without id", func(_ *side, v int16) kmsg.Request {
		return joinGroup(fmt.Sprintf("join-%d", v), "")
	}, func(s *side, v int16, resp kmsg.Response) {
		r := resp.(*kmsg.JoinGroupResponse)
		s.noted[fmt.Sprintf("member join-%d", v)] = member{id: r.MemberID, generation: r.Generation}
	})
	o.each("with id", func(s *side, v int16) kmsg.Request {
		group := fmt.Sprintf("join-%d", v)
		return joinGroup(group, s.member(group).id)
	}, func(s *side, v int16, resp kmsg.Response) {
		r := resp.(*kmsg.JoinGroupResponse)
		s.noted[fmt.Sprintf("member join-%d", v)] = member{id: r.MemberID, generation: r.Generation}
		if v == 4 {
			s.noted["member g"] = s.noted["member join-4"]
		}
	})
	o.each("leader's", func(s *side, v int16) kmsg.Request {
		group := fmt.Sprintf("join-%d", v+4) // one that has not synced, per version
		m := s.member(group)
		req, a := kmsg.NewPtrSyncGroupRequest(), kmsg.NewSyncGroupRequestGroupAssignment()
		req.Group, req.MemberID, req.Generation = group, m.id, m.generation
		req.ProtocolType, req.Protocol = kmsg.StringPtr("consumer"), kmsg.StringPtr("range")
		a.MemberID, a.MemberAssignment = m.id, []byte{0, 0, 0, 0, 0, 0}
		req.GroupAssignment = append(req.GroupAssignment, a)
		return req
	})
	o.stableGroup("join-4")
}

func findCoordinator(key string, kind int8) *kmsg.FindCoordinatorRequest {
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.CoordinatorKey, req.CoordinatorType, req.CoordinatorKeys = key, kind, []string{key}
	return req
}

func joinGroup(group, id string) *kmsg.JoinGroupRequest {
	req, p := kmsg.NewPtrJoinGroupRequest(), kmsg.NewJoinGroupRequestProtocol()
	req.Group, req.MemberID, req.ProtocolType = group, id, "consumer"
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 45_000, 60_000
	p.Name, p.Metadata = "range", []byte{0, 0, 0, 0, 0, 1, 0, 3, 'o', '-', 'a', 0, 0, 0, 0}
	req.Protocols = append(req.Protocols, p)
	return req
}

// stableGroup asks about a group that has one member, then ends it.
func (o *oracle) stableGroup(group string) {
	o.each("", func(s *side, _ int16) kmsg.Request {
		req := kmsg.NewPtrHeartbeatRequest()
		req.Group, req.MemberID, req.Generation = group, s.member(group).id, s.member(group).generation
		return req
	})
	commit := func(offset int64, p int32, meta string) func(s *side, v int16) kmsg.Request {
		return func(s *side, v int16) kmsg.Request {
			req := commitTo(s, v, group, offset, p)
			req.Topics[0].Partitions[0].Metadata = &meta
			req.MemberID, req.Generation = s.member(group).id, s.member(group).generation
			return req
		}
	}
	o.each("member's", commit(7, 0, "note"))
	o.each("unknown partition", commit(7, 9, ""))
	o.each("long metadata", commit(7, 0, string(make([]byte, 5000))))
	o.each("stable", func(s *side, v int16) kmsg.Request { return fetchOffsets(s, v, group, false) })
	o.each("stable, all", func(s *side, v int16) kmsg.Request { return fetchOffsets(s, v, group, true) })
	o.each("stable and unknown", func(*side, int16) kmsg.Request {
		req := kmsg.NewPtrDescribeGroupsRequest()
		req.Groups = []string{group, "no-such-group", ""}
		return req
	})
	o.each("stable", func(*side, int16) kmsg.Request {
		req := kmsg.NewPtrDeleteGroupsRequest()
		req.Groups = []string{group, "no-such-group", ""}
		return req
	})
	o.each("", func(_ *side, v int16) kmsg.Request {
		req := kmsg.NewPtrListGroupsRequest()
		if v >= 4 {
			req.StatesFilter = []string{"Dead"}
		}
		return req
	})
	o.each("subscribed", func(*side, int16) kmsg.Request { return deleteOffsets(group, "o-a", 0) })
	o.each("last member, then again", func(s *side, _ int16) kmsg.Request {
		req, m := kmsg.NewPtrLeaveGroupRequest(), kmsg.NewLeaveGroupRequestMember()
		req.Group, req.MemberID, m.MemberID = group, s.member(group).id, s.member(group).id
		req.Members = append(req.Members, m)
		return req
	})
	o.each("empty group", func(*side, int16) kmsg.Request { return deleteOffsets(group, "o-a", 9) })
	o.each("empty group's", func(*side, int16) kmsg.Request { return deleteOffsets(group, "o-a", 0) })
	o.each("empty, then again", func(*side, int16) kmsg.Request {
		req := kmsg.NewPtrDeleteGroupsRequest()
		req.Groups = []string{group}
		return req
	})
}

func commitTo(s *side, v int16, group string, offset int64, p int32) *kmsg.OffsetCommitRequest {
	req, t := kmsg.NewPtrOffsetCommitRequest(), kmsg.NewOffsetCommitRequestTopic()
	part := kmsg.NewOffsetCommitRequestTopicPartition()
	req.Group, req.Generation, req.RetentionTimeMillis = group, -1, -1
	t.Topic, part.Partition, part.Offset, part.LeaderEpoch = "o-a", p, offset, -1
	part.Metadata = kmsg.StringPtr("")
	if v >= 10 {
		t.TopicID = s.topicID("o-a")
	}
	t.Partitions = append(t.Partitions, part)
	req.Topics = append(req.Topics, t)
	return req
}

func fetchOffsets(s *side, v int16, group string, all bool) kmsg.Request {
	req, g := kmsg.NewPtrOffsetFetchRequest(), kmsg.NewOffsetFetchRequestGroup()
	req.Group, g.Group, g.MemberEpoch = group, group, -1
	if all {
		if v < 2 {
			return nil
		}
		req.Groups = append(req.Groups, g)
		return req
	}
	t, gt := kmsg.NewOffsetFetchRequestTopic(), kmsg.NewOffsetFetchRequestGroupTopic()
	t.Topic, t.Partitions = "o-a", []int32{0, 1, 9}
	gt.Topic, gt.Partitions = "o-a", []int32{0, 1, 9}
	if v >= 10 {
		gt.TopicID = s.topicID("o-a")
	}
	req.Topics, g.Topics = append(req.Topics, t), append(g.Topics, gt)
	req.Groups = append(req.Groups, g)
	return req
}

func deleteOffsets(group, topic string, p int32) *kmsg.OffsetDeleteRequest {
	req, t := kmsg.NewPtrOffsetDeleteRequest(), kmsg.NewOffsetDeleteRequestTopic()
	part := kmsg.NewOffsetDeleteRequestTopicPartition()
	req.Group, t.Topic, part.Partition = group, topic, p
	t.Partitions = append(t.Partitions, part)
	req.Topics = append(req.Topics, t)
	return req
}

// groupErrors asks of groups what they must refuse.
func (o *oracle) groupErrors() {
	join := func(name string, change func(*kmsg.JoinGroupRequest)) {
		o.each(name, func(*side, int16) kmsg.Request {
			req := joinGroup("bad", "")
			change(req)
			return req
		})
	}
	join("no group", func(r *kmsg.JoinGroupRequest) { r.Group = "" })
	join("short session", func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 1 })
	join("long session", func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 1 << 30 })
	join("unknown member", func(r *kmsg.JoinGroupRequest) { r.MemberID = "stranger" })
	join("no protocols", func(r *kmsg.JoinGroupRequest) { r.Protocols = nil })
	join("no protocol type", func(r *kmsg.JoinGroupRequest) { r.ProtocolType = "" })
	for _, group := range []string{"", "no-such-group", "join-5"} {
		name := fmt.Sprintf("stranger in %q", group)
		o.each(name, func(*side, int16) kmsg.Request {
			req := kmsg.NewPtrSyncGroupRequest()
			req.Group, req.MemberID, req.Generation = group, "stranger", 1
			req.ProtocolType, req.Protocol = kmsg.StringPtr("consumer"), kmsg.StringPtr("range")
			return req
		})
		o.each(name, func(*side, int16) kmsg.Request {
			req := kmsg.NewPtrHeartbeatRequest()
			req.Group, req.MemberID, req.Generation = group, "stranger", 1
			return req
		})
		o.each(name, func(*side, int16) kmsg.Request {
			req, m := kmsg.NewPtrLeaveGroupRequest(), kmsg.NewLeaveGroupRequestMember()
			req.Group, req.MemberID, m.MemberID = group, "stranger", "stranger"
			req.Members = append(req.Members, m)
			return req
		})
		o.each(name, func(s *side, v int16) kmsg.Request {
			req := commitTo(s, v, group, 3, 0)
			req.MemberID, req.Generation = "stranger", 1
			return req
		})
		o.each(name+", offsets", func(s *side, v int16) kmsg.Request { return fetchOffsets(s, v, group, false) })
		o.each(name, func(*side, int16) kmsg.Request { return deleteOffsets(group, "o-a", 0) })
	}
	o.each("stale generation", func(s *side, _ int16) kmsg.Request {
		req := kmsg.NewPtrHeartbeatRequest()
		req.Group, req.MemberID, req.Generation = "join-5", s.member("join-5").id, 99
		return req
	})
	o.each("simple consumer's", func(s *side, v int16) kmsg.Request { return commitTo(s, v, "simple", 3, 0) })
	o.each("simple consumer's", func(s *side, v int16) kmsg.Request { return fetchOffsets(s, v, "simple", true) })
}
