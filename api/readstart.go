package api

import (
	"context"

	"github.com/chroniklog/chronik/server"
)

// partitionFeed makes the feed of a read of one partition.
func (s *Server) partitionFeed(ctx context.Context, p *readParams, t server.Topic, number int32) (*feed, error) {
	if number >= t.Partitions {
		return nil, unknownPartition(t.Name, number, t.Partitions)
	}
	f := s.newFeed(p, t)
	sp := span{partition: number, end: noEnd}
	if p.end >= 0 {
		sp.end = p.end
	}
	if err := f.confirmSpan(ctx, p, &sp); err != nil {
		return nil, err
	}
	if p.cursor != "" {
		c, err := parseCursor(p.start, p.cursor)
		if err == nil {
			err = c.fits(p.start, &t, number)
		}
		if err != nil {
			return nil, err
		}
		sp.next = c.next[0]
	} else if err := f.startAt(ctx, p, &sp); err != nil {
		return nil, err
	}
	f.spans = append(f.spans, sp)
	return f, nil
}

// topicFeed makes the feed of a read of all partitions.
func (s *Server) topicFeed(ctx context.Context, p *readParams, t server.Topic) (*feed, error) {
	if t.Partitions > maxMerged {
		return nil, tooManyPartitions(t)
	}
	f := s.newFeed(p, t)
	f.whole = true
	if p.cursor != "" {
		c, err := parseCursor(p.start, p.cursor)
		if err == nil {
			err = c.fits(p.start, &t, anyPartition)
		}
		if err != nil {
			return nil, err
		}
		for i, next := range c.next {
			f.spans = append(f.spans, span{partition: int32(i), next: next, end: noEnd})
		}
		f.turn = c.first
		f.addSpans(t.Partitions)
		for i := range f.spans {
			if err := f.confirmSpan(ctx, p, &f.spans[i]); err != nil {
				return nil, err
			}
		}
		_, err = f.readable(ctx) // the page tells all offsets, also those it does not come to
		return f, err
	}
	for number := range t.Partitions {
		sp := span{partition: number, end: noEnd}
		if err := f.confirmSpan(ctx, p, &sp); err != nil {
			return nil, err
		}
		if err := f.startAt(ctx, p, &sp); err != nil {
			return nil, err
		}
		f.spans = append(f.spans, sp)
	}
	return f, nil
}

func (s *Server) newFeed(p *readParams, t server.Topic) *feed {
	return &feed{s: s, topic: t, limits: s.broker.TopicLimits(t), isolation: p.isolation, clamp: p.clamp}
}

func tooManyPartitions(t server.Topic) error {
	return badRequest(CodeInvalidPartitions,
		"topic %s has %d partitions; at most %d are read together: read /v1/topics/%s/partitions/N/records",
		t.Name, t.Partitions, maxMerged, t.Name)
}

// startAt sets the offset that a span starts at.
func (f *feed) startAt(ctx context.Context, p *readParams, sp *span) error {
	if p.offset >= 0 {
		sp.next = p.offset
		return nil
	}
	o, err := f.s.broker.Offsets(ctx, f.topic.Name, sp.partition)
	if err != nil {
		return err
	}
	sp.offsets, sp.floating = o, true
	switch {
	case p.timestamp >= 0:
		offset, _, ok, err := f.s.broker.OffsetForTime(ctx, f.topic.Name, sp.partition, p.timestamp)
		if err != nil {
			return err
		}
		if sp.next = f.visible(&o); ok {
			sp.next = offset
		}
	case p.tail >= 0:
		sp.next = max(o.LogStart, f.visible(&o)-p.tail)
	case p.from == fromLatest:
		sp.next = f.visible(&o)
	default:
		sp.next = o.LogStart
	}
	return nil
}
