package replica

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/chroniklog/chronik/server/partition"
)

// Replica is one partition on this node. Its methods may be called from many
// goroutines.
type Replica struct {
	opts   Options // not written after Open
	log    Log
	ctx    context.Context // ends with Close; for reads of the log without a caller's
	cancel context.CancelFunc
	wg     sync.WaitGroup // snapshots

	mu     sync.Mutex // guards what follows; never held over I/O
	st     *partition.State
	down   error // nil while appends are taken
	pack   pack
	gates  gates
	traced traced
	dirty  bool  // the log knows that something is staged
	grown  bool  // followers were not told of what was appended last
	staged int64 // bytes given to the log and not yet on disk
	rate   rate
	snap   snapshots
	keys   keyBuild

	repairing bool                  // a follower's log is being cut
	later     *partition.Leadership // what arrived meanwhile

	subs     listeners // to what readers can see
	watchers listeners // to what followers can fetch, too
}

// Open loads the derived state of a log, replays what follows the last
// snapshot, and takes the log over. The replica neither leads nor follows
// until it is told.
func Open(ctx context.Context, opts Options) (*Replica, error) {
	opts.setDefaults()
	r := &Replica{
		opts: opts,
		log:  opts.Log,
	}
	var err error
	if r.st, r.snap.saved, err = r.derive(ctx); err != nil {
		return nil, r.wrap("open", err)
	}
	r.st.Mutate(opts.Mutation)
	r.st.SetLogStart(r.log.StartOffset())
	r.st.Flushed(r.log.FlushedOffset())
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.log.Bind(r)
	return r, nil
}

// Close refuses new appends, waits until what was accepted is on disk, saves
// a snapshot where that spares the next start a long scan, and fails the
// appends that still wait for other replicas. The log stays open. When ctx
// ends first, its error is returned and the rest is done without waiting.
func (r *Replica) Close(ctx context.Context) error {
	r.mu.Lock()
	if r.down != nil {
		r.mu.Unlock()
		r.cancel()
		r.wg.Wait()
		return nil
	}
	r.down = partition.ErrClosed
	r.snap.disarm()
	r.seal()
	var synced <-chan struct{} = opened
	if end := r.log.EndOffset(); end > r.st.FlushedEnd() {
		synced = r.gates.at(end).flushedCh()
	}
	dirty := r.dirty
	r.mu.Unlock()
	if dirty {
		r.log.MarkDirty()
	}

	var err error
	select {
	case <-synced:
		err = r.finalSnapshot()
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	r.cancel()
	r.wg.Wait()
	r.mu.Lock()
	woken := r.gates.fail(partition.ErrClosed)
	r.mu.Unlock()
	woken.open()
	r.changed()
	if err != nil {
		return r.wrap("close", err)
	}
	return nil
}

// SetConfig takes a changed topic configuration.
func (r *Replica) SetConfig(cfg partition.Config) {
	r.mu.Lock()
	if r.pack.count() > 0 {
		r.seal() // the open batch was begun under the old one
	}
	if !cfg.Compact {
		r.keys.drop()
	}
	advanced := r.st.SetConfig(cfg)
	woken := r.advanced(advanced)
	r.mu.Unlock()
	woken.open()
	if advanced {
		r.changed()
	}
}

// Config is the topic configuration in force.
func (r *Replica) Config() partition.Config {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.st.Config()
}

// nowMs is the broker's clock in Unix milliseconds.
func (r *Replica) nowMs() int64 { return r.opts.Now().UnixMilli() }

// wrap names the operation and the partition.
func (r *Replica) wrap(op string, err error) error {
	return fmt.Errorf("%s %s/%d: %w", op, r.opts.Topic, r.opts.ID.Partition, err)
}

// rate follows the speed at which this partition's bytes get on disk.
type rate struct {
	bytesPerSecond float64
}

// add takes a cycle that synced n bytes of this partition.
func (x *rate) add(n int64, took time.Duration) {
	if n <= 0 || took <= 0 {
		return
	}
	v := float64(n) / took.Seconds()
	if x.bytesPerSecond == 0 {
		x.bytesPerSecond = v
		return
	}
	x.bytesPerSecond += (v - x.bytesPerSecond) / 8
}

// The bounds of a hint: less can't be told from a scheduler's delay, more
// would leave a disk idle that has recovered.
const (
	leastRetry = time.Millisecond
	mostRetry  = 5 * time.Second
)

// retryAfter is the time until n bytes will be on disk.
func (x *rate) retryAfter(n int64) time.Duration {
	if x.bytesPerSecond == 0 {
		return 100 * time.Millisecond
	}
	d := time.Duration(float64(n) / x.bytesPerSecond * float64(time.Second))
	return min(max(d, leastRetry), mostRetry)
}
