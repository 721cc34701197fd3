package coordinator

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"time"

	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/forward"
	"github.com/chroniklog/chronik/server/group"
	"github.com/chroniklog/chronik/server/partition"
)

// Cluster is what a Front asks of the cluster; *server.Broker is one.
type Cluster interface {
	// AwaitLeader waits a moment for a coordinator between two leaders; false
	// when another attempt is of no use.
	AwaitLeader(ctx context.Context) bool
	// Secret signs what nodes hand to clients. It is the cluster's.
	Secret() []byte
}

// Peer asks the coordinator of another node; *forward.Client is one.
type Peer interface {
	Groups(ctx context.Context, request []byte) (answer []byte, err error)
}

// Front takes requests about any group on any node: it asks the group's
// coordinator, here or one hop away, and waits through its failover.
type Front struct {
	// Coordinator is this node's, Peer reaches the one of another node.
	Coordinator *Coordinator
	Cluster     Cluster
	Peer        func(node server.NodeID) Peer
}

// Attend is Coordinator.Attend at the group's coordinator.
func (f *Front) Attend(ctx context.Context, a Attendance) (Seat, error) {
	r, _, err := f.ask(ctx, request{Op: opAttend, Group: a.Group, Attend: &a})
	if err != nil || r.Seat == nil {
		return Seat{}, err
	}
	return *r.Seat, nil
}

// Watch is Coordinator.Watch at the group's coordinator.
func (f *Front) Watch(ctx context.Context, id string, h group.Heartbeat, wait time.Duration) error {
	_, _, err := f.ask(ctx, request{Op: opWatch, Group: id, Heartbeat: &h, Wait: wait})
	return err
}

// Commit is Coordinator.Commit at the group's coordinator.
func (f *Front) Commit(ctx context.Context, who Committer, offsets []Committed) error {
	_, _, err := f.ask(ctx, request{Op: opCommit, Group: who.Group, Committer: &who, Offsets: offsets})
	return err
}

// Reset keeps offsets of a group without members, which it makes if there is
// none: group.ErrNotEmpty otherwise.
func (f *Front) Reset(ctx context.Context, id string, offsets []Committed) error {
	_, _, err := f.ask(ctx, request{Op: opReset, Group: id, Offsets: offsets})
	return err
}

// Leave takes a member out, of either protocol.
func (f *Front) Leave(ctx context.Context, id, memberID string) error {
	_, again, err := f.ask(ctx, request{Op: opLeave, Group: id, Leave: &group.Leave{MemberID: memberID}})
	if again && errors.Is(err, group.ErrUnknownMember) {
		return nil // the attempt whose answer was lost has done it
	}
	return err
}

// Delete forgets a group that has no members, with its offsets.
func (f *Front) Delete(ctx context.Context, id string) error {
	_, again, err := f.ask(ctx, request{Op: opDelete, Group: id})
	if again && errors.Is(err, group.ErrUnknownGroup) {
		return nil
	}
	return err
}

// Description is a group as it is now, with what it has committed, by topic and
// partition.
type Description struct {
	Metadata    *group.Metadata
	Offsets     []Committed
	Coordinator server.NodeID
}

// Describe describes a group: group.ErrUnknownGroup if there is none.
func (f *Front) Describe(ctx context.Context, id string) (Description, error) {
	r, _, err := f.ask(ctx, request{Op: opDescribe, Group: id})
	if err != nil {
		return Description{}, err
	}
	if len(r.Groups) != 1 {
		return Description{}, fmt.Errorf("%w: %q", group.ErrUnknownGroup, id)
	}
	return Description{Metadata: r.Groups[0], Offsets: r.Offsets, Coordinator: r.Node}, nil
}

// List are the groups of all nodes, by name, without their members.
func (f *Front) List(ctx context.Context) ([]*group.Metadata, error) {
	ctx, cancel := context.WithTimeout(ctx, server.FailoverTime)
	defer cancel()
	for {
		list, err := f.listAll(ctx)
		if !passing(err) || !f.Cluster.AwaitLeader(ctx) {
			return list, err
		}
	}
}

