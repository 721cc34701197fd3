package raft

import (
	"context"
	"io"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/chroniklog/chronik/raft/meta"
)

// Transport carries messages between nodes. All methods but Call return at
// once; they may be called concurrently.
type Transport interface {
	// Start begins to deliver what comes in, for the given raft id. A second
	// call, with the same handler, changes the raft id.
	Start(self Self, h Handler) error
	// SetMembers replaces the members that Send can reach, and the cluster
	// id that connections must agree on once it is not empty.
	SetMembers(clusterID string, members []meta.Member)
	// Send sends a message to the member m.To, or drops it.
	Send(m *pb.Message)
	// SendSnapshot sends a MsgSnap and the stream that write produces, in a
	// goroutine of the transport's. It calls done once, when the receiver has
	// everything or has not.
	SendSnapshot(m *pb.Message, write func(io.Writer) error, done func(ok bool))
	// Call sends a request to the node at an address and waits for its
	// answer. An error says nothing about whether the request was handled,
	// unless it wraps ErrUnreachable.
	Call(ctx context.Context, addr string, request []byte) ([]byte, error)
	// Close stops everything and waits for it.
	Close() error
}

// Self is who a transport speaks for.
type Self struct {
	RaftID uint64
	Node   NodeID
}

// Handler is where a transport delivers to. Calls may be concurrent.
type Handler interface {
	// Message takes a message, or drops it; it doesn't block.
	Message(m *pb.Message)
	// Snapshot takes a MsgSnap whose stream is r.
	Snapshot(m *pb.Message, r io.Reader) error
	// Answer answers a Call.
	Answer(ctx context.Context, request []byte) ([]byte, error)
	// Unreachable tells that messages to a member were dropped.
	Unreachable(id uint64)
	// Gone tells that a member's address refuses connections: its process
	// seems to have ended.
	Gone(id uint64)
}
