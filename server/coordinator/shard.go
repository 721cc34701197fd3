package coordinator

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/group"
	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/server/replica"
	"github.com/chroniklog/chronik/storage/record"
)

// shard is the groups of one partition in one leader epoch.
type shard struct {
	c      *Coordinator
	p      int32
	epoch  int32
	loaded chan struct{} // closed when the log has been read, or failed is set
	failed error
	gone   chan struct{} // closed when the shard is dropped
	once   sync.Once

	mu      sync.Mutex
	groups  map[string]*entry
	acking  map[acker]chan struct{} // closed when the ack is committed
	tokens  group.Token
	builder *record.Builder
	prune   pruning
}

// entry is one group with its offsets and who waits for an answer.
type entry struct {
	g       machine
	offsets map[group.TopicPartition]group.Kept
	waiting map[group.Token]chan group.Reply
	writes  int // under way

	settled chan struct{} // closed when nothing is under way; nil: nobody waits
	changed chan struct{} // closed when the group is not what stood says; nil: nobody watches
	stood   standing
	// rebalances counts the generations that were begun here.
	rebalances uint64
	counted    int32 // the generation that rebalances has counted last
	// What was shared out in the generation sharedIn, by topic, where a hosted
	// member led.
	shared   map[string]int32
	sharedIn int32
}

func newShard(c *Coordinator, p, epoch int32) *shard {
	return &shard{
		c: c, p: p, epoch: epoch, loaded: make(chan struct{}), gone: make(chan struct{}),
		groups: map[string]*entry{}, prune: pruning{due: true},
		acking: map[acker]chan struct{}{}, builder: record.NewBuilder(record.CodecNone),
	}
}

// drop ends the shard: who waits is told to look for the coordinator anew.
func (s *shard) drop() { s.once.Do(func() { close(s.gone) }) }

// settle returns when whoever is in has begun what it begins; who comes later
// sees the drop.
func (s *shard) settle() {
	s.mu.Lock()
	defer s.mu.Unlock()
}

func (s *shard) isGone() bool {
	select {
	case <-s.gone:
		return true
	default:
		return false
	}
}

// entry finds a group; with make it is created if it does not exist. Called
// with mu held.
func (s *shard) entry(id string, create bool) (*entry, error) {
	e := s.groups[id]
	switch {
	case e != nil:
		return e, nil
	case !create:
		return nil, fmt.Errorf("%w: %q", group.ErrUnknownGroup, id)
	case len(s.groups) >= s.c.o.MaxGroups:
		return nil, fmt.Errorf("%w: %d groups are too many", ErrUnavailable, len(s.groups))
	}
	e = newEntry(group.New(id, s.c.o.Group))
	s.groups[id] = e
	return e, nil
}

// wrote counts a write that has ended. Called with mu held.
func (e *entry) wrote() {
	if e.writes--; e.writes == 0 && e.settled != nil {
		close(e.settled)
		e.settled = nil
	}
}

// machine is a group of either protocol.
type machine interface {
	ID() string
	Step(now int64, ev group.Event) []group.Effect
	Deadline() int64
	State() group.State
	Generation() int32
	Leader() string
	EmptySince() int64
	Idle() bool
	Size() int
	MayCommit(now int64, c *group.Claim) error
	MayFetch(c *group.Claim) error
	MayDeleteOffsets() error
	Subscribed(topic string) error
	Describe() *group.Metadata
	Keys() [][]byte
}

func newEntry(g machine) *entry {
	return &entry{
		g: g, counted: g.Generation(), offsets: map[group.TopicPartition]group.Kept{},
		waiting: map[group.Token]chan group.Reply{},
	}
}

// load reads the log. It waits until the high watermark has reached the
// epoch's start: before that the end of what was acknowledged is not known.
func (s *shard) load() {
	defer close(s.loaded)
	if err := s.replay(); err != nil {
		s.failed = fmt.Errorf("%w: load %s/%d: %w", ErrUnavailable, Topic, s.p, err)
		if errors.Is(err, server.ErrNotLeader) || errors.Is(err, server.ErrNoLeader) {
			s.failed = fmt.Errorf("%w: %w", ErrNotCoordinator, err)
		} else {
			s.c.o.Logger.Warn("consumer groups were not loaded", "partition", s.p, "error", err)
		}
		s.drop() // the next request tries again
	}
}

func (s *shard) replay() error {
	end, err := s.end()
	if err != nil {
		return err
	}
	offsets, err := s.c.o.Logs.Offsets(Topic, s.p)
	if err != nil {
		return err
	}
	r := replayed{s: s, metadata: map[string]*group.Metadata{}, consumers: map[string]*group.ConsumerLog{}}
	for at := offsets.LogStart; at < end; {
		res, err := s.c.o.Logs.Read(s.c.ctx, server.ReadRequest{Topic: Topic, Partition: s.p, Offset: at, MaxBytes: 1 << 20})
		if err != nil {
			return err
		}
		next, err := r.batches(res.Batches)
		if err != nil || next <= at {
			return errors.Join(err, fmt.Errorf("replay stopped at offset %d of %d", at, end))
		}
		at = next
	}
	r.finish()
	return nil
}

