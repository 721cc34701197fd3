package plog

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/chroniklog/chronik/storage/record"
	"github.com/chroniklog/chronik/storage/vfs"
)

// modelLog is what a log must be: its batches from start on.
type modelLog struct {
	id          ID
	incarnation uint32
	cfg         Config
	start       int64
	batches     [][]byte // all that were appended and not cut
	acked       int64
	state       []int64 // offsets of the snapshots that must be there
	exists      bool
	l           *Log
	f           *feeder
}

func (m *modelLog) end() int64 {
	if len(m.batches) == 0 {
		return m.start
	}
	h, _ := record.ParseHeader(m.batches[len(m.batches)-1])
	return h.NextOffset()
}

// crasher drives a store at random, crashes it, and compares.
type crasher struct {
	t    *testing.T
	seed uint64
	rng  *rand.Rand
	fs   *vfs.Mem
	o    Options
	s    *Store
	logs []*modelLog
	ts   int64
}

func newCrasher(t *testing.T, seed uint64) *crasher {
	c := &crasher{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 99)), fs: vfs.NewMem()}
	c.o = Options{
		Dir: "data", JournalFileBytes: 48 << 10, WriteBehindBytes: 6 << 10, CheckpointBytes: 24 << 10,
		DirectBytes: 4 << 10, TailBytes: 12 << 10, MaxOpenFiles: 4, MaintenanceInterval: -1, ReserveBytes: -1,
		MaintenanceRate: -1, Fatal: func(err error) { t.Errorf("seed %d: fatal: %v", seed, err) },
	}
	c.o.treeFiles = 1 + c.rng.IntN(3)
	for i := range 4 {
		c.logs = append(c.logs, &modelLog{
			id: testID(byte(i + 1)), incarnation: 1,
			cfg: Config{SegmentBytes: 3000 << (2 * (i % 3)), Delete: true},
		})
	}
	c.logs[3].cfg.RetentionBytes = 20_000
	return c
}

// retain runs a pass of maintenance, which may move the start of a log.
func (c *crasher) retain() {
	for _, m := range c.logs {
		if m.l != nil {
			c.drain(m)
			m.l.SetHighWatermark(m.acked)
		}
	}
	if err := c.s.Maintain(context.Background()); err != nil {
		c.fatalf("%v", err)
	}
	for _, m := range c.logs {
		if m.l == nil {
			continue
		}
		if start := m.l.StartOffset(); start < m.start || start > m.start && m.cfg.RetentionBytes == 0 {
			c.fatalf("maintenance moved the start of %s from %d to %d", m.id, m.start, start)
		}
		m.start = m.l.StartOffset()
	}
}

func (c *crasher) fatalf(format string, args ...any) {
	c.t.Helper()
	c.t.Fatalf("seed %d: %s", c.seed, fmt.Sprintf(format, args...))
}

func (c *crasher) open() {
	c.o.FS = c.fs
	s, err := Open(context.Background(), c.o)
	if err != nil {
		c.fatalf("%v", err)
	}
	c.s = s
}

// attach creates a log as the server would.
func (c *crasher) attach(m *modelLog) {
	l, err := c.s.Create(m.id, m.cfg, m.incarnation)
	if err != nil {
		c.fatalf("%v", err)
	}
	m.l, m.f, m.exists = l, newFeeder(l), true
}

func (c *crasher) step() {
	m := c.logs[c.rng.IntN(len(c.logs))]
	if m.l == nil {
		c.attach(m)
	}
	ctx := context.Background()
	var err error
	switch p := c.rng.IntN(100); {
	case p < 55:
		c.append(m, 1+c.rng.IntN(4), c.rng.IntN(700))
	case p < 65:
		c.append(m, 3+c.rng.IntN(8), 1000+c.rng.IntN(1500)) // mostly direct
	case p < 72:
		to := m.start + c.rng.Int64N(m.end()-m.start+1)
		err = m.l.Trim(ctx, to)
		m.start = to
	case p < 79:
		c.drain(m)
		to := m.acked - c.rng.Int64N(min(m.acked-m.start, 12)+1)
		err = m.l.Truncate(ctx, to)
		m.cut(to)
		m.f.rewind(m.acked)
	case p < 81:
		c.drain(m)
		to := c.rng.Int64N(1000)
		err = m.l.Reset(ctx, to)
		m.f.rewind(to)
		*m = modelLog{id: m.id, incarnation: m.incarnation, cfg: m.cfg, start: to, acked: to, exists: true, l: m.l, f: m.f}
	case p < 83:
		err = c.s.Delete(ctx, m.id)
		*m = modelLog{id: m.id, incarnation: m.incarnation + uint32(c.rng.IntN(2)), cfg: m.cfg}
	case p < 85:
		m.incarnation++
		*m = modelLog{id: m.id, incarnation: m.incarnation, cfg: m.cfg}
		c.attach(m)
	case p < 89:
		err = c.s.Checkpoint(ctx)
	case p < 91:
		c.retain()
	case p < 94:
		c.drain(m)
		offset := m.acked
		if offset == 0 {
			break // a log that never held anything isn't kept
		}
		if err = m.l.SaveState(offset, fmt.Appendf(nil, "state %d", offset)); err == nil {
			m.state = append(slices.DeleteFunc(m.state, func(o int64) bool { return o == offset }), offset)
			m.state = m.state[max(0, len(m.state)-2):]
		}
	default:
		c.compare(m, "live")
	}
	if err != nil {
		c.fatalf("%v", err)
	}
}

