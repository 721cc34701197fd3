package kafka

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/coordinator"
	"github.com/chroniklog/chronik/server/group"
)

// Groups coordinates consumer groups; *coordinator.Coordinator is one.
type Groups interface {
	Find(ctx context.Context, id string) (server.NodeID, error)
	Join(ctx context.Context, id string, j group.Join) (group.Reply, error)
	Sync(ctx context.Context, id string, e group.Sync) (group.Reply, error)
	Heartbeat(ctx context.Context, id string, e group.Heartbeat) (group.Reply, error)
	Leave(ctx context.Context, id string, e group.Leave) (group.Reply, error)
	Commit(ctx context.Context, who coordinator.Committer, offsets map[group.TopicPartition]group.Commit) error
	OffsetsFor(ctx context.Context, who coordinator.Committer) (map[group.TopicPartition]group.Commit, error)
	ConsumerHeartbeat(ctx context.Context, id string, e group.ConsumerHeartbeat) (group.Reply, error)
	DeleteOffsets(ctx context.Context, id string, which []group.TopicPartition) ([]error, error)
	Delete(ctx context.Context, id string) error
	Describe(ctx context.Context, id string) (*group.Metadata, error)
	List(ctx context.Context) ([]*group.Metadata, error)
}

var _ Groups = (*coordinator.Coordinator)(nil)

// groupAPIs are about consumer groups.
func groupAPIs() []api {
	return []api{
		{key: 10, name: "FindCoordinator", min: 0, max: 6, answer: plain((*Listener).findCoordinator),
			note: "Groups only: of transactions and share groups there are none (INVALID_REQUEST)."},
		{key: 11, name: "JoinGroup", min: 0, max: 9, answer: answerJoinGroup},
		{key: 12, name: "Heartbeat", min: 0, max: 4, answer: plain((*Listener).heartbeat)},
		{key: 13, name: "LeaveGroup", min: 0, max: 5, answer: plain((*Listener).leaveGroup)},
		{key: 14, name: "SyncGroup", min: 0, max: 5, answer: plain((*Listener).syncGroup)},
		{key: 8, name: "OffsetCommit", min: 2, max: 10, answer: plain((*Listener).offsetCommit)},
		{key: 9, name: "OffsetFetch", min: 1, max: 10, answer: plain((*Listener).offsetFetch)},
		{key: 15, name: "DescribeGroups", min: 0, max: 6, answer: plain((*Listener).describeGroups)},
		{key: 16, name: "ListGroups", min: 0, max: 5, answer: plain((*Listener).listGroups)},
		{key: 42, name: "DeleteGroups", min: 0, max: 3, answer: plain((*Listener).deleteGroups)},
		{key: 47, name: "OffsetDelete", min: 0, max: 0, answer: plain((*Listener).offsetDelete)},
		{key: 68, name: "ConsumerGroupHeartbeat", min: 0, max: 1, answer: answerConsumerHeartbeat},
		{key: 69, name: "ConsumerGroupDescribe", min: 0, max: 1, answer: plain((*Listener).describeConsumerGroups)},
	}
}

// findTimeout bounds the creation of the groups' topic, of whose time a
// request says nothing.
const findTimeout = allocateTimeout

// findCoordinator answers FindCoordinator.
func (k *Listener) findCoordinator(ctx context.Context, req *kmsg.FindCoordinatorRequest) kmsg.Response {
	ctx, cancel := context.WithTimeout(ctx, findTimeout)
	defer cancel()
	resp := kmsg.NewPtrFindCoordinatorResponse()
	if req.Version >= 4 {
		for _, key := range req.CoordinatorKeys {
			resp.Coordinators = append(resp.Coordinators, k.coordinatorOf(ctx, key, req.CoordinatorType))
		}
		return resp
	}
	c := k.coordinatorOf(ctx, req.CoordinatorKey, req.CoordinatorType)
	resp.ErrorCode, resp.ErrorMessage, resp.NodeID, resp.Host, resp.Port =
		c.ErrorCode, c.ErrorMessage, c.NodeID, c.Host, c.Port
	return resp
}

func (k *Listener) coordinatorOf(ctx context.Context, key string, kind int8) kmsg.FindCoordinatorResponseCoordinator {
	c := kmsg.NewFindCoordinatorResponseCoordinator()
	c.Key, c.NodeID, c.Port = key, -1, -1
	if kind != 0 {
		c.ErrorCode = codeInvalidRequest
		c.ErrorMessage = kmsg.StringPtr("only groups have coordinators here")
		return c
	}
	node, err := k.groups.Find(ctx, key)
	if err != nil {
		c.ErrorCode, c.ErrorMessage = codeOf(err), message(err)
		return c
	}
	h := hints{ids: []int32{node}}
	list := h.endpoints(k.broker)
	if len(list) == 0 {
		c.ErrorCode = codeCoordinatorNotAvailable
		return c
	}
	c.NodeID, c.Host, c.Port = list[0].id, list[0].host, list[0].port
	return c
}

