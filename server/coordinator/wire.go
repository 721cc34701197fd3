package coordinator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"time"

	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/forward"
	"github.com/chroniklog/chronik/server/group"
	"github.com/chroniklog/chronik/server/partition"
)

// What a coordinator is asked by other nodes. The messages are JSON: members
// that a release does not know are skipped, those that it misses are zero.
const (
	opAttend   = "attend"
	opWatch    = "watch"
	opCommit   = "commit"
	opReset    = "reset"
	opLeave    = "leave"
	opDelete   = "delete"
	opDescribe = "describe"
	opList     = "list"
)

// request is one of the operations above.
type request struct {
	Op        string
	Group     string
	Attend    *Attendance      `json:",omitempty"`
	Heartbeat *group.Heartbeat `json:",omitempty"`
	Wait      time.Duration    `json:",omitempty"`
	Committer *Committer       `json:",omitempty"`
	Offsets   []Committed      `json:",omitempty"`
	Leave     *group.Leave     `json:",omitempty"`
}

// response is the answer to a request.
type response struct {
	Seat    *Seat             `json:",omitempty"`
	Groups  []*group.Metadata `json:",omitempty"`
	Offsets []Committed       `json:",omitempty"`
	Node    server.NodeID     `json:"-"` // that answered
}

// Committed is a committed offset with what it belongs to.
type Committed struct {
	group.TopicPartition
	group.Commit
}

// makes tells whether the request may make a group, and the groups' topic.
func (q *request) makes() bool { return q.Op == opAttend || q.Op == opReset || q.Op == opCommit }

// changes tells whether it changes something that is kept.
func (q *request) changes() bool {
	return q.Op != opWatch && q.Op != opDescribe && q.Op != opList && (q.Attend == nil || len(q.Attend.Acks) > 0)
}

// patience is until when a request may wait where it is put.
type patience struct{ until time.Time }

func (q *request) patience(now time.Time) patience { return patience{now.Add(q.waits())} }

// waits is how long the request may wait where it is put.
func (q *request) waits() time.Duration {
	if q.Attend != nil {
		return q.Attend.Wait
	}
	return q.Wait
}

// shorten leaves a request the time that is left.
func (p patience) shorten(q *request, now time.Time) {
	left := max(p.until.Sub(now), 0)
	if q.Attend != nil {
		q.Attend.Wait = left
	} else {
		q.Wait = left
	}
}

func (q *request) encode() []byte { return encode(q) }

// encode marshals what holds text, numbers and bytes only.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("coordinator: message can't be encoded: " + err.Error())
	}
	return b
}

func decodeResponse(b []byte) (r response, err error) {
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("%w: %w", forward.ErrMalformed, err)
	}
	return r, nil
}

// Serve implements forward.Groups.
func (c *Coordinator) Serve(ctx context.Context, b []byte) ([]byte, error) {
	var q request
	if err := json.Unmarshal(b, &q); err != nil {
		return nil, fmt.Errorf("%w: %w", forward.ErrMalformed, err)
	}
	r, err := c.answer(ctx, &q)
	if err != nil {
		return nil, sealed(err)
	}
	return encode(&r), nil
}

// answer carries a request out.
func (c *Coordinator) answer(ctx context.Context, q *request) (r response, err error) {
	switch {
	case q.Op == opAttend && q.Attend != nil:
		var seat Seat
		seat, err = c.Attend(ctx, *q.Attend)
		r.Seat = &seat
	case q.Op == opWatch && q.Heartbeat != nil:
		err = c.Watch(ctx, q.Group, *q.Heartbeat, q.Wait)
	case q.Op == opCommit && q.Committer != nil:
		err = c.Commit(ctx, *q.Committer, byPartition(q.Offsets))
	case q.Op == opReset:
		err = c.Commit(ctx, Committer{Group: q.Group, Generation: -1}, byPartition(q.Offsets))
		if errors.Is(err, group.ErrUnknownMember) {
			err = fmt.Errorf("%w: stop them first", group.ErrNotEmpty)
		}
	case q.Op == opLeave && q.Leave != nil:
		_, err = c.Leave(ctx, q.Group, *q.Leave)
	case q.Op == opDelete:
		err = c.Delete(ctx, q.Group)
	case q.Op == opDescribe:
		r, err = c.describe(ctx, q.Group)
	case q.Op == opList:
		r.Groups, err = c.List(ctx)
	default:
		err = fmt.Errorf("%w: unknown operation %q", forward.ErrMalformed, q.Op)
	}
	return r, err
}

