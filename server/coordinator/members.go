package coordinator

import (
	"context"
	"fmt"
	"slices"

	"github.com/chroniklog/chronik/server/group"
	"github.com/chroniklog/chronik/storage/record"
)

// Join takes a member into the next generation of a group and waits for it.
// The token of the request is given here. The error of the group is in the
// reply, with what goes with it.
func (c *Coordinator) Join(ctx context.Context, id string, j group.Join) (group.Reply, error) {
	return c.ask(ctx, id, j.MemberID == "", func(t group.Token) group.Event { j.Token = t; return j })
}

// Sync brings the leader's assignment and waits for the member's own.
func (c *Coordinator) Sync(ctx context.Context, id string, e group.Sync) (group.Reply, error) {
	return c.ask(ctx, id, false, func(t group.Token) group.Event { e.Token = t; return e })
}

// Heartbeat keeps a member alive.
func (c *Coordinator) Heartbeat(ctx context.Context, id string, e group.Heartbeat) (group.Reply, error) {
	return c.ask(ctx, id, false, func(t group.Token) group.Event { e.Token = t; return e })
}

// Leave takes a member out of a group.
func (c *Coordinator) Leave(ctx context.Context, id string, e group.Leave) (group.Reply, error) {
	return c.ask(ctx, id, false, func(t group.Token) group.Event { e.Token = t; return e })
}

// ask gives a group an event and waits for the reply to it. A request of a
// member of a group that does not exist is that of an unknown member.
func (c *Coordinator) ask(ctx context.Context, id string, create bool, event func(group.Token) group.Event,
) (group.Reply, error) {
	s, err := c.shardOf(ctx, id)
	if err != nil {
		return group.Reply{}, err
	}
	s.mu.Lock()
	e, err := s.entry(id, create)
	if err != nil {
		s.mu.Unlock()
		if !create {
			err = fmt.Errorf("%w: %w", group.ErrUnknownMember, err)
		}
		return group.Reply{}, err
	}
	s.tokens++
	token := s.tokens
	ev := event(token)
	if err := s.suit(e, ev); err != nil {
		s.mu.Unlock()
		return group.Reply{}, err
	}
	answer := make(chan group.Reply, 1)
	e.waiting[token] = answer
	s.apply(e, e.g.Step(c.now(), ev))
	s.mu.Unlock()
	select {
	case r := <-answer:
		return r, r.Err
	case <-s.gone:
		return group.Reply{}, ErrNotCoordinator
	case <-ctx.Done():
		s.mu.Lock()
		delete(e.waiting, token)
		s.mu.Unlock()
		return group.Reply{}, fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(ctx))
	}
}

// apply does what a group wants done. Called with mu held.
func (s *shard) apply(e *entry, effects []group.Effect) {
	type stored struct {
		seq uint64
		err error
	}
	var refused []stored
	var led []group.Led
	for _, effect := range effects {
		switch x := effect.(type) {
		case group.Reply:
			if answer := e.waiting[x.Token]; answer != nil {
				delete(e.waiting, x.Token)
				answer <- x
			}
		case group.Store:
			if err := s.storeGroup(e, x); err != nil {
				refused = append(refused, stored{x.Seq, err})
			}
		case group.Assign:
			led = append(led, s.share(e, x))
		}
	}
	e.notice(false)
	for _, l := range led {
		s.apply(e, e.g.Step(s.c.now(), l))
	}
	for _, r := range refused {
		s.apply(e, e.g.Step(s.c.now(), group.Stored{Seq: r.seq, Err: r.err}))
	}
}

// storeGroup writes what a group asks for and tells the group how it went.
func (s *shard) storeGroup(e *entry, x group.Store) error {
	pending, err := s.write(func(b *record.Builder, now int64) {
		if x.Metadata != nil {
			b.Append(now, x.Metadata.Key(), x.Metadata.Value(), nil)
		}
		for _, r := range x.Records {
			b.Append(now, r.Key, r.Value, nil)
		}
	})
	if err != nil {
		return moved(err)
	}
	e.writes++
	g := e.g
	s.c.wg.Go(func() {
		_, err := s.await(pending)
		s.mu.Lock()
		defer s.mu.Unlock()
		e.wrote()
		effects := g.Step(s.c.now(), group.Stored{Seq: x.Seq, Err: err})
		if e.g != g { // it was empty and has become a group of the other protocol
			effects = slices.DeleteFunc(effects, func(f group.Effect) bool { _, reply := f.(group.Reply); return !reply })
		}
		s.apply(e, effects)
		e.notice(true)
	})
	return nil
}

// tick lets time pass for the groups whose deadline has come, and forgets
// groups that hold nothing.
func (s *shard) tick() {
	select {
	case <-s.loaded:
	default:
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.c.now()
	s.startPruning(now)
	for id, e := range s.groups {
		if at := e.g.Deadline(); at > 0 && at <= now {
			s.apply(e, e.g.Step(now, group.Tick{}))
		}
		fresh := e.g.Generation() == 0 && len(e.offsets) == 0
		if fresh && e.g.Idle() && e.writes == 0 && len(e.waiting) == 0 {
			delete(s.groups, id) // it was never more than a request
		}
	}
}
