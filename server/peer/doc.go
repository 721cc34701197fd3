// Package peer is how brokers ask each other: calls with answers, many at once
// on one connection per pair of brokers.
//
// Calls are packed by natural batching: whatever is asked while a message is
// being written goes out together in the next one, and so do answers. That is
// what lets a node that isn't the leader take single records at a rate near
// the leader's own: a thousand callers cost it a few messages.
//
// A call carries its caller's remaining time, and a caller that gives up
// cancels it at the other end. When the connection fails every call on it ends
// with ErrLost: whether it was carried out isn't known. Calls that could not
// be sent at all end with ErrUnreachable: they were not carried out.
package peer

import (
	"errors"
	"time"
)

// Conn carries messages between two brokers, whole and in order.
type Conn interface {
	// Send writes one message; it blocks while the peer does not read. msg
	// may be reused afterwards. One goroutine at a time.
	Send(msg []byte) error
	// Receive returns the next message, which is the caller's. One goroutine at
	// a time.
	Receive() ([]byte, error)
	// Close ends both directions; blocked calls return.
	Close() error
}

var (
	// ErrUnreachable: the peer can't be connected to; the call was not sent.
	ErrUnreachable = errors.New("peer is unreachable")
	// ErrLost: the connection ended before the answer came. The call may have
	// been carried out.
	ErrLost = errors.New("connection to peer was lost")
	// ErrBusy: too many calls or bytes wait to be sent to the peer, or the
	// peer has too many of them in hand; the call was not carried out.
	ErrBusy = errors.New("too many calls to peer")
	// ErrFrame: a malformed message; the connection is closed.
	ErrFrame = errors.New("malformed peer message")
)

// Limits of one connection.
const (
	// maxCalls bounds the calls without answer.
	maxCalls = 8192
	// maxQueued bounds the bytes that wait to be written.
	maxQueued = 64 << 20
	// maxPayload bounds one call or answer.
	maxPayload = 72 << 20
	// maxTime bounds a call whose caller sets no time.
	maxTime = 10 * time.Minute
)

// Method numbers a kind of call; their meaning is the caller's.
type Method uint8
