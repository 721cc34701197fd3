package replication

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/server/peer"
	"github.com/chroniklog/chronik/storage/plog"
)

// Bounds of a follower's waiting.
const (
	// A connection that failed is tried again after firstRedial, then ever
	// later up to lastRedial: a leader that restarts is found within that.
	firstRedial = 10 * time.Millisecond
	lastRedial  = 500 * time.Millisecond
	// A position that was refused is sent again after this: metadata reaches
	// the two sides at different moments.
	refusedRetry = 50 * time.Millisecond
	// repairs bounds the truncations and resets that run at once.
	repairs = 16
)

// Followed is a partition as its fetcher sees it. Its methods fail with
// partition.ErrStaleLeaderEpoch when epoch is no longer the partition's; what
// was asked is then not done.
type Followed interface {
	// Position is where the log ends now; ok is false when there is nothing
	// to fetch: this broker leads, or the log is not to be written.
	Position() (p Position, ok bool)
	// Follow appends batches, which it may keep, and takes the leader's
	// watermark and start of log. It may block for room.
	Follow(ctx context.Context, epoch int32, a partition.FetchAnswer, batches []byte) error
	// Diverged truncates by comparison with the leader's d.
	Diverged(ctx context.Context, epoch int32, d partition.EpochEnd) error
	// Reset empties the log, which then starts at start.
	Reset(ctx context.Context, epoch int32, start int64) error
	// TakeState takes over the leader's saved state; it is durable on return.
	TakeState(ctx context.Context, epoch int32, state []byte) error
	// Watch calls fn, which does not block, whenever the position changes.
	Watch(fn func()) (cancel func())
}

// Dial opens a connection to a broker for a follower's messages.
type Dial func(ctx context.Context, leader int32) (peer.Conn, error)

// Fetcher copies the partitions that one other broker leads. One goroutine
// dials and receives, one sends; both are Run's.
type Fetcher struct {
	leader int32
	dial   Dial
	epoch  func() uint64 // this broker's registration
	logger *slog.Logger
	wake   chan struct{}
	sem    chan struct{}
	sleep  func(context.Context, time.Duration)

	mu      sync.Mutex
	parts   map[plog.ID]*copied
	changed []*copied // positions to send, each at most once
	dropped []plog.ID // partitions to take out of the session
	refused []*copied // positions to send again after refusedRetry
	// hangUp ends the connection. It is written before the rest runs.
	hangUp func()
	broken bool // for Take, of a connection without goroutines
}

// copied is one partition of a fetcher; Fetcher.mu guards it.
type copied struct {
	id       plog.ID
	followed Followed
	cancel   func()
	queued   bool
	busy     bool // a truncation runs: nothing is sent or taken
	waiting  bool // in Fetcher.refused
	// asked: the leader was asked for batches and has not answered. What comes
	// unasked is not taken: the log may have changed since it was sent.
	asked bool
	// taking: an answer is being taken. What changes meanwhile, which sets
	// again, is told after it, in one position.
	taking, again bool
	// told is what the connection was told last, if it was.
	told Position
	gone bool
}

// NewFetcher makes a fetcher of what leader leads. epoch tells this broker's
// current broker epoch.
func NewFetcher(leader int32, dial Dial, epoch func() uint64, logger *slog.Logger) *Fetcher {
	return &Fetcher{
		leader: leader, dial: dial, epoch: epoch, logger: logger,
		wake: make(chan struct{}, 1), sem: make(chan struct{}, repairs), sleep: sleep,
		parts: make(map[plog.ID]*copied),
	}
}

// Add begins to copy a partition; one that is there already is replaced.
func (f *Fetcher) Add(id plog.ID, followed Followed) {
	f.Remove(id)
	c := &copied{id: id, followed: followed}
	f.mu.Lock()
	f.parts[id] = c
	f.mu.Unlock()
	cancel := followed.Watch(func() { f.enqueue(c) })
	f.mu.Lock()
	c.cancel = cancel
	f.mu.Unlock()
	f.enqueue(c)
}

// Remove stops copying a partition. Data on its way is dropped by its leader
// epoch, or by the follower itself.
func (f *Fetcher) Remove(id plog.ID) {
	f.mu.Lock()
	c := f.parts[id]
	delete(f.parts, id)
	var cancel func()
	if c != nil {
		c.gone, cancel = true, c.cancel
		f.dropped = append(f.dropped, id)
	}
	f.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	f.signal()
}

