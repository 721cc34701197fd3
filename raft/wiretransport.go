package raft

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/chroniklog/chronik/raft/meta"
	"github.com/chroniklog/chronik/raft/wire"
)

// ErrUnreachable: a Call's request was not sent.
var ErrUnreachable = wire.ErrUnreachable

// Limits of one member's outgoing queues, in messages. Entries in flight are
// bounded by etcd raft besides (maxInflightBytes).
const (
	controlQueue = 256
	bulkQueue    = 512
	// maxWireMessage bounds a message: one entry may exceed maxMessageBytes.
	maxWireMessage = 4 << 20
)

// WireTransport is Transport over an endpoint: votes, heartbeats and
// acknowledgements on one connection per member, entries on another, and each
// snapshot and all calls on further ones. The endpoint is shared with other
// classes of traffic; whoever made it closes it, after the node.
type WireTransport struct {
	ep     *wire.Endpoint
	logger *slog.Logger
	caller *wire.Caller

	mu      sync.Mutex
	self    Self
	h       Handler
	members map[uint64]*link

	ctx   context.Context
	stop  context.CancelFunc
	group sync.WaitGroup
}

// NewWireTransport makes a transport over an endpoint that doesn't serve yet,
// or does: before Start it refuses connections.
func NewWireTransport(ep *wire.Endpoint, logger *slog.Logger) *WireTransport {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	t := &WireTransport{ep: ep, logger: logger, caller: ep.NewCaller(wire.ClassCall), members: map[uint64]*link{}}
	t.ctx, t.stop = context.WithCancel(context.Background())
	return t
}

// Start implements Transport.
func (t *WireTransport) Start(self Self, h Handler) error {
	t.mu.Lock()
	t.self = self
	if t.h == nil {
		t.h = h
	}
	t.mu.Unlock()
	id := t.ep.Identity()
	id.Node, id.Raft = self.Node, self.RaftID
	t.ep.SetIdentity(id)
	t.ep.Handle(wire.ClassControl, t.receive)
	t.ep.Handle(wire.ClassBulk, t.receive)
	t.ep.Handle(wire.ClassSnapshot, t.receiveSnapshot)
	t.ep.Handle(wire.ClassCall, wire.ServeCalls(
		func(ctx context.Context, _ wire.Identity, request []byte) ([]byte, error) {
			return h.Answer(ctx, request)
		}))
	return nil
}

// SetMembers implements Transport.
func (t *WireTransport) SetMembers(clusterID string, members []meta.Member) {
	t.ep.SetCluster(clusterID)
	t.mu.Lock()
	defer t.mu.Unlock()
	next := map[uint64]*link{}
	for _, m := range members {
		if m.RaftID == t.self.RaftID {
			continue
		}
		if l := t.members[m.RaftID]; l != nil && l.member == m {
			next[m.RaftID] = l
			continue
		}
		next[m.RaftID] = newLink(t, m)
	}
	for id, l := range t.members {
		if next[id] != l {
			l.stop()
		}
	}
	t.members = next
}

func (t *WireTransport) link(id uint64) *link {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.members[id]
}

// Send implements Transport.
func (t *WireTransport) Send(m *pb.Message) {
	if l := t.link(m.GetTo()); l != nil {
		l.send(m)
	}
}

// Call implements Transport.
func (t *WireTransport) Call(ctx context.Context, addr string, request []byte) ([]byte, error) {
	return t.caller.Call(ctx, addr, request)
}

// Close implements Transport; the endpoint stays open, but refuses this
// transport's classes.
func (t *WireTransport) Close() error {
	for _, c := range []wire.Class{wire.ClassControl, wire.ClassBulk, wire.ClassSnapshot, wire.ClassCall} {
		t.ep.Handle(c, nil)
	}
	t.stop()
	t.caller.Close()
	t.group.Wait()
	return nil
}

// receive serves one connection of messages from a member.
func (t *WireTransport) receive(_ context.Context, c *wire.Conn) {
	defer context.AfterFunc(t.ctx, func() { _ = c.Close() })()
	for {
		f, err := c.Read(maxWireMessage)
		if err != nil {
			return
		}
		m := &pb.Message{}
		if err := proto.Unmarshal(f.Payload, m); err != nil {
			t.logger.Warn("malformed raft message", "node", c.Remote().Node, "error", err)
			return
		}
		if err := t.check(m, c.Remote()); err != nil {
			t.logger.Warn("misdelivered raft message", "node", c.Remote().Node, "error", err)
			return
		}
		t.h.Message(m)
	}
}

// check refuses messages for others, or in another's name: etcd raft takes
// what it is given.
func (t *WireTransport) check(m *pb.Message, from wire.Identity) error {
	switch {
	case m.GetTo() != t.ep.Identity().Raft:
		return fmt.Errorf("message is for %x", m.GetTo())
	case m.GetFrom() != from.Raft || from.Raft == 0:
		return fmt.Errorf("message is from %x, the connection from %x", m.GetFrom(), from.Raft)
	case from.Cluster != "" && t.ep.Identity().Cluster != "" && from.Cluster != t.ep.Identity().Cluster:
		return errors.New("message is from another cluster")
	}
	return nil
}