// listAll asks every node that leads a partition of the groups' topic.
func (f *Front) listAll(ctx context.Context) ([]*group.Metadata, error) {
	nodes, err := f.Coordinator.nodes()
	if err != nil {
		return nil, err
	}
	var all []*group.Metadata
	for _, node := range nodes {
		r, err := f.at(ctx, node, &request{Op: opList})
		if err != nil {
			return nil, err
		}
		all = append(all, r.Groups...)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Group < all[j].Group })
	return all, nil
}

// Secret signs ack tokens.
func (f *Front) Secret() []byte { return f.Cluster.Secret() }

// passing tells that a later attempt may reach the coordinator. Each request
// may be carried out twice: it then does nothing new.
func passing(err error) bool {
	return errors.Is(err, ErrNotCoordinator) || errors.Is(err, ErrLoading) || errors.Is(err, ErrUnavailable) ||
		errors.Is(err, forward.ErrUnreachable) || errors.Is(err, partition.ErrOutcomeUnknown)
}

// ask puts a request to the group's coordinator. again tells that there was an
// attempt before whose outcome is not known.
func (f *Front) ask(ctx context.Context, q request) (r response, again bool, err error) {
	if q.Group == "" {
		return r, false, group.ErrInvalidGroup
	}
	if _, err := f.Coordinator.o.Topics.Topic(Topic); err != nil && !q.makes() {
		return r, false, fmt.Errorf("%w: %q", group.ErrUnknownGroup, q.Group)
	}
	var failed time.Time // when the attempts began to fail
	patience := q.patience(f.Coordinator.o.Now())
	for {
		patience.shorten(&q, f.Coordinator.o.Now())
		var node server.NodeID
		if node, err = f.Coordinator.Find(ctx, q.Group); err == nil {
			r, err = f.within(ctx, node, &q)
		}
		if failed.IsZero() {
			failed = f.Coordinator.o.Now()
		}
		if !passing(err) || ctx.Err() != nil || !f.awaitLeader(ctx, failed) {
			r.Node = node
			return r, again, unreached(err, again && q.changes())
		}
		again = again || !errors.Is(err, ErrNotCoordinator)
	}
}

// awaitLeader waits a moment for another coordinator, up to FailoverTime after
// failed.
func (f *Front) awaitLeader(ctx context.Context, failed time.Time) bool {
	left := server.FailoverTime - f.Coordinator.o.Now().Sub(failed)
	ctx, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	return left > 0 && f.Cluster.AwaitLeader(ctx)
}

// within puts a request to a node and does not wait for ever for one that
// hangs: by the time that this gives up, another node may be the coordinator.
func (f *Front) within(ctx context.Context, node server.NodeID, q *request) (response, error) {
	attempt, cancel := context.WithTimeout(ctx, q.waits()+server.FailoverTime)
	defer cancel()
	r, err := f.at(attempt, node, q)
	if err != nil && attempt.Err() != nil && ctx.Err() == nil && !passing(err) {
		err = fmt.Errorf("%w: node %d does not answer: %w", ErrUnavailable, node, err)
	}
	return r, err
}

// unreached names the error of a coordinator that could not be reached in time.
// uncertain: a request that changes something may have come through.
func unreached(err error, uncertain bool) error {
	switch {
	case !passing(err):
		return err
	case uncertain:
		return fmt.Errorf("%w: %w", partition.ErrOutcomeUnknown, err)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// at puts a request to a node.
func (f *Front) at(ctx context.Context, node server.NodeID, q *request) (response, error) {
	if node == f.Coordinator.o.Node {
		return f.Coordinator.answer(ctx, q)
	}
	text, err := f.Peer(node).Groups(ctx, q.encode())
	if err != nil {
		return response{}, err
	}
	return decodeResponse(text)
}
