package compat

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// consumers leads groups of the consumer protocol through their lives, one per
// version of the heartbeat.
func (o *oracle) consumers() {
	o.consumerFaults()
	b := beats{o: o, group: "cg"}
	b.send("first joins", "m1", joins)
	b.send("nothing new", "m1", nil)
	b.send("everything again", "m1", owns("o-a", 0, 1))
	b.describe("one member")
	b.send("second joins", "m2", joins)
	b.describe("reconciling")
	b.send("first is told to give up", "m1", nil)
	b.send("first has not given up", "m1", owns("o-a", 0, 1))
	b.send("second waits", "m2", nil)
	b.offsets("giving up")
	b.send("first gives up", "m1", owns("o-a", 0))
	b.send("second gets it", "m2", nil)
	b.send("second says so", "m2", owns("o-a", 1))
	b.describe("two members")
	b.offsets("stable")
	b.send("joins with its id again", "m2", func(_ *side, req *kmsg.ConsumerGroupHeartbeatRequest) {
		full(req)
		req.MemberEpoch = 0
	})
	b.send("unknown member", "m9", epoch(3))
	b.send("unknown member leaves", "m9", epoch(-1))
	b.send("newer epoch", "m1", epoch(99))
	b.send("older epoch", "m1", epoch(1))
	b.send("bad assignor", "m1", func(_ *side, req *kmsg.ConsumerGroupHeartbeatRequest) {
		req.ServerAssignor = kmsg.StringPtr("nonsense")
	})
	b.send("other topics", "m1", func(_ *side, req *kmsg.ConsumerGroupHeartbeatRequest) {
		req.SubscribedTopicNames = []string{"o-bad", "no-such-topic"}
	})
	b.send("other topics, given up", "m1", func(s *side, req *kmsg.ConsumerGroupHeartbeatRequest) {
		full(req)
		req.SubscribedTopicNames = []string{"o-bad", "no-such-topic"}
	})
	b.describe("different topics")
	b.send("second leaves", "m2", epoch(-1))
	b.describe("one has left")
	b.strangers()
	b.send("last leaves", "m1", epoch(-1))
	b.describe("empty")
	b.list("Empty")
	b.send("late", "m1", epoch(5))
	o.each("consumer group, then again", func(*side, int16) kmsg.Request {
		req := kmsg.NewPtrDeleteGroupsRequest()
		req.Groups = []string{"cg-0", "cg-1", "simple"}
		return req
	})
	o.statics()
	o.regexes()
	o.conversions()
}

// consumerFaults are heartbeats that no group takes.
func (o *oracle) consumerFaults() {
	bad := func(what string, change func(*kmsg.ConsumerGroupHeartbeatRequest)) {
		o.each("bad: "+what, func(_ *side, v int16) kmsg.Request {
			req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
			req.Group, req.MemberID = "cg-bad", "m"
			full(req)
			if change(req); v == 0 {
				req.SubscribedTopicRegex = nil
			}
			return req
		})
	}
	bad("no group", func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.Group = "" })
	bad("no member", func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberID, r.MemberEpoch = "", 1 })
	bad("no member leaves", func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberID, r.MemberEpoch = "", -1 })
	bad("empty instance", func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.InstanceID = kmsg.StringPtr("") })
	bad("empty rack", func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.RackID = kmsg.StringPtr("") })
	bad("no timeout", func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.RebalanceTimeoutMillis = -1 })
	bad("owns", func(r *kmsg.ConsumerGroupHeartbeatRequest) {
		r.Topics = append(r.Topics, kmsg.NewConsumerGroupHeartbeatRequestTopic())
	})
	bad("does not say what it owns", func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.Topics = nil })
	bad("no topics", func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.SubscribedTopicNames = nil })
	bad("empty topics", func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.SubscribedTopicNames = []string{} })
	bad("epoch -3", func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberEpoch = -3 })
	bad("static leave without instance", func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberEpoch = -2 })
	bad("leaves no group", func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberEpoch = -1 })
	bad("static leaves no group", func(r *kmsg.ConsumerGroupHeartbeatRequest) {
		r.MemberEpoch, r.InstanceID = -2, kmsg.StringPtr("i")
	})
	bad("no such group", func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberEpoch = 1 })
	bad("assignor", func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.ServerAssignor = kmsg.StringPtr("nonsense") })
	bad("regex", func(r *kmsg.ConsumerGroupHeartbeatRequest) {
		r.SubscribedTopicNames, r.SubscribedTopicRegex = nil, kmsg.StringPtr("(")
	})
	bad("classic group", func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.Group, r.MemberEpoch = "join-5", 1 })
	o.each("unknown and classic", func(*side, int16) kmsg.Request {
		req := kmsg.NewPtrConsumerGroupDescribeRequest()
		req.Groups = []string{"no-such-group", "join-5", "simple"}
		return req
	})
}

