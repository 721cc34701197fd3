package kafka_test

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/chroniklog/chronik/kafka"
)

// idleMember is a member of a group on a connection of its own, to which
// nothing is assigned.
type idleMember struct {
	*raw
	group, id string
	sent      int32
}

// A thousand members, each with a connection and a group of its own, cost some
// kilobytes and no goroutine beyond those of their connections; they are
// served, and nothing is left of them when the node ends (TestMain looks).
func TestIdleMembersAreCheap(t *testing.T) {
	const members, perMember = 1000, 64 << 10
	b := start(t, kafka.Limits{})
	enter([]*idleMember{{raw: b.raw(t), group: "warm"}})
	bytes, goroutines := footprint()
	var all []*idleMember
	for i := range members {
		all = append(all, &idleMember{raw: b.raw(t), group: fmt.Sprint("g", i)})
	}
	enter(all)
	bytesNow, goroutinesNow := footprint()
	t.Logf("%d bytes, %.2f goroutines each", (bytesNow-bytes)/len(all),
		float64(goroutinesNow-goroutines)/float64(len(all)))
	if cost := (bytesNow - bytes) / len(all); cost > perMember {
		t.Errorf("%d bytes for each member, at most %d are expected", cost, perMember)
	}
	if more := goroutinesNow - goroutines; more > 2*len(all)+100 {
		t.Errorf("%d goroutines for %d members", more, len(all))
	}
	for _, m := range all {
		req := kmsg.NewPtrHeartbeatRequest()
		req.Version, req.Group, req.MemberID, req.Generation = 3, m.group, m.id, 1
		if code := m.ask(req).(*kmsg.HeartbeatResponse).ErrorCode; code != 0 {
			t.Fatalf("heartbeat of %s in %s: error %d", m.id, m.group, code)
		}
	}
}

// enter has members join their groups, all at once.
func enter(members []*idleMember) {
	for _, m := range members {
		m.find()
		m.sent = m.send(m.join())
	}
	for _, m := range members {
		joined := m.receive(m.join(), m.sent).(*kmsg.JoinGroupResponse)
		if joined.ErrorCode != 0 || joined.Generation != 1 {
			m.t.Fatalf("join %s: error %d, generation %d", m.group, joined.ErrorCode, joined.Generation)
		}
		m.id = joined.MemberID
		m.sent = m.send(m.sync())
	}
	for _, m := range members {
		if code := m.receive(m.sync(), m.sent).(*kmsg.SyncGroupResponse).ErrorCode; code != 0 {
			m.t.Fatalf("sync %s: error %d", m.group, code)
		}
	}
}

func (m *idleMember) find() {
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.CoordinatorKey = m.group
	if code := m.ask(req).(*kmsg.FindCoordinatorResponse).ErrorCode; code != 0 {
		m.t.Fatalf("find the coordinator of %s: error %d", m.group, code)
	}
}

func (m *idleMember) join() *kmsg.JoinGroupRequest {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Version, req.Group, req.ProtocolType = 3, m.group, "consumer" // 3: at once, without an id first
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 60_000, 60_000
	p := kmsg.NewJoinGroupRequestProtocol()
	p.Name = "range"
	req.Protocols = append(req.Protocols, p)
	return req
}

func (m *idleMember) sync() *kmsg.SyncGroupRequest {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Version, req.Group, req.MemberID, req.Generation = 3, m.group, m.id, 1
	return req
}
