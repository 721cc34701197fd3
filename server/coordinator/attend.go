package coordinator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/chroniklog/chronik/server/group"
)

// Attendance is the poll of a hosted member (package group) at its
// coordinator.
type Attendance struct {
	Group  string
	Attend group.Attend
	// Acks are what the member acknowledges, in the generation Generation. It
	// is committed before the member is seated.
	Acks       []Acked
	Generation int32
	// Wait is how long the member waits for its seat.
	Wait time.Duration
}

// Acked is what a member acknowledges of a partition.
type Acked struct {
	group.TopicPartition
	From, Offset int64 // as in group.Next
}

// Seat is where a hosted member sits. Without an assignment it has none yet:
// attend again.
type Seat struct {
	Generation int32 // 0: not seated
	Leader     bool
	// Assigned are the partitions that the member reads, in order, with what
	// the group has committed of them; Offset -1 where that is nothing.
	Assigned []Assigned
}

// Assigned is a partition of a Seat.
type Assigned struct {
	group.TopicPartition
	Offset int64
}

// Attend commits what a hosted member acknowledges, joins the group in its
// place where that is needed, and waits for its seat.
func (c *Coordinator) Attend(ctx context.Context, a Attendance) (Seat, error) {
	s, err := c.shardOf(ctx, a.Group)
	if err != nil {
		return Seat{}, err
	}
	if len(a.Acks) > 0 {
		if err := s.acknowledge(ctx, &a); err != nil {
			return Seat{}, err
		}
	}
	wait := time.NewTimer(a.Wait)
	defer wait.Stop()
	for {
		seat, changed, err := s.attend(a.Group, &a.Attend)
		if !errors.Is(err, group.ErrRebalance) {
			return seat, err
		}
		select {
		case <-changed:
		case <-wait.C:
			return Seat{}, nil
		case <-s.gone:
			return Seat{}, ErrNotCoordinator
		case <-ctx.Done():
			return Seat{}, fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(ctx))
		}
		a.Attend.New = false // it has been taken in
	}
}

// acknowledge commits what a member acknowledges. The acks of a member are
// taken one after another: what an ack is held against is committed then.
func (s *shard) acknowledge(ctx context.Context, a *Attendance) error {
	member := a.Attend.MemberID
	if err := s.lockAcks(ctx, a.Group, member); err != nil {
		return err
	}
	offsets := make(map[group.TopicPartition]group.Commit)
	s.mu.Lock()
	e := s.groups[a.Group]
	for i := range a.Acks {
		x := &a.Acks[i]
		at := int64(-1)
		if e != nil {
			at = e.committed(x.TopicPartition)
		}
		if n := (group.Next{From: x.From, Offset: x.Offset}); n.Follows(at) {
			offsets[x.TopicPartition] = group.Commit{Offset: x.Offset, LeaderEpoch: -1}
		}
	}
	s.mu.Unlock()
	err := s.c.Commit(ctx, Committer{Group: a.Group, MemberID: member, Generation: a.Generation}, offsets)
	s.mu.Lock()
	defer s.mu.Unlock()
	key := acker{a.Group, member}
	close(s.acking[key])
	delete(s.acking, key)
	return err
}

// acker is a member whose ack is being committed.
type acker struct{ group, member string }

// lockAcks waits until no ack of the member is being committed, and notes that
// one is.
func (s *shard) lockAcks(ctx context.Context, id, member string) error {
	key := acker{id, member}
	for {
		s.mu.Lock()
		busy := s.acking[key]
		if busy == nil {
			s.acking[key] = make(chan struct{})
			s.mu.Unlock()
			return nil
		}
		s.mu.Unlock()
		select {
		case <-busy:
		case <-s.gone:
			return ErrNotCoordinator
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(ctx))
		}
	}
}

// committed is the committed offset of a partition, -1 if there is none.
func (e *entry) committed(tp group.TopicPartition) int64 {
	if k, ok := e.offsets[tp]; ok {
		return k.Offset
	}
	return -1
}

