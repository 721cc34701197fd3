package plog

import (
	"context"
	"time"

	"github.com/chroniklog/chronik/storage/segment"
)

// Retention removes whole segments from a log's start: those whose newest
// record is older than Config.Retention, and the oldest ones above
// Config.RetentionBytes. It stays below the high watermark, and touches only
// what a checkpoint knows; where something is due that none knows yet, the
// pass makes one first.

// retainAll applies retention, and seals segments by age.
func (s *Store) retainAll(ctx context.Context, now int64) error {
	behind := false
	pass := func() error {
		behind = false
		return s.eachClaimed(ctx, func(l *Log) error {
			if err := l.sealByAge(now); err != nil {
				return s.orFatal(err)
			}
			to, more := l.retainTo(now)
			behind = behind || more
			return l.retain(ctx, to)
		})
	}
	err := pass()
	if err != nil || !behind {
		return err
	}
	if s.hasTrash() { // the disk may need what was trimmed already
		if err := s.ask(ctx, request{}); err != nil {
			return err
		}
	}
	if err := s.Checkpoint(ctx); err != nil {
		return err
	}
	return pass()
}

// orFatal fails the store with an error of writing that is not about space.
func (s *Store) orFatal(err error) error {
	if err != nil && !isDiskFull(err) {
		s.fail(err)
	}
	return err
}

// retainTo is where the log should start, by its configuration. more says that
// retention would go further if a checkpoint knew all that is written.
func (l *Log) retainTo(now int64) (to int64, more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	to = l.start.Load()
	if !l.cfg.Delete {
		return to, false
	}
	cutoff := segment.NoTs
	if l.cfg.Retention > 0 {
		cutoff = now - l.cfg.Retention.Milliseconds()
	}
	size, hw := l.size(), l.hw.Load()
	for i, seg := range l.segs {
		if seg.End.Next > hw || seg.Blank() {
			return to, false
		}
		last := i == len(l.segs)-1
		old := newest(seg) < cutoff
		big := l.cfg.RetentionBytes > 0 && size-seg.End.Pos >= l.cfg.RetentionBytes && !last
		if !old && !big {
			return to, false
		}
		if seg.Known != seg.End {
			return to, true
		}
		size -= seg.End.Pos
		to = seg.End.Next
	}
	if q := l.tail.batches()[l.tail.from(l.written()):]; len(q) > 0 && q[0].next <= hw { // not in a segment yet
		more = q[0].maxTs < cutoff || l.cfg.RetentionBytes > 0 && size > l.cfg.RetentionBytes
	}
	return to, more
}

// newest is the time of a segment's newest record; without timestamps, of its
// beginning.
func newest(seg *segment.Segment) int64 {
	if seg.End.MaxTs < 0 {
		return seg.Created
	}
	return seg.End.MaxTs
}

// retain trims the log.
func (l *Log) retain(ctx context.Context, to int64) error {
	if to <= l.StartOffset() {
		return nil
	}
	var segments int
	var bytes int64
	l.io.Lock()
	o := l.trimOp(to, func(n int, b int64) { segments, bytes = n, b })
	if err := l.doLocked(ctx, o); err != nil {
		return l.wrap("apply retention to", err)
	}
	l.s.opts.Logger.Info("retention", "log", l.id.String(), "start", to, "segments", segments, "bytes", bytes)
	if m := l.s.opts.Metrics.Retained; m != nil {
		m(segments, bytes)
	}
	return nil
}

// sealByAge ends an active segment that is older than Config.SegmentAge, or as
// old as compaction may let it become.
func (l *Log) sealByAge(now int64) error {
	old := func() *segment.Segment {
		l.mu.Lock()
		defer l.mu.Unlock()
		most := l.cfg.sealAge()
		if most <= 0 || len(l.segs) == 0 || l.gone != nil {
			return nil
		}
		seg := l.segs[len(l.segs)-1]
		age := time.Duration(now-seg.Created) * time.Millisecond
		if seg.Sealed || seg.Blank() || age < most {
			return nil
		}
		return seg
	}
	if old() == nil {
		return nil
	}
	l.io.Lock()
	defer l.io.Unlock()
	seg := old() // again: it may have been sealed or cut meanwhile
	if seg == nil {
		return nil
	}
	return l.unlessGone(l.seal(seg))
}
