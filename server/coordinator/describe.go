package coordinator

import (
	"context"
	"errors"
	"fmt"
	"sort"

	"github.com/chroniklog/chronik/server/group"
)

// Describe is a group as it is now: group.ErrUnknownGroup if there is none.
func (c *Coordinator) Describe(ctx context.Context, id string) (*group.Metadata, error) {
	s, err := c.shardOf(ctx, id)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.entry(id, false)
	if err != nil {
		return nil, err
	}
	return e.g.Describe(), nil
}

// List are the groups that this node coordinates, by name, without their
// members.
func (c *Coordinator) List(ctx context.Context) ([]*group.Metadata, error) {
	t, err := c.o.Topics.Topic(Topic)
	if err != nil {
		return nil, nil //nolint:nilerr // no topic, no groups
	}
	var list []*group.Metadata
	for p := range t.Partitions {
		s, err := c.shard(ctx, p)
		if errors.Is(err, ErrNotCoordinator) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list groups: %w", err)
		}
		s.mu.Lock()
		for _, e := range s.groups {
			md := e.g.Describe()
			md.Members = nil
			list = append(list, md)
		}
		s.mu.Unlock()
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Group < list[j].Group })
	return list, nil
}