// attend tells the group that the member is there. With ErrRebalance comes what
// is closed when the group has changed.
func (s *shard) attend(id string, a *group.Attend) (Seat, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.entry(id, true)
	if err != nil {
		return Seat{}, nil, err
	}
	if err := s.suit(e, *a); err != nil {
		return Seat{}, nil, err
	}
	s.reshare(e)
	r := s.tell(e, *a)
	if r.Err != nil {
		return Seat{}, e.watch(), r.Err
	}
	list, err := group.ParseAssignment(r.Assignment)
	if err != nil { // a Kafka member led and shared out what nobody can read
		return Seat{}, nil, fmt.Errorf("%w: %w", group.ErrInconsistentProtocol, err)
	}
	seat := Seat{Generation: r.Generation, Leader: e.g.Leader() == r.MemberID}
	for _, tp := range list {
		seat.Assigned = append(seat.Assigned, Assigned{TopicPartition: tp, Offset: e.committed(tp)})
	}
	return seat, nil, nil
}

// tell gives the group an attendance and returns the reply, which comes at
// once. Called with mu held.
func (s *shard) tell(e *entry, a group.Attend) group.Reply {
	s.tokens++
	a.Token = s.tokens
	answer := make(chan group.Reply, 1)
	e.waiting[a.Token] = answer
	s.apply(e, e.g.Step(s.c.now(), a))
	return <-answer
}

// Watch waits until a hosted member's seat is not what it was in a generation,
// at most for wait, and keeps the member alive. It returns group.ErrRebalance
// when there is another seat to be had.
func (c *Coordinator) Watch(ctx context.Context, id string, h group.Heartbeat, wait time.Duration) error {
	s, err := c.shardOf(ctx, id)
	if err != nil {
		return err
	}
	s.mu.Lock()
	e, err := s.entry(id, false)
	if err != nil {
		s.mu.Unlock()
		return fmt.Errorf("%w: %w", group.ErrUnknownMember, err)
	}
	s.reshare(e)
	changed := e.watch()
	s.mu.Unlock()
	if _, err := c.Heartbeat(ctx, id, h); err != nil {
		return err
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-changed:
		return group.ErrRebalance
	case <-timer.C:
		return nil
	case <-s.gone:
		return ErrNotCoordinator
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(ctx))
	}
}

// watch is closed when the group has another generation or state, or has
// written something. Called with mu held.
func (e *entry) watch() <-chan struct{} {
	if e.changed == nil {
		e.changed = make(chan struct{})
	}
	return e.changed
}

// notice wakes who watches if the group has changed. Called with mu held, after
// every step.
func (e *entry) notice(wrote bool) {
	now := standing{e.g.State(), e.g.Generation()}
	if e.changed != nil && (wrote || now != e.stood) {
		close(e.changed)
		e.changed = nil
	}
	if now.generation > e.counted {
		e.rebalances++ // a group's first epoch is not 1
	}
	e.stood, e.counted = now, now.generation
}

// standing is what watchers of a group wait to see changed.
type standing struct {
	state      group.State
	generation int32
}

// share answers a group that a hosted member leads. Called with mu held.
func (s *shard) share(e *entry, a group.Assign) group.Led {
	counts := make(map[string]int32)
	assignments := group.Share(a.Protocol, a.Members, func(topic string) int32 {
		counts[topic] = s.partitions(topic)
		return counts[topic]
	})
	e.shared, e.sharedIn = counts, a.Generation
	return group.Led{Generation: a.Generation, Assignments: assignments}
}

// partitions is how many partitions of a topic clients can read.
func (s *shard) partitions(topic string) int32 {
	t, err := s.c.o.Topics.Topic(topic)
	if err != nil || t.Internal {
		return 0
	}
	return t.Partitions
}

// reshare has a group that a hosted member leads share out again when its
// topics have other partitions than were shared out: a Kafka leader looks for
// that itself. Called with mu held.
func (s *shard) reshare(e *entry) {
	if e.g.State() != group.Stable || !group.Hosted(e.g.Leader()) {
		return
	}
	if e.sharedIn != e.g.Generation() {
		e.shared, e.sharedIn = sharedOut(e.g.Describe()), e.g.Generation()
	}
	for topic, n := range e.shared {
		if s.partitions(topic) != n {
			s.apply(e, e.g.Step(s.c.now(), group.Reshare{}))
			return
		}
	}
}

// sharedOut counts what a generation shares out, by topic. A coordinator that
// took over does not know what there was to be shared out.
func sharedOut(md *group.Metadata) map[string]int32 {
	counts := make(map[string]int32)
	for i := range md.Members {
		if sub, err := group.ParseSubscription(md.Members[i].Subscription); err == nil {
			for _, t := range sub.Topics {
				counts[t] += 0
			}
		}
		if list, err := group.ParseAssignment(md.Members[i].Assignment); err == nil {
			for _, tp := range list {
				counts[tp.Topic]++
			}
		}
	}
	return counts
}