// statics are members with instance ids.
func (o *oracle) statics() {
	b := beats{o: o, group: "cs"}
	as := func(instance string, change func(*side, *kmsg.ConsumerGroupHeartbeatRequest),
	) func(*side, *kmsg.ConsumerGroupHeartbeatRequest) {
		return func(s *side, req *kmsg.ConsumerGroupHeartbeatRequest) {
			if change != nil {
				change(s, req)
			}
			req.InstanceID = &instance
		}
	}
	b.send("static joins", "m1", as("i", joins))
	b.send("static, everything", "m1", as("i", owns("o-a", 0, 1)))
	b.send("held instance", "m2", as("i", joins))
	b.send("other member's instance", "m2", as("i", epoch(1)))
	b.send("unknown instance", "m1", as("j", epoch(1)))
	b.send("other member leaves for the instance", "m2", as("i", epoch(-2)))
	b.send("static leaves for a time", "m1", as("i", epoch(-2)))
	b.describe("static has left for a time")
	b.send("static returns", "m2", as("i", joins))
	b.describe("static has returned")
	b.send("static returns once more", "m2", as("i", joins))
	b.send("old static", "m1", as("i", epoch(1)))
	b.send("static leaves", "m2", as("i", epoch(-1)))
	b.describe("static has left")
}