// end waits for the high watermark of this epoch.
func (s *shard) end() (int64, error) {
	wake := make(chan struct{}, 1)
	cancel, err := s.c.o.Logs.Subscribe(Topic, s.p, wake)
	if err != nil {
		return 0, err
	}
	defer cancel()
	for {
		offsets, err := s.c.o.Logs.Offsets(Topic, s.p)
		if !errors.Is(err, partition.ErrOffsetNotAvailable) {
			return offsets.HighWatermark, err
		}
		select {
		case <-wake:
		case <-s.gone:
			return 0, ErrNotCoordinator
		case <-s.c.ctx.Done():
			return 0, context.Cause(s.c.ctx)
		}
	}
}

// replayed is what a replay has found. Nobody else sees the shard yet.
type replayed struct {
	s         *shard
	reader    record.Reader
	metadata  map[string]*group.Metadata
	consumers map[string]*group.ConsumerLog
}

// batches takes record batches and returns the offset after them.
func (r *replayed) batches(b []byte) (next int64, err error) {
	for len(b) > 0 {
		one, rest, err := record.Split(b)
		if err != nil {
			return next, err
		}
		h, err := r.reader.Reset(one, 0)
		if err != nil {
			return next, err
		}
		var rec record.Record
		for !h.Control() && r.reader.Next(&rec) {
			if err := r.record(&rec); err != nil {
				return next, err
			}
		}
		if err := r.reader.Err(); err != nil {
			return next, err
		}
		next, b = h.NextOffset(), rest
	}
	return next, nil
}

func (r *replayed) record(rec *record.Record) error {
	e, ok, err := group.Parse(rec.Key, rec.Value)
	if err != nil || !ok {
		return err
	}
	if e.Consumer != nil {
		l := r.consumers[e.Group]
		if l == nil {
			l = &group.ConsumerLog{}
		}
		r.consumers[e.Group] = l
		l.Take(e.Consumer, rec.Timestamp)
		return nil
	}
	if !e.OfOffset {
		delete(r.metadata, e.Group)
		if e.Metadata != nil {
			r.metadata[e.Group] = e.Metadata
		}
		return nil
	}
	held := r.s.groups[e.Group]
	if held == nil {
		held = newEntry(group.New(e.Group, r.s.c.o.Group))
		r.s.groups[e.Group] = held
	}
	if e.Commit == nil {
		delete(held.offsets, e.Partition)
	} else {
		held.offsets[e.Partition] = group.Kept{Commit: *e.Commit, Place: rec.Offset}
	}
	return nil
}

// finish makes the groups; one without members and offsets is none.
func (r *replayed) finish() {
	now := r.s.c.now()
	put := func(id string, g machine) {
		if e := r.s.groups[id]; e != nil {
			e.g, e.counted = g, g.Generation()
		} else {
			r.s.groups[id] = newEntry(g)
		}
	}
	for id, md := range r.metadata {
		put(id, group.Restore(now, md, r.s.c.o.Group))
	}
	for id, l := range r.consumers {
		if !l.Alive() {
			delete(r.consumers, id)
			continue
		}
		put(id, group.RestoreConsumerGroup(now, id, l, r.s.c.o.Group, catalog{r.s.c.o.Topics}))
	}
	for id, e := range r.s.groups {
		if len(e.offsets) == 0 && r.metadata[id] == nil && r.consumers[id] == nil {
			delete(r.s.groups, id)
		}
	}
}

// write appends records, in the order of the calls. Called with mu held; the
// Pending is waited for without it.
func (s *shard) write(add func(*record.Builder, int64)) (*replica.Pending, error) {
	if s.isGone() {
		return nil, ErrNotCoordinator
	}
	s.builder.Reset(0, 0)
	add(s.builder, s.c.now())
	batch := s.builder.Build(nil)
	h, err := record.ParseHeader(batch)
	if err != nil {
		return nil, err
	}
	return s.c.o.Logs.BeginBatch(s.c.ctx, Topic, s.p, partition.BatchAppend{
		Batch: batch, Header: h, Acks: partition.AcksAll, Cond: partition.NoConditions,
	})
}

// await waits for a write.
func (s *shard) await(p *replica.Pending) (partition.Appended, error) {
	ctx, cancel := context.WithTimeout(s.c.ctx, s.c.o.WriteWait)
	defer cancel()
	done, err := p.Wait(ctx)
	if err != nil {
		return done, moved(err)
	}
	if s.isGone() {
		return done, ErrNotCoordinator
	}
	return done, nil
}

// moved names the error of a write to a partition that has another leader.
func moved(err error) error {
	if errors.Is(err, server.ErrNotLeader) || errors.Is(err, server.ErrNoLeader) {
		return fmt.Errorf("%w: %w", ErrNotCoordinator, err)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}