// Len is the number of partitions that are copied.
func (f *Fetcher) Len() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.parts)
}

// Run copies until ctx ends, dialling again whenever the connection fails.
func (f *Fetcher) Run(ctx context.Context) {
	wait := firstRedial
	for ctx.Err() == nil {
		began := time.Now()
		err := f.connected(ctx)
		if ctx.Err() != nil {
			return
		}
		f.logger.Debug("replication connection ended", "leader", f.leader, "error", err)
		if time.Since(began) > lastRedial {
			wait = firstRedial
		}
		sleep(ctx, wait+rand.N(wait))
		wait = min(2*wait, lastRedial)
	}
}

// connected runs one connection.
func (f *Fetcher) connected(ctx context.Context) error {
	conn, err := f.dial(ctx, f.leader)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	f.hangUp = cancel
	f.restart()
	var wg sync.WaitGroup
	sent := make(chan error, 1)
	wg.Go(func() {
		sent <- f.send(ctx, conn)
		_ = conn.Close()
	})
	received := f.receive(ctx, conn, &wg)
	cancel()
	_ = conn.Close()
	wg.Wait()
	return errors.Join(received, <-sent)
}

// restart has every position sent on a new connection.
func (f *Fetcher) restart() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dropped = f.dropped[:0]
	f.changed, f.refused = f.changed[:0], nil
	for _, c := range f.parts {
		c.waiting, c.asked, c.taking, c.told = false, false, false, Position{}
		c.queued = true
		f.changed = append(f.changed, c)
	}
}

func (f *Fetcher) enqueue(c *copied) {
	f.mu.Lock()
	if c.taking {
		c.again = true
		f.mu.Unlock()
		return
	}
	if !c.queued && !c.gone && !c.busy {
		c.queued = true
		f.changed = append(f.changed, c)
	}
	f.mu.Unlock()
	f.signal()
}

