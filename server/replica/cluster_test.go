package replica

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/storage/record"
)

// cluster is three replicas of one partition on fake logs, a controller, and
// no network: every message is a step that the test draws.
type cluster struct {
	t      *rapid.T
	nodes  [4]*member // by id; 0 is unused
	meta   partition.Leadership
	props  []*partition.Proposal
	acked  map[int64]string
	open   map[string]*Pending
	nth    int
	minISR int
	// compacts: the topic is compacted, so that logs have holes.
	compacts bool
}

type member struct {
	id     int32
	log    *fakeLog
	r      *Replica // nil: down
	epoch  uint64   // of the broker
	fenced bool
	stated int64 // offset of the state that it was given in this session
}

func newCluster(t *rapid.T) *cluster {
	c := &cluster{t: t, acked: map[int64]string{}, open: map[string]*Pending{}}
	c.compacts = rapid.Bool().Draw(t, "compacts")
	c.minISR = rapid.IntRange(1, 2).Draw(t, "min isr")
	all := []int32{1, 2, 3}
	isr := slices.Clone(all[:rapid.IntRange(1, 3).Draw(t, "isr")])
	c.meta = partition.Leadership{Leader: 1, LeaderEpoch: 0, PartitionEpoch: 1, Replicas: all, ISR: isr}
	for _, id := range all {
		c.nodes[id] = &member{id: id, log: &fakeLog{}}
		c.start(c.nodes[id])
	}
	return c
}

func (c *cluster) start(m *member) {
	cfg := partition.DefaultConfig()
	cfg.MinISR, cfg.Compact = c.minISR, c.compacts
	r, err := Open(context.Background(), Options{
		Topic: "t", Log: m.log, Node: m.id, Config: cfg, SnapshotBytes: 300,
		Now:        func() time.Time { return time.UnixMilli(1) },
		OnProposal: func(p *partition.Proposal) { c.props = append(c.props, p) },
	})
	if err != nil {
		c.t.Fatalf("open %d: %v", m.id, err)
	}
	m.r, m.fenced, m.stated = r, false, 0
	m.epoch++
	r.Apply(c.meta)
}

// fence is the controller that has lost a broker, or registers its next
// incarnation.
func (c *cluster) fence(m *member) {
	l := c.meta
	if len(l.ISR) > 1 {
		l.ISR = slices.DeleteFunc(slices.Clone(l.ISR), func(n int32) bool { return n == m.id })
	}
	if l.Leader == m.id {
		l.Leader = 0
		live := slices.DeleteFunc(slices.Clone(l.ISR), func(n int32) bool { return c.nodes[n].r == nil })
		if len(live) > 0 {
			l.Leader = rapid.SampledFrom(live).Draw(c.t, "elected")
		}
		l.LeaderEpoch++
	}
	l.PartitionEpoch++
	c.meta = l
	m.fenced = true
}

func (c *cluster) crash(m *member) {
	if m.r == nil {
		return
	}
	_ = m.r.Close(canceled()) // its goroutines, not its bytes
	m.r.wg.Wait()
	m.r, m.log = nil, m.log.crash()
}

func (c *cluster) restart(m *member) {
	if m.r != nil {
		return
	}
	if !m.fenced {
		c.fence(m)
	}
	c.start(m)
	if c.meta.Leader == 0 && slices.Contains(c.meta.ISR, m.id) {
		c.meta.Leader = m.id
		c.meta.LeaderEpoch++
		c.meta.PartitionEpoch++
	}
}

// decide is the controller's answer to the oldest proposal.
func (c *cluster) decide(lost bool) {
	if len(c.props) == 0 {
		return
	}
	p := c.props[0]
	c.props = c.props[1:]
	leader := c.nodes[c.meta.Leader]
	up := leader != nil && leader.r != nil
	if !c.acceptable(p) {
		if up {
			leader.r.ProposalFailed(p)
		}
		return
	}
	isr := []int32{}
	for _, m := range p.ISR {
		isr = append(isr, m.Node)
	}
	c.meta.ISR = isr
	c.meta.PartitionEpoch++
	if up && !lost {
		leader.r.Apply(c.meta)
	}
}

// acceptable is the controller's compare-and-set (KIP-497, KIP-903).
func (c *cluster) acceptable(p *partition.Proposal) bool {
	if p.LeaderEpoch != c.meta.LeaderEpoch || p.PartitionEpoch != c.meta.PartitionEpoch || c.meta.Leader == 0 {
		return false
	}
	for _, m := range p.ISR {
		n := c.nodes[m.Node]
		if m.Node != c.meta.Leader && m.BrokerEpoch != n.epoch || n.r == nil {
			return false
		}
	}
	return true
}

