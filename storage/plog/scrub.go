package plog

import (
	"context"
	"errors"

	"github.com/chroniklog/chronik/storage/record"
	"github.com/chroniklog/chronik/storage/segment"
)

// scrubAll reads the sealed segments that were not read for ScrubInterval, and
// reports those that are corrupt.
func (s *Store) scrubAll(ctx context.Context, now int64) error {
	if s.opts.ScrubInterval < 0 {
		return nil
	}
	due := now - s.opts.ScrubInterval.Milliseconds()
	return s.eachClaimed(ctx, func(l *Log) error { return l.scrub(ctx, now, due) })
}

// Scrub reads every sealed segment now, whenever it was read last, and reports
// those that are corrupt, as the maintenance does: to Options.OnCorrupt, and
// by the error, which joins what was found.
func (s *Store) Scrub(ctx context.Context) error {
	s.maintaining.Lock()
	defer s.maintaining.Unlock()
	now := s.advanceClock()
	return s.eachClaimed(ctx, func(l *Log) error { return l.scrub(ctx, now, now+1) })
}

// scrub reads the log's segments that were read last before due.
func (l *Log) scrub(ctx context.Context, now, due int64) error {
	var list []segment.Segment
	l.mu.Lock()
	for _, seg := range l.segs {
		if seg.Sealed && seg.Synced == seg.End && max(seg.Scrubbed, seg.Created) < due {
			list = append(list, *seg)
		}
	}
	gen := l.gen
	l.mu.Unlock()
	var errs []error
	for i := range list {
		view := &list[i]
		err := l.scrubSegment(ctx, view)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if l.changed(view, gen) {
			continue
		}
		l.mu.Lock()
		if seg := l.original(view); seg != nil {
			seg.Scrubbed = now
		}
		l.mu.Unlock()
		errs = append(errs, l.corrupted(view, err))
	}
	return errors.Join(errs...)
}

func (l *Log) scrubSegment(ctx context.Context, view *segment.Segment) error {
	if err := view.Check(l.s.segFiles); err != nil {
		return err
	}
	end, err := view.Walk(l.s.segFiles, segment.Start(view.Base),
		func(_ segment.Mark, h *record.Header, _ []byte) error {
			if m := l.s.opts.Metrics.Scrubbed; m != nil {
				m(int64(h.Size()))
			}
			return l.s.pace(ctx, int64(h.Size()))
		})
	if err == nil && (end.MaxTs != view.End.MaxTs || !view.Sparse && end.Next != view.End.Next) {
		err = segment.ErrCorrupt
	}
	return err
}
