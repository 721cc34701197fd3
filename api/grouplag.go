package api

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/chroniklog/chronik/api/gen"
	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/coordinator"
	"github.com/chroniklog/chronik/server/group"
	"github.com/chroniklog/chronik/server/partition"
)

// maxLagAsks bounds the partitions that are asked at once for their offsets.
const maxLagAsks = 16

func isUnknownGroup(err error) bool { return errors.Is(err, group.ErrUnknownGroup) }

// groupPartitions are the partitions that a group reads or has committed, with
// their lag and its sum.
func (s *Server) groupPartitions(ctx context.Context, d *coordinator.Description) ([]gen.GroupPartition, int64) {
	list := groupRows(d)
	slots := make(chan struct{}, maxLagAsks)
	var wg sync.WaitGroup
	for i := range list {
		slots <- struct{}{}
		wg.Go(func() {
			s.lagOf(ctx, &list[i])
			<-slots
		})
	}
	wg.Wait()
	var sum int64
	for i := range list {
		sum += deref(list[i].Lag)
	}
	return list, sum
}

// groupRows lists what a group reads or has committed, in order.
func groupRows(d *coordinator.Description) []gen.GroupPartition {
	list := []gen.GroupPartition{}
	at := make(map[group.TopicPartition]int)
	row := func(tp group.TopicPartition) *gen.GroupPartition {
		i, ok := at[tp]
		if !ok {
			i = len(list)
			at[tp] = i
			list = append(list, gen.GroupPartition{Topic: tp.Topic, Partition: tp.Partition})
		}
		return &list[i]
	}
	for i := range d.Offsets {
		row(d.Offsets[i].TopicPartition).Committed = &d.Offsets[i].Offset
	}
	for i := range d.Metadata.Members {
		m := &d.Metadata.Members[i]
		assigned, err := group.ParseAssignment(m.Assignment)
		if err != nil || !d.Metadata.Shared() {
			continue
		}
		for _, tp := range assigned {
			row(tp).Member = &m.ID
		}
	}
	slices.SortFunc(list, func(a, b gen.GroupPartition) int {
		return group.TopicPartition{Topic: a.Topic, Partition: a.Partition}.Compare(
			group.TopicPartition{Topic: b.Topic, Partition: b.Partition})
	})
	return list
}

// lagOf asks for a partition's offsets. What can't be known is said of the
// partition: the others are of use without it.
func (s *Server) lagOf(ctx context.Context, p *gen.GroupPartition) {
	o, err := partition.Offsets{}, error(server.ErrNoLeader)
	if !s.leaderless(p.Topic, p.Partition) {
		o, err = s.broker.Offsets(ctx, p.Topic, p.Partition)
	}
	if err != nil {
		problem, _ := problemOf(err)
		p.Error = &problem.Code
		return
	}
	lag := max(o.HighWatermark-max(deref(p.Committed), o.LogStart), 0)
	p.LogStartOffset, p.End, p.Lag = &o.LogStart, &o.HighWatermark, &lag
}