func (c *cluster) append(m *member) {
	if m.r == nil {
		return
	}
	c.nth++
	value := fmt.Sprintf("v%d", c.nth)
	a := rec(value)
	a.Key, a.IdempotencyKey = []byte(value), value
	if p, err := m.r.BeginRecord(a); err == nil {
		c.open[value] = p
	}
}

// collect takes the answers that are there.
func (c *cluster) collect() {
	for value, p := range c.open {
		if !ready(p) {
			continue
		}
		delete(c.open, value)
		res, err := p.Wait(context.Background())
		if err != nil {
			continue
		}
		if other, taken := c.acked[res.Offset]; taken && other != value {
			c.t.Fatalf("offset %d was acknowledged for %s and %s", res.Offset, other, value)
		}
		c.acked[res.Offset] = value
	}
}

// fetch is one exchange of a follower with its leader.
func (c *cluster) fetch(m *member) {
	if m.r == nil {
		return
	}
	if leader := c.nodes[m.r.st.Leader()]; leader != nil && leader.r != nil {
		exchange(c.t, leader.r, m)
	}
}

// exchange is one of a follower with its leader, as the sessions of package
// replication have it.
func exchange(t failer, leader *Replica, m *member) {
	t.Helper()
	pos, ok := m.r.Position()
	if !ok {
		return
	}
	ctx := context.Background()
	a, err := leader.Fetched(partition.Fetch{
		Node: m.id, BrokerEpoch: m.epoch, LeaderEpoch: pos.LeaderEpoch, Offset: pos.Offset, Flushed: pos.Flushed,
	}, pos.LastEpoch)
	what := "follow"
	switch {
	case errors.Is(err, partition.ErrOffsetTrimmed):
		what, m.stated = "reset", 0
		err = m.r.Reset(ctx, pos.LeaderEpoch, a.LogStart)
	case err != nil:
		return // of epochs that have not met yet
	case a.Diverging != nil:
		what = "truncate"
		err = m.r.Diverged(ctx, pos.LeaderEpoch, *a.Diverging)
	case a.Owed > m.stated:
		what, m.stated = "state", a.Owed
		var state []byte
		if state, err = leader.SavedState(); err == nil {
			err = m.r.TakeState(ctx, pos.LeaderEpoch, state)
		}
	default:
		batches, a, staged := leader.Staged(pos.LeaderEpoch, pos.Offset, 200)
		if staged != nil {
			return
		}
		err = m.r.Follow(ctx, pos.LeaderEpoch, a, bytes.Clone(batches))
	}
	if err != nil {
		t.Fatalf("%s %d: %v", what, m.id, err)
	}
}

func (c *cluster) step() {
	m := c.nodes[rapid.Int32Range(1, 3).Draw(c.t, "node")]
	switch rapid.IntRange(0, 18).Draw(c.t, "step") {
	case 16: // retention, up to where the log was told that it may
		if hint := m.hint(c.t); m.r != nil && hint > 0 {
			_ = m.log.Trim(context.Background(), rapid.Int64Range(1, hint).Draw(c.t, "trim"))
		}
	case 17:
		if c.compacts && m.hint(c.t) > 0 {
			m.log.compact(func(n int) int { return rapid.IntRange(0, n-1).Draw(c.t, "compacted") })
		}
	case 18: // another disk
		if m.r == nil && !slices.Contains(c.meta.ISR, m.id) {
			m.log = &fakeLog{}
		}
	case 0:
		c.crash(m)
	case 1, 2:
		c.restart(m)
	case 3:
		if m.r == nil && !m.fenced {
			c.fence(m)
		}
	case 4:
		if m.r != nil {
			m.r.Apply(c.meta)
		}
	case 5:
		c.decide(rapid.Bool().Draw(c.t, "answer lost"))
	case 6: // the leader is paused, the others go on
		if m.id == c.meta.Leader && m.r != nil {
			c.fence(m)
			m.fenced = false
		}
	case 7, 8, 9:
		c.append(m)
	case 10, 11:
		if m.r != nil {
			m.log.cycle()
		}
	default:
		c.fetch(m)
	}
	c.collect()
}

// hint is up to where the log may forget, after a snapshot if one can be saved
// at once: those that the replica takes by itself come in the background.
func (m *member) hint(t *rapid.T) int64 {
	if m.r == nil {
		return 0
	}
	m.r.mu.Lock()
	settled := m.r.st.HighWatermark() == m.r.st.End() && !m.r.st.Ahead()
	sn := m.r.st.Snapshot(1)
	m.r.mu.Unlock()
	if settled {
		if err := m.r.save(sn.Offset(), sn.Encode()); err != nil {
			t.Fatal(err)
		}
	}
	return m.log.get(&m.log.hw)
}