// cut truncates the model.
func (m *modelLog) cut(to int64) {
	for len(m.batches) > 0 && m.end() > to {
		m.batches = m.batches[:len(m.batches)-1]
	}
	if len(m.batches) > 0 && m.end() < m.start {
		m.batches = nil
	}
	m.acked = min(m.acked, m.end())
	kept := m.state[:0]
	for _, o := range m.state {
		if o <= to {
			kept = append(kept, o)
		}
	}
	m.state = kept
}

func (c *crasher) append(m *modelLog, batches, size int) {
	for range batches {
		recs := make([]record.Record, 1+c.rng.IntN(3))
		for i := range recs {
			c.ts += c.rng.Int64N(10)
			recs[i] = rec(c.ts, fmt.Sprint("k", c.rng.IntN(20)), value(c.rng.IntN(1000), size/len(recs)))
		}
		m.f.add(recs...)
	}
	if c.rng.IntN(3) > 0 {
		c.drain(m)
	}
}

// drain waits until all that was given to a log is flushed, and takes that
// into the model.
func (c *crasher) drain(m *modelLog) {
	m.f.mu.Lock()
	for len(m.f.staged) > 0 {
		changed := m.f.changed
		m.f.mu.Unlock()
		<-changed
		m.f.mu.Lock()
	}
	m.f.mu.Unlock()
	m.f.wait(c.t, m.l.EndOffset())
	c.learn(m)
}

// learn takes what was appended so far into the model.
func (c *crasher) learn(m *modelLog) {
	if m.f == nil {
		return
	}
	m.f.mu.Lock()
	defer m.f.mu.Unlock()
	m.batches = append(m.batches, m.f.model...)
	m.f.model = nil
	m.acked = max(m.acked, m.f.flushed)
}

// compare fails unless the log is as the model says.
func (c *crasher) compare(m *modelLog, when string) {
	c.t.Helper()
	c.learn(m)
	if when == "live" {
		c.drain(m)
	}
	if err := m.matches(readAll(c.t, m.l)); err != nil {
		c.fatalf("%s: log %s: %v", when, m.id, err)
	}
}

// matches compares the whole log: at least what was acknowledged is there, and
// nothing but what was appended.
func (m *modelLog) matches(got [][]byte) error {
	l := m.l
	if l.StartOffset() != m.start || l.EndOffset() < m.acked || l.FlushedOffset() < m.acked || l.EndOffset() > m.end() {
		return fmt.Errorf("start %d, flushed %d, end %d; the model says %d, acknowledged %d, appended %d",
			l.StartOffset(), l.FlushedOffset(), l.EndOffset(), m.start, m.acked, m.end())
	}
	want := m.batches
	for len(want) > 0 && mustHeader(want[0]).NextOffset() <= m.start {
		want = want[1:]
	}
	for i := range got {
		if i >= len(want) || !bytes.Equal(got[i], want[i]) {
			return fmt.Errorf("batch %d of %d differs", i, len(got))
		}
	}
	if n := len(m.state); n > 0 {
		offset, state, ok, err := l.LoadState(m.acked)
		if err != nil || !ok || offset != m.state[n-1] || string(state) != fmt.Sprintf("state %d", offset) {
			return fmt.Errorf("state at %d (%q, %v, %v), want %d", offset, state, ok, err, m.state[n-1])
		}
	}
	return nil
}

