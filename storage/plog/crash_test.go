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
	for i := range 4 {
		c.logs = append(c.logs, &modelLog{
			id: testID(byte(i + 1)), incarnation: 1,
			cfg: Config{SegmentBytes: 3000 << (2 * (i % 3)), Delete: true},
		})
	}
	return c
}

func (c *crasher) fatalf(format string, args ...any) {
	c.t.Helper()
	c.t.Fatalf("seed %d: %s", c.seed, fmt.Sprintf(format, args...))
}

func (c *crasher) open() {
	c.o.FS = c.fs
	s, err := Open(context.Background(), c.o)
	if err != nil {
		dump(c.fs, c.o)
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

var debugf = func(string, ...any) {}

func (c *crasher) step() {
	m := c.logs[c.rng.IntN(len(c.logs))]
	defer func() {
		if m.l != nil {
			debugf("log %s: start %d end %d flushed %d, segs %+v", m.id, m.l.StartOffset(), m.l.EndOffset(), m.l.FlushedOffset(), m.l.Segments())
		}
	}()
	if m.l == nil {
		c.attach(m)
	}
	ctx := context.Background()
	var err error
	p := c.rng.IntN(100)
	debugf("step %d on %s", p, m.id)
	switch {
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
	case p < 93:
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

// compare reads the whole log: at least what was acknowledged is there, and
// nothing but what was appended.
func (c *crasher) compare(m *modelLog, when string) {
	c.learn(m)
	l := m.l
	debugf("compare %s %s", m.id, when)
	if when == "live" {
		c.drain(m)
	}
	if l.StartOffset() != m.start || l.EndOffset() < m.acked || l.FlushedOffset() < m.acked || l.EndOffset() > m.end() {
		c.fatalf("%s: log %s: start %d, flushed %d, end %d; the model says %d, acknowledged %d, appended %d",
			when, m.id, l.StartOffset(), l.FlushedOffset(), l.EndOffset(), m.start, m.acked, m.end())
	}
	got := readAll(c.t, l)
	want := m.batches
	for len(want) > 0 {
		h, _ := record.ParseHeader(want[0])
		if h.NextOffset() > m.start {
			break
		}
		want = want[1:]
	}
	for i := range got {
		if i >= len(want) || !bytes.Equal(got[i], want[i]) {
			c.fatalf("%s: log %s: batch %d of %d differs", when, m.id, i, len(got))
		}
	}
	var epochs epochs
	for _, b := range m.batches {
		h, _ := record.ParseHeader(b)
		epochs.add(h.LeaderEpoch, h.BaseOffset)
	}
	if n := len(m.state); n > 0 {
		offset, state, ok, err := l.LoadState(m.acked)
		if err != nil || !ok || offset != m.state[n-1] || string(state) != fmt.Sprintf("state %d", offset) {
			c.fatalf("%s: log %s: state at %d (%q, %v, %v), want %d", when, m.id, offset, state, ok, err, m.state[n-1])
		}
	}
}

// crash takes the disk at this moment, kills the store and opens what is left.
func (c *crasher) crash() {
	for _, m := range c.logs {
		c.learn(m) // acknowledged before the disk is looked at
	}
	disk := c.fs.Crash(c.rng.Uint64())
	c.s.Abort()
	for _, m := range c.logs {
		acked := m.acked
		c.learn(m) // appended, perhaps kept; what was acknowledged since went to a disk that is gone
		m.acked = acked
	}
	c.fs = disk
	c.open()
	c.check("after the crash")
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
	seeds := uint64(150)
	if testing.Short() {
		seeds = 30
	}
	for seed := range seeds {
		runCrasher(t, seed, 0)
	}
}

func runCrasher(t *testing.T, seed uint64, maintain int) {
	c := newCrasher(t, seed)
	c.open()
	defer func() { c.s.Abort() }()
	for range 6 {
		for range 5 + c.rng.IntN(60) {
			c.step()
			if maintain > 0 && c.rng.IntN(maintain) == 0 {
				if err := c.s.Checkpoint(context.Background()); err != nil {
					c.fatalf("%v", err)
				}
			}
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