// regexes are subscriptions by regex.
func (o *oracle) regexes() {
	b := beats{o: o, group: "cr"}
	b.send("regex joins", "m1", func(_ *side, req *kmsg.ConsumerGroupHeartbeatRequest) {
		joins(nil, req)
		if req.SubscribedTopicRegex = kmsg.StringPtr("o-(a|bad)"); req.Version > 0 {
			req.SubscribedTopicNames = nil
		}
	})
	for range 100 { // Kafka matches behind the member's back
		req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		req.Version, req.Group, req.MemberID, req.MemberEpoch = 1, b.name(1), "m1", b.epochOf(o.kafka, 1, "m1")
		resp, err := o.kafka.ask(req)
		if err != nil {
			o.t.Fatal(err)
		}
		r := resp.(*kmsg.ConsumerGroupHeartbeatResponse)
		o.kafka.noted[b.name(1)+" m1"] = r.MemberEpoch
		if r.Assignment != nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	b.describe("regex")
	b.send("no regex", "m1", func(_ *side, req *kmsg.ConsumerGroupHeartbeatRequest) {
		req.SubscribedTopicRegex, req.SubscribedTopicNames = kmsg.StringPtr(""), []string{"o-a"}
	})
}

// conversions are members of one protocol that come to a group of the other.
func (o *oracle) conversions() {
	b := beats{o: o, group: "cc"}
	b.send("consumer", "m1", joins)
	join := func(v int16) kmsg.Request { return joinGroup(b.name(0), "") }
	o.each("consumers'", func(_ *side, v int16) kmsg.Request { return join(v) })
	o.each("consumers', as one of them", func(_ *side, v int16) kmsg.Request { return joinGroup(b.name(0), "m1") })
	b.send("consumer leaves", "m1", epoch(-1))
	o.each("consumers' that is empty", func(_ *side, v int16) kmsg.Request {
		if v != 3 {
			return nil // it joins at once, without being given an id first
		}
		return join(v)
	}, func(s *side, v int16, resp kmsg.Response) {
		s.noted["member "+b.name(0)] = member{id: resp.(*kmsg.JoinGroupResponse).MemberID}
	})
	b.send("into a classic group", "m1", func(s *side, req *kmsg.ConsumerGroupHeartbeatRequest) {
		joins(s, req)
		req.Group = b.name(0)
	})
	b.send("of a classic group", "m1", func(_ *side, req *kmsg.ConsumerGroupHeartbeatRequest) {
		req.Group, req.MemberEpoch = b.name(0), 1
	})
	b.send("leaves a classic group", "m1", func(_ *side, req *kmsg.ConsumerGroupHeartbeatRequest) {
		req.Group, req.MemberEpoch = b.name(0), -1
	})
	o.each("of a classic group", func(s *side, _ int16) kmsg.Request {
		req, m := kmsg.NewPtrLeaveGroupRequest(), kmsg.NewLeaveGroupRequestMember()
		req.Group, req.MemberID, m.MemberID = b.name(0), s.member(b.name(0)).id, s.member(b.name(0)).id
		req.Members = append(req.Members, m)
		return req
	})
	b.send("into an empty classic group", "m1", func(s *side, req *kmsg.ConsumerGroupHeartbeatRequest) {
		joins(s, req)
		req.Group = b.name(0)
	})
	b.describe("converted")
	o.each("of a consumer group", func(s *side, v int16) kmsg.Request {
		req, m := kmsg.NewPtrLeaveGroupRequest(), kmsg.NewLeaveGroupRequestMember()
		req.Group, req.MemberID, m.MemberID = b.name(0), "m1", "m1"
		req.Members = append(req.Members, m)
		return req
	})
}

// full has a request say everything that a member says when it joins.
func full(req *kmsg.ConsumerGroupHeartbeatRequest) {
	req.RebalanceTimeoutMillis, req.SubscribedTopicNames = 60_000, []string{"o-a"}
	req.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
}

func joins(_ *side, req *kmsg.ConsumerGroupHeartbeatRequest) {
	full(req)
	req.MemberEpoch = 0
}

func owns(topic string, partitions ...int32) func(*side, *kmsg.ConsumerGroupHeartbeatRequest) {
	return func(s *side, req *kmsg.ConsumerGroupHeartbeatRequest) {
		full(req)
		t := kmsg.NewConsumerGroupHeartbeatRequestTopic()
		t.TopicID, t.Partitions = s.topicID(topic), partitions
		req.Topics = append(req.Topics, t)
	}
}

func epoch(n int32) func(*side, *kmsg.ConsumerGroupHeartbeatRequest) {
	return func(_ *side, req *kmsg.ConsumerGroupHeartbeatRequest) { req.MemberEpoch = n }
}

// beats sends heartbeats to a group per version.
type beats struct {
	o     *oracle
	group string
}

func (b *beats) name(v int16) string { return fmt.Sprintf("%s-%d", b.group, v) }

func (b *beats) epochOf(s *side, v int16, member string) int32 {
	n, _ := s.noted[b.name(v)+" "+member].(int32)
	return n
}

// send sends the heartbeat of a member in the epoch that it was told.
func (b *beats) send(what, member string, change func(*side, *kmsg.ConsumerGroupHeartbeatRequest)) {
	b.o.t.Helper()
	b.o.each(what, func(s *side, v int16) kmsg.Request {
		req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		req.Group, req.MemberID, req.MemberEpoch = b.name(v), member, b.epochOf(s, v, member)
		if change != nil {
			change(s, req)
		}
		return req
	}, func(s *side, v int16, resp kmsg.Response) {
		if r := resp.(*kmsg.ConsumerGroupHeartbeatResponse); r.ErrorCode == 0 {
			s.noted[b.name(v)+" "+member] = r.MemberEpoch
		}
	})
}

// describe asks for both groups, as groups of either protocol.
func (b *beats) describe(what string) {
	b.o.t.Helper()
	groups := []string{b.name(0), b.name(1)}
	b.o.each(what, func(*side, int16) kmsg.Request {
		req := kmsg.NewPtrConsumerGroupDescribeRequest()
		req.Groups = groups
		return req
	})
	b.o.each("consumer group, "+what, func(*side, int16) kmsg.Request {
		req := kmsg.NewPtrDescribeGroupsRequest()
		req.Groups = groups
		return req
	})
}

// list asks for the groups of the protocol in a state.
func (b *beats) list(state string) {
	b.o.each("of consumers", func(_ *side, v int16) kmsg.Request {
		if v < 5 {
			return nil
		}
		req := kmsg.NewPtrListGroupsRequest()
		req.StatesFilter, req.TypesFilter = []string{state}, []string{"Consumer"}
		return req
	})
}

// offsets commits and fetches as a member, in its epoch and in others.
func (b *beats) offsets(what string) {
	b.o.t.Helper()
	for _, who := range []struct {
		what, member string
		epoch        int32 // that is added to the member's
	}{{"", "m1", 0}, {", older", "m1", -1}, {", newer", "m1", 1}, {", stranger", "m9", 1}, {", nobody", "", 0}} {
		at := func(s *side) int32 {
			if who.member == "" {
				return -1
			}
			return b.epochOf(s, 1, who.member) + who.epoch
		}
		b.o.each("consumer "+what+who.what, func(s *side, v int16) kmsg.Request {
			req := commitTo(s, v, b.name(1), 5, 0)
			req.MemberID, req.Generation = who.member, at(s)
			return req
		})
		b.o.each("consumer "+what+who.what, func(s *side, v int16) kmsg.Request {
			if v < 9 {
				return nil
			}
			req := fetchOffsets(s, v, b.name(1), false).(*kmsg.OffsetFetchRequest)
			req.Groups[0].MemberEpoch = at(s)
			if who.member != "" {
				req.Groups[0].MemberID = &who.member
			}
			return req
		})
	}
	b.o.each("consumers' "+what, func(*side, int16) kmsg.Request { return deleteOffsets(b.name(1), "o-a", 0) })
}

// strangers are requests of the classic protocol.
func (b *beats) strangers() {
	group := b.name(1)
	b.o.each("consumers'", func(*side, int16) kmsg.Request {
		req := kmsg.NewPtrHeartbeatRequest()
		req.Group, req.MemberID, req.Generation = group, "m1", 1
		return req
	})
	b.o.each("consumers'", func(*side, int16) kmsg.Request {
		req := kmsg.NewPtrSyncGroupRequest()
		req.Group, req.MemberID, req.Generation = group, "m1", 1
		req.ProtocolType, req.Protocol = kmsg.StringPtr("consumer"), kmsg.StringPtr("range")
		return req
	})
	b.o.each("consumers'", func(*side, int16) kmsg.Request {
		req, m := kmsg.NewPtrLeaveGroupRequest(), kmsg.NewLeaveGroupRequestMember()
		req.Group, req.MemberID, m.MemberID = group, "m9", "m9"
		req.Members = append(req.Members, m)
		return req
	})
	b.o.each("consumers'", func(*side, int16) kmsg.Request {
		req := kmsg.NewPtrDeleteGroupsRequest()
		req.Groups = []string{group}
		return req
	})
}