// answerJoinGroup answers JoinGroup: when the generation is complete.
func answerJoinGroup(ctx context.Context, c *call, out *output) error {
	req := c.req.(*kmsg.JoinGroupRequest)
	j := group.Join{
		MemberID: req.MemberID, NewID: memberID(c.clientID), Instance: text(req.InstanceID),
		ClientID: c.clientID, Host: "/" + hostOf(c.frame.c.nc), ProtocolType: req.ProtocolType,
		Session:   time.Duration(req.SessionTimeoutMillis) * time.Millisecond,
		Rebalance: time.Duration(req.RebalanceTimeoutMillis) * time.Millisecond,
		// From version 4 on a client knows MEMBER_ID_REQUIRED (KIP-394).
		RequireKnown: req.Version >= 4,
	}
	if req.Version == 0 {
		j.Rebalance = j.Session
	}
	for _, p := range req.Protocols {
		j.Protocols = append(j.Protocols, group.Protocol{Name: p.Name, Metadata: p.Metadata})
	}
	r, err := c.frame.c.k.groups.Join(ctx, req.Group, j)
	resp := kmsg.NewPtrJoinGroupResponse()
	resp.Version, resp.ErrorCode, resp.MemberID = c.version, codeOf(err), r.MemberID
	resp.Generation, resp.LeaderID = -1, r.Leader
	switch {
	case err == nil:
		resp.Generation, resp.ProtocolType, resp.Protocol = r.Generation, &r.ProtocolType, &r.Protocol
	case r.MemberID == "":
		resp.MemberID = req.MemberID
	}
	for i := range r.Members {
		m := kmsg.NewJoinGroupResponseMember()
		m.MemberID, m.ProtocolMetadata = r.Members[i].MemberID, r.Members[i].Metadata
		if r.Members[i].Instance != "" {
			m.InstanceID = &r.Members[i].Instance
		}
		resp.Members = append(resp.Members, m)
	}
	out.buf = resp.AppendTo(out.buf)
	return nil
}

// memberID makes an id for a new member, as Kafka does: what the client calls
// itself, and something random.
func memberID(clientID string) string { return clientID + "-" + newID() }

// newID makes a random UUID.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand since Go 1.24)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	s := hex.EncodeToString(b[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

func hostOf(nc net.Conn) string {
	host, _, err := net.SplitHostPort(nc.RemoteAddr().String())
	if err != nil {
		return nc.RemoteAddr().String()
	}
	return host
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// syncGroup answers SyncGroup: when the assignment is stored.
func (k *Listener) syncGroup(ctx context.Context, req *kmsg.SyncGroupRequest) kmsg.Response {
	e := group.Sync{
		MemberID: req.MemberID, Instance: text(req.InstanceID), Generation: req.Generation,
		ProtocolType: text(req.ProtocolType), Protocol: text(req.Protocol),
		Assignments: make(map[string][]byte, len(req.GroupAssignment)),
	}
	for i := range req.GroupAssignment {
		e.Assignments[req.GroupAssignment[i].MemberID] = req.GroupAssignment[i].MemberAssignment
	}
	r, err := k.groups.Sync(ctx, req.Group, e)
	resp := kmsg.NewPtrSyncGroupResponse()
	if resp.ErrorCode = codeOf(err); err == nil {
		resp.ProtocolType, resp.Protocol, resp.MemberAssignment = &r.ProtocolType, &r.Protocol, r.Assignment
	}
	return resp
}

// heartbeat answers Heartbeat.
func (k *Listener) heartbeat(ctx context.Context, req *kmsg.HeartbeatRequest) kmsg.Response {
	_, err := k.groups.Heartbeat(ctx, req.Group, group.Heartbeat{
		MemberID: req.MemberID, Instance: text(req.InstanceID), Generation: req.Generation,
	})
	resp := kmsg.NewPtrHeartbeatResponse()
	resp.ErrorCode = codeOf(err)
	return resp
}

// leaveGroup answers LeaveGroup: from version 3 on for several members, each
// with its own error.
func (k *Listener) leaveGroup(ctx context.Context, req *kmsg.LeaveGroupRequest) kmsg.Response {
	resp := kmsg.NewPtrLeaveGroupResponse()
	if req.Version < 3 {
		_, err := k.groups.Leave(ctx, req.Group, group.Leave{MemberID: req.MemberID})
		resp.ErrorCode = codeOf(err)
		return resp
	}
	for i := range req.Members {
		m := kmsg.NewLeaveGroupResponseMember()
		m.MemberID, m.InstanceID = req.Members[i].MemberID, req.Members[i].InstanceID
		_, err := k.groups.Leave(ctx, req.Group, group.Leave{MemberID: m.MemberID, Instance: text(m.InstanceID)})
		m.ErrorCode = codeOf(err)
		if coordinatorCode(m.ErrorCode) { // of the request, not of the member
			resp.ErrorCode, resp.Members = m.ErrorCode, nil
			return resp
		}
		resp.Members = append(resp.Members, m)
	}
	return resp
}

// coordinatorCode tells whether a code says that the coordinator is elsewhere
// or not ready.
func coordinatorCode(code int16) bool {
	return code == codeNotCoordinator || code == codeCoordinatorLoading || code == codeCoordinatorNotAvailable
}
