package coordinator

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/chroniklog/chronik/server/group"
	"github.com/chroniklog/chronik/storage/record"
)

// Committer is who commits or deletes offsets: a member, or nobody (generation
// -1 and no id).
type Committer struct {
	Group              string
	MemberID, Instance string
	Generation         int32
	Old                bool // as in group.Claim
}

func (who *Committer) claim() group.Claim {
	return group.Claim{MemberID: who.MemberID, Instance: who.Instance, Generation: who.Generation, Old: who.Old}
}

// Commit keeps offsets. It returns when they are committed on every in-sync
// replica.
func (c *Coordinator) Commit(ctx context.Context, who Committer, offsets map[group.TopicPartition]group.Commit) error {
	s, err := c.shardOf(ctx, who.Group)
	if err != nil {
		return err
	}
	s.mu.Lock()
	e, err := s.entry(who.Group, who.Generation < 0)
	if err != nil {
		s.mu.Unlock()
		return fmt.Errorf("%w: %w", group.ErrIllegalGeneration, err)
	}
	claim := who.claim()
	claim.Partitions = slices.Collect(maps.Keys(offsets))
	if err := e.g.MayCommit(c.now(), &claim); err != nil || len(offsets) == 0 {
		s.mu.Unlock()
		return err
	}
	offsets = s.identified(offsets)
	order := make([]group.TopicPartition, 0, len(offsets))
	pending, err := s.write(func(b *record.Builder, now int64) {
		for tp, o := range offsets {
			o.At = now
			order = append(order, tp)
			b.Append(now, group.OffsetKey(who.Group, tp), o.Value(), nil)
		}
	})
	if err != nil {
		s.mu.Unlock()
		return moved(err)
	}
	e.writes++
	s.mu.Unlock()
	done, err := s.await(pending)
	s.mu.Lock()
	defer s.mu.Unlock()
	e.wrote()
	if err != nil {
		return err
	}
	for i, tp := range order {
		kept := group.Kept{Commit: offsets[tp], Place: done.Offset + int64(i)}
		if old, ok := e.offsets[tp]; !ok || old.Place < kept.Place {
			kept.At = c.now()
			e.offsets[tp] = kept
			s.prune.due = s.prune.due || s.orphaned(&kept)
		}
	}
	return nil
}

// Offsets are all committed offsets of a group; none if it does not exist.
func (c *Coordinator) Offsets(ctx context.Context, id string) (map[group.TopicPartition]group.Commit, error) {
	return c.OffsetsFor(ctx, Committer{Group: id, Generation: -1})
}

// OffsetsFor are all committed offsets of a group, for a member of it or
// nobody. A member of the consumer protocol has to be in its epoch.
func (c *Coordinator) OffsetsFor(ctx context.Context, who Committer) (map[group.TopicPartition]group.Commit, error) {
	s, err := c.shardOf(ctx, who.Group)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[group.TopicPartition]group.Commit)
	if e := s.groups[who.Group]; e != nil {
		claim := who.claim()
		if err := e.g.MayFetch(&claim); err != nil {
			return nil, err
		}
		for tp, k := range e.offsets {
			all[tp] = k.Commit
		}
	}
	return all, nil
}

// DeleteOffsets forgets offsets of a group, unless its members read the topic.
// The result has an error, or nil, for each.
func (c *Coordinator) DeleteOffsets(ctx context.Context, id string, which []group.TopicPartition) ([]error, error) {
	s, err := c.shardOf(ctx, id)
	if err != nil {
		return nil, err
	}
	results := make([]error, len(which))
	err = s.forget(id, func(e *entry) (drop []group.TopicPartition, all bool, err error) {
		for i, tp := range which {
			if results[i] = e.g.Subscribed(tp.Topic); results[i] == nil {
				drop = append(drop, tp)
			}
		}
		return drop, false, e.g.MayDeleteOffsets()
	})
	return results, err
}

// Delete forgets a group that has no members, with its offsets. What is being
// written of it is waited for.
func (c *Coordinator) Delete(ctx context.Context, id string) error {
	s, err := c.shardOf(ctx, id)
	if err != nil {
		return err
	}
	if err := s.written(ctx, id); err != nil {
		return err
	}
	return s.forget(id, func(e *entry) (drop []group.TopicPartition, all bool, err error) {
		if e.g.State() != group.Empty {
			return nil, false, fmt.Errorf("%w: it is %s", group.ErrNotEmpty, e.g.State())
		}
		if e.writes > 0 {
			return nil, false, fmt.Errorf("%w: offsets are being committed", group.ErrNotEmpty)
		}
		for tp := range maps.Keys(e.offsets) {
			drop = append(drop, tp)
		}
		return drop, true, nil
	})
}

// written returns when nothing of the group is being written.
func (s *shard) written(ctx context.Context, id string) error {
	for {
		s.mu.Lock()
		e := s.groups[id]
		if e == nil || e.writes == 0 {
			s.mu.Unlock()
			return nil
		}
		if e.settled == nil {
			e.settled = make(chan struct{})
		}
		settled := e.settled
		s.mu.Unlock()
		select {
		case <-settled:
		case <-s.gone:
			return ErrNotCoordinator
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(ctx))
		}
	}
}

// forget writes tombstones for what judge says, the group itself among them
// when it says all.
func (s *shard) forget(id string, judge func(*entry) (drop []group.TopicPartition, all bool, err error)) error {
	s.mu.Lock()
	e, err := s.entry(id, false)
	if err != nil {
		s.mu.Unlock()
		return err
	}
	drop, all, err := judge(e)
	if err != nil || len(drop) == 0 && !all {
		s.mu.Unlock()
		return err
	}
	var keys [][]byte
	if all {
		keys = e.g.Keys()
	}
	pending, err := s.write(func(b *record.Builder, now int64) {
		for _, tp := range drop {
			b.Append(now, group.OffsetKey(id, tp), nil, nil)
		}
		for _, key := range keys {
			b.Append(now, key, nil, nil)
		}
	})
	if err != nil {
		s.mu.Unlock()
		return moved(err)
	}
	if all { // a request that comes now makes a new group, after the tombstones
		delete(s.groups, id)
	}
	s.mu.Unlock()
	done, err := s.await(pending)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, tp := range drop {
		if err == nil && e.offsets[tp].Place < done.Offset {
			delete(e.offsets, tp)
		}
	}
	return err
}