func (f *Fetcher) signal() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// send sends positions as they change.
func (f *Fetcher) send(ctx context.Context, conn peer.Conn) error {
	var msg []byte
	var m Fetch
	retry := time.NewTimer(refusedRetry)
	retry.Stop()
	defer retry.Stop()
	var due <-chan time.Time // nil while nothing was refused: no timer runs
	for {
		if msg = f.next(msg[:0], &m); len(msg) > 0 {
			if err := conn.Send(msg); err != nil {
				return err
			}
			continue
		}
		if due == nil && f.anyRefused() {
			retry.Reset(refusedRetry)
			due = retry.C
		}
		select {
		case <-f.wake:
		case <-due:
			due = nil
			f.again()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// next appends the message that is to be sent, if there is one. m is reused.
func (f *Fetcher) next(dst []byte, m *Fetch) []byte {
	m.BrokerEpoch = f.epoch()
	if m.Positions = f.positions(m.Positions[:0]); len(m.Positions) == 0 {
		return dst
	}
	return AppendFetch(dst, m)
}

// later has a refused position sent again in a while.
func (f *Fetcher) later(c *copied) {
	f.mu.Lock()
	if !c.waiting && !c.gone {
		c.waiting = true
		f.refused = append(f.refused, c)
	}
	f.mu.Unlock()
	f.signal()
}

func (f *Fetcher) anyRefused() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.refused) > 0
}

// again sends every refused position.
func (f *Fetcher) again() {
	f.mu.Lock()
	refused := f.refused
	f.refused = nil
	for _, c := range refused {
		c.waiting = false
	}
	f.mu.Unlock()
	for _, c := range refused {
		f.enqueue(c)
	}
}

// positions takes up to a message's worth of changes.
func (f *Fetcher) positions(dst []Position) []Position {
	f.mu.Lock()
	n := min(len(f.dropped), MaxPartitions)
	for _, id := range f.dropped[:n] {
		dst = append(dst, Position{ID: id, Gone: true})
	}
	f.dropped = append(f.dropped[:0], f.dropped[n:]...)
	n = min(len(f.changed), MaxPartitions-n)
	take := append([]*copied(nil), f.changed[:n]...)
	f.changed = append(f.changed[:0], f.changed[n:]...)
	for _, c := range take {
		c.queued = false
	}
	f.mu.Unlock()
	for _, c := range take {
		p, ok := c.followed.Position()
		if !ok {
			continue
		}
		f.mu.Lock()
		p.ID, p.Wants = c.id, !c.asked && !c.busy
		c.asked = c.asked || p.Wants
		news := p.Wants || p != c.told
		c.told = p
		c.told.Wants = false
		f.mu.Unlock()
		if news {
			dst = append(dst, p)
		}
	}
	return dst
}

// runner runs repairs; a sync.WaitGroup is one.
type runner interface{ Go(func()) }

// receive takes answers until the connection ends. Repairs run beside it and
// belong to wg.
func (f *Fetcher) receive(ctx context.Context, conn peer.Conn, wg runner) error {
	for {
		msg, err := conn.Receive()
		if err != nil {
			return err
		}
		if err := f.received(ctx, msg, wg); err != nil {
			return err
		}
	}
}

// received takes a message, and keeps it.
func (f *Fetcher) received(ctx context.Context, msg []byte, wg runner) error {
	var d Data
	for len(msg) > 0 {
		var err error
		if msg, err = DecodeData(msg, &d); err != nil {
			return err
		}
		if err := f.take(ctx, &d, wg); err != nil {
			return err
		}
	}
	return nil
}

// take handles one partition's answer.
func (f *Fetcher) take(ctx context.Context, d *Data, wg runner) error {
	f.mu.Lock()
	c := f.parts[d.ID]
	skip := c == nil || c.busy || len(d.Batches) > 0 && !c.asked
	f.mu.Unlock()
	if skip {
		return nil
	}
	switch d.Code {
	case CodeOK:
		return f.follow(ctx, c, d)
	case CodeDiverging:
		// d is decoded into again while the repair runs.
		epoch, end := d.LeaderEpoch, partition.EpochEnd{Epoch: d.DivergingEpoch, End: d.DivergingEnd}
		f.repair(ctx, c, wg, func() error { return c.followed.Diverged(ctx, epoch, end) })
	case CodeBelowStart:
		epoch, start := d.LeaderEpoch, d.LogStart
		f.repair(ctx, c, wg, func() error { return c.followed.Reset(ctx, epoch, start) })
	case CodeState:
		epoch, state := d.LeaderEpoch, bytes.Clone(d.Batches)
		f.repair(ctx, c, wg, func() error {
			err := c.followed.TakeState(ctx, epoch, state)
			if err != nil && !errors.Is(err, partition.ErrStaleLeaderEpoch) {
				f.hangUp() // the leader takes it for delivered in this session
			}
			return err
		})
	default:
		f.mu.Lock()
		c.asked = false
		f.mu.Unlock()
		f.later(c)
	}
	return nil
}

// follow appends batches and has the next ones asked for.
func (f *Fetcher) follow(ctx context.Context, c *copied, d *Data) error {
	f.mu.Lock()
	c.taking, c.again = true, len(d.Batches) > 0
	f.mu.Unlock()
	answer := partition.FetchAnswer{HighWatermark: d.HighWatermark, LogStart: d.LogStart, Traced: d.Traced}
	err := c.followed.Follow(ctx, d.LeaderEpoch, answer, d.Batches)
	f.mu.Lock()
	c.taking = false
	c.asked = c.asked && len(d.Batches) == 0
	again := c.again
	f.mu.Unlock()
	if again {
		f.enqueue(c)
	}
	if err != nil && !errors.Is(err, partition.ErrStaleLeaderEpoch) {
		return fmt.Errorf("follow: %w", err)
	}
	return nil
}

// repair runs fn beside the connection and sends the position afterwards.
func (f *Fetcher) repair(ctx context.Context, c *copied, wg runner, fn func() error) {
	f.mu.Lock()
	c.busy, c.asked = true, false
	f.mu.Unlock()
	wg.Go(func() {
		select {
		case f.sem <- struct{}{}:
			if err := fn(); err != nil && ctx.Err() == nil {
				f.logger.Warn("follower repair failed", "topic_id", fmt.Sprintf("%x", c.id.Topic),
					"partition", c.id.Partition, "leader", f.leader, "error", err)
				f.sleep(ctx, refusedRetry)
			}
			<-f.sem
		case <-ctx.Done():
		}
		f.mu.Lock()
		c.busy = false
		f.mu.Unlock()
		f.enqueue(c)
	})
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