// describe is a group with its offsets.
func (c *Coordinator) describe(ctx context.Context, id string) (r response, err error) {
	md, err := c.Describe(ctx, id)
	if err != nil {
		return r, err
	}
	all, err := c.Offsets(ctx, id)
	r.Groups = []*group.Metadata{md}
	for tp, o := range all {
		r.Offsets = append(r.Offsets, Committed{TopicPartition: tp, Commit: o})
	}
	sort.Slice(r.Offsets, func(i, j int) bool {
		return r.Offsets[i].TopicPartition.Compare(r.Offsets[j].TopicPartition) < 0
	})
	return r, err
}

func byPartition(list []Committed) map[group.TopicPartition]group.Commit {
	m := make(map[group.TopicPartition]group.Commit, len(list))
	for i := range list {
		m[list[i].TopicPartition] = list[i].Commit
	}
	return m
}

// ForwardedErrors are the errors of this package and of package group that
// travel between nodes, beside those of package server. Numbers are never
// reused.
func ForwardedErrors() forward.Errors {
	return forward.Errors{
		64: ErrNotCoordinator, 65: ErrLoading, 66: ErrUnavailable,
		67: group.ErrUnknownMember, 68: group.ErrMemberIDRequired, 69: group.ErrIllegalGeneration,
		70: group.ErrRebalance, 71: group.ErrInconsistentProtocol, 72: group.ErrFencedInstance,
		73: group.ErrInvalidSession, 74: group.ErrFull, 75: group.ErrNotEmpty, 76: group.ErrSubscribed,
		77: group.ErrUnknownGroup, 78: group.ErrInvalidGroup, 79: group.ErrMetadataTooLarge, 80: group.ErrCorrupt,
		81: group.ErrFencedEpoch, 82: group.ErrStaleEpoch, 83: group.ErrUnreleasedInstance,
		84: group.ErrUnsupportedAssignor, 85: group.ErrInvalidRegex, 86: group.ErrOldRequest,
	}
}

// sealedError matches one sentinel only: what it wraps, such as the leader that
// a partition does not have here, is not the asking node's to act on.
type sealedError struct {
	text     string
	sentinel error
}

func (e *sealedError) Error() string { return e.text }
func (e *sealedError) Unwrap() error { return e.sentinel }

func sealed(err error) error {
	if errors.Is(err, partition.ErrOutcomeUnknown) {
		return &sealedError{text: err.Error(), sentinel: partition.ErrOutcomeUnknown}
	}
	best := uint8(0)
	for n, s := range ForwardedErrors() {
		if errors.Is(err, s) && (best == 0 || n < best) {
			best = n
		}
	}
	if best == 0 {
		return err
	}
	return &sealedError{text: err.Error(), sentinel: ForwardedErrors()[best]}
}

// nodes are those that lead partitions of the groups' topic; none before there
// is one.
func (c *Coordinator) nodes() ([]server.NodeID, error) {
	t, err := c.o.Topics.Topic(Topic)
	if err != nil {
		return nil, nil //nolint:nilerr // no topic, no groups
	}
	leaders := make(map[server.NodeID]bool)
	for p := range t.Partitions {
		info, err := c.o.Topics.PartitionState(Topic, p)
		if err != nil || info.Leader == 0 {
			return nil, fmt.Errorf("%w: %s/%d has no leader", ErrUnavailable, Topic, p)
		}
		leaders[info.Leader] = true
	}
	list := make([]server.NodeID, 0, len(leaders))
	for id := range leaders {
		list = append(list, id)
	}
	sort.Slice(list, func(i, j int) bool { return list[i] < list[j] })
	return list, nil
}
