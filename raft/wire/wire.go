// Package wire is the connection between nodes: TCP (or TLS) with a handshake
// and framed messages. One listener serves several classes of traffic, each on
// connections of its own, so that bulk never holds up votes:
//
//	ep, err := wire.New(wire.Options{Listener: l, Identity: id})
//	ep.Handle(wire.ClassReplication, func(ctx context.Context, c *wire.Conn) { … })
//	ep.Serve()
//	c, err := ep.Dial(ctx, addr, wire.ClassReplication, wire.Identity{Node: 2})
//	err = c.Write(wire.Frame{Type: 1, Payload: b})
//
// # Handshake
//
// The dialer says who it is, whom it means and which class it wants; numbers
// are little endian:
//
//	magic "CHKP", version u16, oldest version u16, length u16, CRC-32C u32, then
//	class u8, status u8, raft id u64, node u32, raft id meant u64, node meant u32,
//	cluster length u8, cluster, text length u8, text
//
// The answer has the same form, with the version that both speak and a status.
// A node speaks its own version and the one before. Connections between
// clusters, and to another incarnation of a node than was meant, are refused:
// a raft message that goes astray is worse than one that is lost.
//
// # Frames
//
//	length u32 of the payload, CRC-32C u32 of what follows, type u8, 3 zero
//	bytes, stream u32, payload
//
// A frame with a bad checksum ends the connection.
package wire

import (
	"errors"
	"fmt"
	"time"
)

// Version is the protocol that this release speaks; it accepts the one before,
// too. It is raised by a release that changes what a frame means.
const Version = 1

// Class is a kind of traffic. Numbers are never reused.
type Class uint8

// The classes. Each class has its own connections and its own handler.
const (
	ClassCall        Class = 1 // requests and answers of the metadata group
	ClassControl     Class = 2 // votes, heartbeats and acknowledgements
	ClassBulk        Class = 3 // log entries
	ClassSnapshot    Class = 4 // metadata snapshots
	ClassHeartbeat   Class = 5 // broker liveness
	ClassReplication Class = 6 // partition fetches
	ClassForward     Class = 7 // client requests, one hop
)

// Limits in bytes, and times.
const (
	// MaxFrame bounds a frame's payload.
	MaxFrame = 80 << 20
	// maxHello bounds the handshake: nothing larger is read from a stranger.
	maxHello = 1024
	// maxCluster bounds a cluster id.
	maxCluster = 64

	handshakeTimeout = 5 * time.Second
	// maxConns bounds the accepted connections.
	maxConns = 1024
)

var (
	// ErrRefused: the other side doesn't want the connection; the text says
	// why.
	ErrRefused = errors.New("peer refused the connection")
	// ErrCluster: the other side belongs to another cluster; the text says to
	// which.
	ErrCluster = fmt.Errorf("%w: it is another cluster's", ErrRefused)
	// ErrVersion: the other side speaks no version that this one does.
	ErrVersion = errors.New("peer protocol version")
	// ErrFrame: bytes that are no frame. The connection is of no more use.
	ErrFrame = errors.New("bad frame")
	// ErrUnreachable: there is no connection; nothing was sent.
	ErrUnreachable = errors.New("peer is unreachable")
	// ErrClosed: the endpoint is closed.
	ErrClosed = errors.New("peer endpoint is closed")
)

// Identity is who a node is. Zero fields are not known, or not demanded.
type Identity struct {
	Cluster string
	Node    int32
	Raft    uint64 // the incarnation
}

// Frame is one message. Payload is the receiver's.
type Frame struct {
	Type    uint8
	Stream  uint32
	Payload []byte
}
