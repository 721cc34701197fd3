package backup

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/chroniklog/chronik/server/client"
)

// Options say how to work. Now is required where a backup is taken.
type Options struct {
	// Parallel is how many partitions are worked on at once, each with some 8
	// MiB in memory. Default 4.
	Parallel int
	// Progress is told now and then how far the work has come; it may be called
	// from several goroutines.
	Progress func(Progress)
	// Release is written into the manifest.
	Release string
	Now     func() time.Time
	// Replication, when not 0, is the replication factor of every topic that is
	// restored, and min.insync.replicas at most that.
	Replication int16
}

// Progress is how far the work has come.
type Progress struct {
	Done, Partitions int // partitions that are done, and all
	Records, Bytes   int64
}

// meter adds progress up.
type meter struct {
	tell                 func(Progress)
	partitions           int
	done, records, bytes atomic.Int64
}

func newMeter(o *Options, partitions int) *meter {
	if o.Parallel <= 0 {
		o.Parallel = 4
	}
	return &meter{tell: o.Progress, partitions: partitions}
}

func (m *meter) add(done, records, bytes int64) {
	p := Progress{
		Done: int(m.done.Add(done)), Partitions: m.partitions,
		Records: m.records.Add(records), Bytes: m.bytes.Add(bytes),
	}
	if m.tell != nil {
		m.tell(p)
	}
}

const (
	// patience is how long a step is tried again that the cluster can't do now:
	// elections take seconds.
	patience = time.Minute
	// pause is the wait between two attempts.
	pause = 200 * time.Millisecond
)

// again repeats a step that may be repeated while the answer is that this may
// help.
func again(ctx context.Context, step func() error) error {
	limit, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := step()
		var p *client.Problem
		if err == nil || !errors.As(err, &p) || !p.Retryable {
			return err
		}
		select {
		case <-limit.Done():
			if ctx.Err() == nil {
				return fmt.Errorf("tried for %v: %w", patience, err)
			}
			return err
		case <-time.After(max(pause, p.RetryAfter)):
		}
	}
}

// code is the problem code of an error, empty if it has none.
func code(err error) string {
	var p *client.Problem
	if errors.As(err, &p) {
		return p.Code
	}
	return ""
}

// gone tells that a topic was deleted, or its name is another one's.
func gone(err error) bool {
	switch code(err) {
	case "unknown_topic", "unknown_partition", "topic_id_mismatch":
		return true
	}
	return false
}