// crash takes the disk at this moment, kills the store and opens what is left.
// An operation may be under way: then it has happened or it hasn't.
func (c *crasher) crash() {
	m := c.logs[c.rng.IntN(len(c.logs))]
	var other *modelLog
	done := make(chan struct{})
	close(done)
	if m.l != nil && c.rng.IntN(2) == 0 {
		other, done = c.half(m)
	}
	for range c.rng.IntN(300) {
		_ = c.s.cached.Load() // let things happen
	}
	for _, m := range c.logs {
		c.learn(m) // acknowledged before the disk is looked at
	}
	disk := c.fs.Crash(c.rng.Uint64())
	c.s.Abort()
	<-done
	for _, m := range c.logs {
		acked := m.acked
		c.learn(m) // appended, perhaps kept; what was acknowledged since went to a disk that is gone
		m.acked = acked
	}
	c.fs = disk
	c.open()
	if other != nil {
		c.attach(m)
		other.l, other.f = m.l, m.f
		if got := readAll(c.t, m.l); m.matches(got) != nil && other.matches(got) == nil {
			*m = *other
		}
		if m.acked == 0 && m.l.EndOffset() == 0 {
			m.exists = false
		}
		m.state = nil // removed before the cut
	}
	c.check("after the crash")
}

// half begins an operation and doesn't wait for it. It returns what the model
// is when it was done.
func (c *crasher) half(m *modelLog) (*modelLog, chan struct{}) {
	c.drain(m)
	other := *m
	other.batches, other.state = slices.Clone(m.batches), slices.Clone(m.state)
	done := make(chan struct{})
	var op func(context.Context, int64) error
	to := m.start + c.rng.Int64N(m.end()-m.start+1)
	switch l := m.l; c.rng.IntN(3) {
	case 0:
		op = l.Trim
		other.start = to
	case 1:
		op = l.Truncate
		other.cut(to)
	default:
		op = l.Reset
		to += c.rng.Int64N(100)
		other = modelLog{id: m.id, incarnation: m.incarnation, cfg: m.cfg, start: to, acked: to, exists: true}
	}
	go func() {
		defer close(done)
		_ = op(context.Background(), to)
	}()
	return &other, done
}

func (c *crasher) check(when string) {
	for _, m := range c.logs {
		if !m.exists {
			m.l, m.f = nil, nil
			continue
		}
		if l, ok := c.s.Log(m.id); !ok && m.end() > 0 && m.acked > 0 || ok && l.Incarnation() > m.incarnation {
			c.fatalf("%s: log %s is there: %v", when, m.id, ok)
		}
		c.attach(m)
		c.compare(m, when)
		m.batches = m.batches[:0]
		for _, b := range readAll(c.t, m.l) {
			m.batches = append(m.batches, bytes.Clone(b))
		}
		m.acked = m.l.EndOffset()
	}
}

func (c *crasher) close() {
	for _, m := range c.logs {
		if m.f != nil {
			c.drain(m)
		}
	}
	if err := c.s.Close(context.Background()); err != nil {
		c.fatalf("%v", err)
	}
	c.fs = c.fs.CrashLosingAll() // a clean close has synced everything
	c.open()
	if _, bytes := c.s.journal.Live(); bytes > 0 {
		c.fatalf("the journal is not clean after Close")
	}
	c.check("after a clean close")
}

func TestCrashes(t *testing.T) {
	seeds := uint64(200)
	if testing.Short() {
		seeds = 40
	}
	for seed := range seeds {
		runCrasher(t, seed)
	}
}

// FuzzCrashes looks for a seed that fails: run it for hours.
func FuzzCrashes(f *testing.F) {
	f.Add(uint64(1099511627461)) // a trim was reflected before a truncation was replayed
	f.Fuzz(func(t *testing.T, seed uint64) { runCrasher(t, seed) })
}

func runCrasher(t *testing.T, seed uint64) {
	c := newCrasher(t, seed)
	c.open()
	defer func() { c.s.Abort() }()
	for range 6 {
		for range 5 + c.rng.IntN(60) {
			c.step()
		}
		if c.rng.IntN(4) == 0 {
			c.close()
		} else {
			c.crash()
		}
		if t.Failed() {
			c.fatalf("failed")
		}
	}
}

// The mutation NoSync must be noticed by the very test that guards the syncs.
func TestCrashesNoticeNoSync(t *testing.T) {
	noticed := false
	for seed := uint64(0); seed < 20 && !noticed; seed++ {
		fs := vfs.NewMem()
		o := testOptions(t, fs)
		o.NoSync = true
		s, err := Open(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		l := createLog(t, s, testID(1), Config{})
		f := newFeeder(l)
		for i := range 30 {
			f.add(rec(1, "", value(i, 300)))
		}
		f.wait(t, 30)
		s.Abort()
		o.FS = fs.Crash(seed)
		if s, err = Open(context.Background(), o); err != nil {
			noticed = true
			continue
		}
		got, ok := s.Log(testID(1))
		noticed = !ok || got.EndOffset() < 30
		s.Abort()
	}
	if !noticed {
		t.Fatal("nothing was lost without syncs: the crash test proves nothing")
	}
}
