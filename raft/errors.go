package raft

import (
	"errors"
	"fmt"

	"github.com/chroniklog/chronik/raft/meta"
)

var (
	// ErrNotController: another node is the controller; see
	// NotControllerError. Not applied.
	ErrNotController = errors.New("not the controller")
	// ErrNoController: no controller could be reached in time. Not applied.
	ErrNoController = errors.New("no controller")
	// ErrOutcomeUnknown: the wait ended after the command was sent to a
	// controller; it may have been applied or may yet be.
	ErrOutcomeUnknown = errors.New("outcome unknown")
	// ErrBusy: the queue of proposals is full. Not applied; retry later.
	ErrBusy = errors.New("too many proposals in flight")
	// ErrClosed: the node is closed, or failed. Not applied.
	ErrClosed = errors.New("metadata log is closed")
	// ErrUnknownNode: no member of that node id.
	ErrUnknownNode = errors.New("node is not a member")
	// ErrLastVoter: the only voter can't be removed.
	ErrLastVoter = errors.New("the last voter can't be removed")
	// ErrNodeIDTaken: another process runs under this node id.
	ErrNodeIDTaken = errors.New("node id is taken")
	// ErrForeign: the data directory, or what --peers and --join lead to, is
	// another cluster's than was meant.
	ErrForeign = errors.New("it is another cluster's")
)

// NotControllerError is ErrNotController with the controller's node id, 0 if
// none is known.
type NotControllerError struct{ Leader meta.NodeID }

func (e *NotControllerError) Error() string {
	if e.Leader == 0 {
		return "not the controller; none is known"
	}
	return fmt.Sprintf("not the controller; node %d is", e.Leader)
}

// Is matches ErrNotController.
func (e *NotControllerError) Is(target error) bool { return target == ErrNotController }

// Internal outcomes of a proposal.
var (
	errNotLeader = errors.New("not the leader")
	errDropped   = errors.New("proposal dropped")
)
