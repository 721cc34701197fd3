package backup

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/chroniklog/chronik/server/client"
	"github.com/chroniklog/chronik/storage/record"
)

const (
	// chunk is about how many bytes one request reads.
	chunk = 8 << 20
	// endings is how often the end of a compacted partition is taken anew.
	endings = 20
)

var errCompaction = errors.New("compaction removes records faster than they are read; try again when less is written")

// logTaking is one partition.
type logTaking struct {
	t         *taking
	topic     string
	compacted bool
	log       *Log

	out  *sumWriter // nil until there is a batch
	next int64
	// holes: offsets were missing since they were last asked for.
	holes bool
}

// point takes the partition's end and what its leader remembers there.
func (l *logTaking) point(ctx context.Context) error {
	var at client.BackupPoint
	err := again(ctx, func() (err error) {
		at, err = l.t.c.BackupPoint(ctx, l.topic, l.log.Partition)
		return err
	})
	if err != nil {
		return err
	}
	if l.log.End == 0 && l.next == 0 {
		l.log.Start, l.next = at.Start, at.Start
	}
	l.log.End, l.log.LeaderEpoch, l.log.StateBytes = at.End, at.LeaderEpoch, int64(len(at.State))
	name := l.log.stateFile()
	if err := removeFile(l.t.dir, name); err != nil || len(at.State) == 0 {
		return err
	}
	sum, err := writeFile(l.t.dir, name, at.State)
	l.t.summed(name, sum)
	return err
}

// take reads the records up to the end.
func (l *logTaking) take(ctx context.Context) (err error) {
	defer func() {
		if l.out == nil {
			return
		}
		sum, ferr := l.out.finish()
		switch {
		case ferr != nil:
		case l.out.n > 0:
			l.t.summed(l.log.file(), sum)
		default:
			ferr = removeFile(l.t.dir, l.log.file())
		}
		err = errors.Join(err, ferr)
	}()
	if l.compacted {
		err = l.takeCompacted(ctx)
	} else {
		err = l.read(ctx, l.log.End)
	}
	if err != nil {
		return err
	}
	if l.out == nil || l.out.n == 0 {
		l.log.First = l.log.Start
	}
	l.t.meter.add(1, 0, 0)
	return nil
}

// takeCompacted reads to the end as it is, then takes the end until nothing is
// missing between.
func (l *logTaking) takeCompacted(ctx context.Context) error {
	var start, end int64
	err := again(ctx, func() (err error) {
		start, end, err = l.t.c.Offsets(ctx, l.topic, l.log.Partition)
		return err
	})
	if err != nil {
		return err
	}
	l.log.Start, l.next = start, start
	if err := l.read(ctx, end); err != nil {
		return err
	}
	for range endings {
		if err := l.point(ctx); err != nil {
			return err
		}
		l.holes = false
		if err := l.read(ctx, l.log.End); err != nil || !l.holes {
			return err
		}
	}
	return errCompaction
}

// read reads up to an offset where a batch ends.
func (l *logTaking) read(ctx context.Context, end int64) error {
	for l.next < end {
		var f client.Fetched
		err := again(ctx, func() (err error) {
			f, err = l.t.c.Fetch(ctx, client.FetchRequest{
				Topic: l.topic, TopicID: l.log.TopicID, Partition: l.log.Partition, Offset: l.next, MaxBytes: chunk,
			})
			return err
		})
		if code(err) == "offset_trimmed" {
			if err := l.trimmed(ctx, end); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		before := l.next
		if err := l.write(f.Batches, end); err != nil {
			return err
		}
		switch {
		case l.next > before:
		case f.HighWatermark >= end: // nothing is left of it
			l.next, l.holes = end, true
		default: // a new leader that has yet to learn how far it may tell
			if err := sleep(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

func sleep(ctx context.Context) error {
	select {
	case <-time.After(pause):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// write keeps the batches below end.
func (l *logTaking) write(batches []byte, end int64) error {
	for rest := batches; len(rest) > 0 && l.next < end; {
		batch, after, err := record.Split(rest)
		if err != nil {
			return fmt.Errorf("read the batch at %d: %w", l.next, err)
		}
		rest = after
		h, err := record.ParseHeader(batch)
		if err == nil {
			err = record.CheckCRC(batch)
		}
		switch {
		case err != nil:
			return fmt.Errorf("batch at %d: %w", l.next, err)
		case h.NextOffset() <= l.next:
			continue
		case h.BaseOffset >= end:
			l.next, l.holes = end, true
			return nil
		case h.NextOffset() > end:
			return fmt.Errorf("the batch at %d ends at %d, beyond the end at %d", h.BaseOffset, h.NextOffset(), end)
		}
		if err := l.open(); err != nil {
			return err
		}
		if l.out.n == 0 {
			l.log.First = min(l.log.Start, h.BaseOffset)
		}
		l.holes = l.holes || h.BaseOffset > l.next || int64(h.Count) != h.NextOffset()-h.BaseOffset
		l.next = h.NextOffset()
		if _, err := l.out.Write(batch); err != nil {
			return err
		}
		l.log.Records += int64(h.Count)
		l.log.Bytes += int64(len(batch))
		l.t.meter.add(0, int64(h.Count), int64(len(batch)))
	}
	return nil
}

func (l *logTaking) open() (err error) {
	if l.out == nil {
		l.out, err = createFile(l.t.dir, l.log.file())
	}
	return err
}

// trimmed begins anew where the log starts now.
func (l *logTaking) trimmed(ctx context.Context, end int64) error {
	var start int64
	err := again(ctx, func() (err error) {
		start, _, err = l.t.c.Offsets(ctx, l.topic, l.log.Partition)
		return err
	})
	if err != nil {
		return err
	}
	l.t.meter.add(0, -l.log.Records, -l.log.Bytes)
	l.log.Records, l.log.Bytes = 0, 0
	l.log.Start = min(max(start, l.log.Start), end)
	l.next, l.holes = l.log.Start, true
	if l.out != nil {
		return l.out.restart()
	}
	return nil
}
