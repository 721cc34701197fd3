package backup

import (
	"context"
	"fmt"
	"io"
	"math"

	"github.com/chroniklog/chronik/storage/record"
)

// restoreChunk is about how many bytes one request restores.
const restoreChunk = 4 << 20

// logRestoring is one partition.
type logRestoring struct {
	r     *restoring
	topic string
	log   *Log

	next    int64 // what the cluster has
	packed  int64 // what is in chunk, too
	chunk   []byte
	records int64
}

// run restores the partition, from where an earlier attempt has come to.
func (l *logRestoring) run(ctx context.Context) error {
	led, err := l.led(ctx)
	if err != nil {
		return err
	}
	if led {
		return nil
	}
	return l.fill(ctx)
}

// led tells whether the partition was given its records already.
func (l *logRestoring) led(ctx context.Context) (led bool, err error) {
	err = again(ctx, func() error {
		p, err := l.r.c.Partition(ctx, l.topic, l.log.Partition)
		led = p.LeaderEpoch > l.log.LeaderEpoch+1
		return err
	})
	return led, err
}

// fill gives the partition its records and has it led.
func (l *logRestoring) fill(ctx context.Context) error {
	state, err := readState(l.r.root, l.log)
	if err != nil {
		return err
	}
	err = again(ctx, func() (err error) {
		l.next, err = l.r.c.BeginPartitionRestore(ctx, l.topic, l.log.Partition, l.log.First, state)
		return err
	})
	if err != nil {
		return err
	}
	if l.next > l.log.End {
		return fmt.Errorf("the partition has records up to %d, the backup up to %d", l.next, l.log.End)
	}
	l.packed = l.next
	epoch := int32(0)
	if l.log.Bytes > 0 {
		err = eachBatch(l.r.root, l.log.file(), io.Discard, func(b []byte, h record.Header) error {
			epoch = h.LeaderEpoch
			return l.add(ctx, b, h)
		})
	}
	if err != nil {
		return err
	}
	if err := l.hole(ctx, l.log.End, epoch); err != nil {
		return err
	}
	if err := l.send(ctx); err != nil {
		return err
	}
	err = again(ctx, func() error {
		return l.r.c.EndPartitionRestore(ctx, l.topic, l.log.Partition, l.log.End)
	})
	if code(err) == "not_restoring" { // an attempt whose answer was lost
		if led, lerr := l.led(ctx); lerr == nil && led {
			return nil
		}
	}
	return err
}

// add packs a batch, after what stands for the records that are missing before.
func (l *logRestoring) add(ctx context.Context, batch []byte, h record.Header) error {
	if h.NextOffset() <= l.packed {
		return nil
	}
	if len(l.chunk) > 0 && len(l.chunk)+len(batch) > restoreChunk {
		if err := l.send(ctx); err != nil {
			return err
		}
	}
	if err := l.hole(ctx, h.BaseOffset, h.LeaderEpoch); err != nil {
		return err
	}
	l.chunk = append(l.chunk, batch...)
	l.packed = h.NextOffset()
	l.records += int64(h.Count)
	return nil
}

// hole packs what stands for the records that are missing below an offset: a
// batch for every 2^31, which may be more than one request takes.
func (l *logRestoring) hole(ctx context.Context, to int64, epoch int32) error {
	for l.packed < to {
		next := min(to, l.packed+math.MaxInt32)
		l.chunk = record.AppendHole(l.chunk, l.packed, next, epoch)
		l.packed = next
		if len(l.chunk) > restoreChunk {
			if err := l.send(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// send has what was packed appended.
func (l *logRestoring) send(ctx context.Context) error {
	if len(l.chunk) == 0 {
		return nil
	}
	var next int64
	err := again(ctx, func() (err error) {
		next, err = l.r.c.RestoreBatches(ctx, l.topic, l.log.Partition, l.chunk)
		return err
	})
	if err != nil {
		return err
	}
	if next != l.packed {
		return fmt.Errorf("the partition ends at %d after batches up to %d", next, l.packed)
	}
	l.r.meter.add(0, l.records, int64(len(l.chunk)))
	l.next, l.chunk, l.records = next, l.chunk[:0], 0
	return nil
}