// heal brings everybody up and in sync.
func (c *cluster) heal() {
	for range 200 {
		for _, m := range c.nodes[1:] {
			c.restart(m)
			m.r.Apply(c.meta)
			c.fetch(m)
			m.log.cycle()
		}
		c.decide(false)
	}
	c.collect()
}

// TestAcknowledgedRecordsSurvive crashes, fences, pauses and elects at random.
func TestAcknowledgedRecordsSurvive(t *testing.T) {
	for i := range 8 { // of a hundred runs each
		t.Run(fmt.Sprint(i), func(t *testing.T) { rapid.Check(t, liveAndHeal) })
	}
}

func liveAndHeal(t *rapid.T) {
	c := newCluster(t)
	defer func() {
		for _, m := range c.nodes[1:] {
			c.crash(m)
		}
	}()
	for range rapid.IntRange(1, 120).Draw(t, "steps") {
		c.step()
	}
	c.heal()
	c.check()
}

func (c *cluster) check() {
	if len(c.meta.ISR) != 3 {
		c.t.Fatalf("not healed: %+v", c.meta)
	}
	leader := c.nodes[c.meta.Leader]
	start := leader.log.StartOffset()
	stored := c.stored(leader.log)
	for offset, value := range c.acked {
		if got, ok := stored[offset]; got != value && (ok || offset >= start && !c.compacts) {
			c.t.Fatalf("%s was acknowledged at %d; there is %q", value, offset, got)
		}
		a := rec(value)
		a.Key, a.IdempotencyKey = []byte(value), value
		p, err := leader.r.BeginRecord(a)
		if err != nil {
			c.t.Fatalf("repeat of %s: %v", value, err)
		}
		if res, err := p.Wait(canceled()); err != nil || !res.Duplicate || res.Offset != offset {
			c.t.Fatalf("repeat of %s, at %d: %+v %v", value, offset, res, err)
		}
	}
	for _, m := range c.nodes[1:] {
		if m.log.end != leader.log.end {
			c.t.Fatalf("log of %d ends at %d, the leader's at %d", m.id, m.log.end, leader.log.end)
		}
		if m.r.st.Ahead() {
			c.t.Fatalf("%d is in sync, and not as far as the state that it was given", m.id)
		}
		for offset, value := range c.acked { // whoever leads next must know them, too
			if !m.r.st.Remembers(1, value) {
				c.t.Fatalf("%d forgot %s, which was acknowledged at %d", m.id, value, offset)
			}
		}
		if !c.compacts {
			c.checkBytes(m, leader)
		}
	}
}

// stored reads a whole log.
func (c *cluster) stored(l *fakeLog) map[int64]string {
	out := map[int64]string{}
	next := l.StartOffset()
	for _, b := range l.batches {
		var reader record.Reader
		var r record.Record
		if _, err := reader.Reset(b.bytes, 1<<20); err != nil {
			c.t.Fatal(err)
		}
		if b.h.BaseOffset > next && !c.compacts {
			c.t.Fatalf("offset %d follows %d", b.h.BaseOffset, next-1)
		}
		for next = b.h.NextOffset(); reader.Next(&r); {
			out[r.Offset] = string(r.Value)
		}
	}
	return out
}

// checkBytes wants two logs to be equal where both have something.
func (c *cluster) checkBytes(m, leader *member) {
	from := max(m.log.start, leader.log.start)
	below := func(b fakeBatch) bool { return b.h.NextOffset() <= from }
	mine := slices.DeleteFunc(slices.Clone(m.log.batches), below)
	theirs := slices.DeleteFunc(slices.Clone(leader.log.batches), below)
	if len(mine) != len(theirs) {
		c.t.Fatalf("%d batches on %d, %d on the leader", len(mine), m.id, len(theirs))
	}
	for i := range mine {
		if !bytes.Equal(mine[i].bytes, theirs[i].bytes) {
			c.t.Fatalf("batch at %d differs on %d", mine[i].h.BaseOffset, m.id)
		}
	}
}

