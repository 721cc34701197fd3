package plog

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

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
	state       []savedState    // the snapshots that must be there
	valid       map[string]bool // those that may be
	exists      bool
	l           *Log
	f           *feeder
}

// savedState is a snapshot; no two have the same text.
type savedState struct {
	offset int64
	text   string
}

// renewed is the model of a log of that ID that is empty at start.
func (m *modelLog) renewed(start int64) modelLog {
	return modelLog{id: m.id, incarnation: m.incarnation, cfg: m.cfg, start: start, acked: start, valid: map[string]bool{}}
}

func (m *modelLog) end() int64 {
	if len(m.batches) == 0 {
		return m.start
	}
	return mustHeader(m.batches[len(m.batches)-1]).NextOffset()
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
	m.state = slices.DeleteFunc(slices.Clone(m.state), func(s savedState) bool { return s.offset > to })
	maps.DeleteFunc(m.valid, func(text string, _ bool) bool { return stateOffset(text) > to })
}

func stateOffset(text string) (offset int64) {
	_, _ = fmt.Sscanf(text, "state %d", &offset)
	return offset
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
	offset, state, ok, err := l.LoadState(math.MaxInt64)
	if err != nil || ok && (!m.valid[string(state)] || offset > l.EndOffset()) {
		return fmt.Errorf("state at %d (%q, %v), the end is %d", offset, state, err, l.EndOffset())
	}
	if n := len(m.state); n > 0 {
		offset, state, ok, err := l.LoadState(m.acked)
		if err != nil || !ok || offset != m.state[n-1].offset || string(state) != m.state[n-1].text {
			return fmt.Errorf("state at %d (%q, %v, %v), want %v", offset, state, ok, err, m.state[n-1])
		}
	}
	return nil
}

// crasher drives a store at random, crashes it, and compares.
type crasher struct {
	t     *testing.T
	seed  uint64
	rng   *rand.Rand
	fs    *vfs.Mem
	o     Options
	s     *Store
	p     *pauser
	often float64
	logs  []*modelLog
	ts    int64
	saved int
	trace []string
	disk  *vfs.Mem // as the last Open found it
}

func newCrasher(t *testing.T, seed uint64) *crasher {
	c := &crasher{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 99)), fs: vfs.NewMem()}
	c.o = Options{
		Dir: "data", JournalFileBytes: 48 << 10, WriteBehindBytes: 6 << 10, CheckpointBytes: 24 << 10,
		DirectBytes: 4 << 10, TailBytes: 12 << 10, MaxOpenFiles: 4, MaintenanceInterval: -1, ReserveBytes: -1,
		MaintenanceRate: -1, Fatal: func(err error) { t.Errorf("seed %d: fatal: %v", seed, err) },
	}
	c.o.treeFiles = 1 + c.rng.IntN(3)
	c.often = []float64{0, 0.05, 0.3}[c.rng.IntN(3)]
	for i := range 4 {
		m := &modelLog{
			id: testID(byte(i + 1)), incarnation: 1,
			cfg: Config{SegmentBytes: 3000 << (2 * (i % 3)), Delete: true},
		}
		*m = m.renewed(0)
		c.logs = append(c.logs, m)
	}
	c.logs[3].cfg.RetentionBytes = 20_000
	return c
}

func (c *crasher) note(format string, args ...any) {
	c.trace = append(c.trace, fmt.Sprintf(format, args...))
}

func (c *crasher) fatalf(format string, args ...any) {
	c.t.Helper()
	c.t.Fatalf("seed %d: %s\n\nwhat was done:\n%s\n\nthe disk as it was opened last:\n%s",
		c.seed, fmt.Sprintf(format, args...), strings.Join(c.trace, "\n"), describe(c.disk, c.o))
}

// prepare notes what is about to be opened, and how.
func (c *crasher) prepare() {
	c.p = newPauser(c.rng.Uint64(), c.often)
	c.o.FS, c.o.pause = c.p.over(c.fs), c.p.pause
	c.disk = c.fs.CrashKeepingAll()
}

func (c *crasher) open() {
	c.prepare()
	s, err := Open(context.Background(), c.o)
	if err != nil {
		c.fatalf("%v", err)
	}
	c.s = s
}

// reopen opens what a crash has left. That may end in another crash.
func (c *crasher) reopen() {
	for c.rng.IntN(3) == 0 {
		c.prepare()
		image := c.photograph(1 + c.rng.Int64N(80))
		s, err := Open(context.Background(), c.o)
		if err != nil {
			c.fatalf("%v", err)
		}
		if c.rng.IntN(2) == 0 {
			c.p.moved(c.rng.Int64N(30))
		}
		disk := image(false)
		c.abort(s)
		if disk != nil {
			c.fs = disk
		}
		c.note("crash while opening; power loss: %v", disk != nil)
	}
	c.open()
}

func (c *crasher) abort(s *Store) {
	c.p.off.Store(true)
	s.Abort()
}

// photograph takes an image of the disk, as a power loss leaves it, after so
// many events. The result returns it; with now, it is taken at the latest then.
func (c *crasher) photograph(events int64) func(now bool) *vfs.Mem {
	images, seed, disk := make(chan *vfs.Mem, 1), c.rng.Uint64(), c.fs
	take := func() {
		for _, m := range c.logs {
			m.learnAcked()
		}
		images <- disk.Crash(seed)
	}
	c.p.arm(events, take)
	return func(now bool) *vfs.Mem {
		if c.p.disarm() {
			if !now {
				return nil
			}
			take()
		}
		return <-images
	}
}

// attach creates a log as the server would.
func (c *crasher) attach(m *modelLog) {
	l, err := c.s.Create(m.id, m.cfg, m.incarnation)
	if err != nil {
		c.fatalf("%v", err)
	}
	m.l, m.f, m.exists = l, newFeeder(l), true
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
}

// drain waits until all that was given to a log is flushed, and takes that
// into the model.
func (c *crasher) drain(m *modelLog) {
	deadline := time.After(30 * time.Second)
	for {
		m.f.mu.Lock()
		done := len(m.f.staged) == 0 && max(m.f.flushed, m.l.FlushedOffset()) >= m.l.EndOffset()
		changed, failed := m.f.changed, m.f.failed
		m.f.mu.Unlock()
		if failed != nil {
			c.fatalf("owner of %s failed: %v", m.id, failed)
		}
		if done {
			break
		}
		select {
		case <-changed:
		case <-deadline:
			c.fatalf("log %s is not flushed", m.id)
		}
	}
	c.learn(m)
	m.acked = max(m.acked, m.l.FlushedOffset())
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
}

// learnAcked takes what was acknowledged so far into the model.
func (m *modelLog) learnAcked() {
	if m.f == nil {
		return
	}
	m.f.mu.Lock()
	defer m.f.mu.Unlock()
	m.acked = max(m.acked, m.f.flushed)
}

// compare fails unless the log is as the model says.
func (c *crasher) compare(m *modelLog, when string) {
	c.t.Helper()
	if when == "live" {
		c.drain(m)
	}
	if err := m.matches(readAll(c.t, m.l)); err != nil {
		c.fatalf("%s: log %s: %v", when, m.id, err)
	}
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

// check compares all logs, and goes on from what they are.
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
		c.note("log %s is %d to %d", m.id, m.start, m.acked)
	}
}