func TestFollowerRefusesWhatDoesNotFit(t *testing.T) {
	b := openBench(t, &fakeLog{}, nil)
	b.r.BecomeFollower(3, 2)
	ctx := context.Background()
	a := partition.FetchAnswer{}
	one := batch(t, 2, nil).Batch
	if err := b.r.Follow(ctx, 2, a, one); !errors.Is(err, partition.ErrStaleLeaderEpoch) {
		t.Errorf("older epoch: %v", err)
	}
	if err := b.r.Follow(ctx, 4, a, one); !errors.Is(err, partition.ErrUnknownLeaderEpoch) {
		t.Errorf("newer epoch: %v", err)
	}
	gap := bytes.Clone(one)
	gap[7] = 9
	if err := b.r.Follow(ctx, 3, a, gap); !errors.Is(err, ErrGap) {
		t.Errorf("gap: %v", err)
	}
	bad := bytes.Clone(one)
	bad[len(bad)-1] ^= 1
	if err := b.r.Follow(ctx, 3, a, bad); err == nil {
		t.Error("a damaged batch was taken")
	}
	if err := b.r.Follow(ctx, 3, partition.FetchAnswer{HighWatermark: 9}, slices.Concat(one)); err != nil {
		t.Fatal(err)
	}
	if o := b.r.Offsets(); o.LogEnd != 2 || o.HighWatermark != 0 {
		t.Errorf("offsets %+v: the watermark is above what is synced", o)
	}
	b.log.cycle()
	if err := b.r.Follow(ctx, 3, partition.FetchAnswer{HighWatermark: 9}, nil); err != nil {
		t.Fatal(err)
	}
	if o := b.r.Offsets(); o.HighWatermark != 2 {
		t.Errorf("offsets %+v", o)
	}
	if pos, ok := b.r.Position(); !ok || pos != (Position{LeaderEpoch: 3, Offset: 2, Flushed: 2, LastEpoch: 0}) {
		t.Errorf("position %+v %v", pos, ok)
	}
	if err := b.r.Reset(ctx, 3, 100); err != nil {
		t.Fatal(err)
	}
	if o := b.r.Offsets(); o.LogStart != 100 || o.LogEnd != 100 || o.HighWatermark != 100 {
		t.Errorf("offsets after a reset %+v", o)
	}
}

func TestMetadataWaitsWhileTheLogIsCut(t *testing.T) {
	b := openBench(t, &fakeLog{}, nil)
	b.r.BecomeFollower(3, 2)
	err := b.r.repair(3, func(context.Context) error {
		b.r.BecomeLeader(4, 1, []int32{1}, []int32{1})
		b.r.BecomeFollower(3, 2) // older: does not replace it
		if b.r.Role() != partition.RoleFollower {
			t.Error("a leader's log is being cut")
		}
		if _, ok := b.r.Position(); ok {
			t.Error("a log that is being cut has no position")
		}
		return nil
	})
	if err != nil || b.r.Role() != partition.RoleLeader {
		t.Errorf("role %v, %v", b.r.Role(), err)
	}
}

// TestFollowerTrimsWithItsLeader: the follower keeps what the trimmed records
// meant, and does not wait for it in the midst of the leader's answers.
func TestFollowerTrimsWithItsLeader(t *testing.T) {
	l := openBench(t, &fakeLog{}, nil)
	l.r.BecomeLeader(1, 1, []int32{1, 2}, []int32{1, 2})
	f := openBench(t, &fakeLog{}, func(o *Options) { o.Node = 2 })
	f.r.BecomeFollower(1, 1)
	ctx := context.Background()
	exchange := func() {
		t.Helper()
		pos, _ := f.r.Position()
		_, err := l.r.Fetched(partition.Fetch{
			Node: 2, LeaderEpoch: 1, Offset: pos.Offset, Flushed: pos.Flushed,
		}, pos.LastEpoch)
		if err != nil {
			t.Fatal(err)
		}
		batches, a, err := l.r.Staged(1, pos.Offset, 100)
		if err == nil {
			err = f.r.Follow(ctx, 1, a, batches)
		}
		if err != nil {
			t.Fatal(err)
		}
		f.log.cycle()
		l.log.cycle()
	}
	for i := range 5 {
		l.begin(idem(fmt.Sprint(i), 1))
		l.log.cycle()
	}
	for range 8 {
		exchange()
	}
	l.log.start = 3 // trimmed, or retention
	l.begin(idem("last", 1))
	l.log.cycle()
	exchange() // the leader's start is heard; the watermark is behind the end
	exchange()
	exchange()
	f.r.wg.Wait() // the snapshot is saved; no answer need follow
	if start := f.log.StartOffset(); start != 3 || len(f.log.states) == 0 {
		t.Fatalf("follower starts at %d with %d snapshots", start, len(f.log.states))
	}
	f.r.BecomeLeader(2, 2, []int32{1, 2}, []int32{2})
	if p := f.begin(idem("0", 1)); !ready(p) || !f.wait(p).Duplicate {
		t.Error("the follower forgot a trimmed record's key")
	}
}
