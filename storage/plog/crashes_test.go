package plog

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/chroniklog/chronik/storage/journal"
	"github.com/chroniklog/chronik/storage/record"
	"github.com/chroniklog/chronik/storage/vfs"
)

func (c *crasher) step() {
	m := c.logs[c.rng.IntN(len(c.logs))]
	if m.l == nil {
		c.attach(m)
	}
	p := c.rng.IntN(100)
	c.note("%s: %d; incarnation %d, model %d to %d", m.id, p, m.incarnation, m.start, m.end())
	var err error
	switch {
	case p < 65:
		if p < 55 {
			c.append(m, 1+c.rng.IntN(4), c.rng.IntN(700))
		} else {
			c.append(m, 3+c.rng.IntN(8), 1000+c.rng.IntN(1500)) // mostly direct
		}
		if c.rng.IntN(3) > 0 {
			c.drain(m)
		}
	case p < 87:
		err = c.change(m, p)
	case p < 89:
		err = c.s.Checkpoint(context.Background())
	case p < 91:
		c.retain()
	case p < 95:
		err = c.save(m)
	case p == 95 && c.rng.IntN(4) == 0:
		c.full(m)
	default:
		c.compare(m, "live")
	}
	if err != nil {
		c.fatalf("%v", err)
	}
}

// full lets a log meet a full disk for a moment: nothing is acknowledged then.
func (c *crasher) full(m *modelLog) {
	c.drain(m)
	c.fs.SetCapacity(c.fs.Used() + c.rng.Int64N(30_000))
	c.append(m, 3+c.rng.IntN(8), 1000+c.rng.IntN(1500))
	c.p.moved(20)
	c.fs.SetCapacity(0)
	if c.rng.IntN(2) == 0 {
		c.drain(m)
	}
}

// change trims, truncates, resets, deletes or replaces a log.
func (c *crasher) change(m *modelLog, p int) (err error) {
	ctx := context.Background()
	switch {
	case p < 72:
		c.learn(m)
		to := m.start + c.rng.Int64N(m.end()-m.start+1)
		err = m.l.Trim(ctx, to)
		m.start = to
	case p < 78:
		c.drain(m)
		to := m.acked - c.rng.Int64N(min(m.acked-m.start, 12)+1)
		err = m.l.Truncate(ctx, to)
		m.cut(to)
		m.f.rewind(m.acked)
	case p < 81:
		c.drain(m)
		to := c.rng.Int64N(1000) * c.rng.Int64N(2)
		err = m.l.Reset(ctx, to)
		m.f.rewind(to)
		l, f := m.l, m.f
		*m = m.renewed(to)
		m.l, m.f, m.exists = l, f, true
	case p < 84:
		err = c.s.Delete(ctx, m.id)
		*m = m.renewed(0)
		m.incarnation += uint32(c.rng.IntN(2))
	default:
		*m = m.renewed(0)
		m.incarnation++
		c.attach(m)
	}
	return err
}

func (c *crasher) save(m *modelLog) error {
	c.drain(m)
	offset := m.acked
	if offset == 0 {
		return nil // a log that never held anything isn't kept
	}
	c.saved++
	s := savedState{offset: offset, text: fmt.Sprintf("state %d, the %dth", offset, c.saved)}
	m.valid[s.text] = true
	if err := m.l.SaveState(offset, []byte(s.text)); err != nil {
		return err
	}
	m.state = append(slices.DeleteFunc(m.state, func(o savedState) bool { return o.offset == offset }), s)
	m.state = m.state[max(0, len(m.state)-2):]
	return nil
}

// half is an operation that was begun and may be done after a crash, or not.
type half struct {
	m     *modelLog
	other modelLog // what the log is when it was done
	done  chan struct{}
}

// begin begins an operation and doesn't wait for it.
func (c *crasher) begin(m *modelLog) *half {
	c.drain(m)
	h := &half{m: m, other: *m, done: make(chan struct{})}
	h.other.batches, h.other.valid = slices.Clone(m.batches), maps.Clone(m.valid)
	ctx := context.Background()
	var op func() error
	to := m.start + c.rng.Int64N(m.end()-m.start+1)
	kind := c.rng.IntN(4)
	switch l := m.l; kind {
	case 0:
		op = func() error { return l.Trim(ctx, to) }
		h.other.start = to
	case 1:
		op = func() error { return l.Truncate(ctx, to) }
		h.other.cut(to)
	case 2:
		to = (to + c.rng.Int64N(100)) * c.rng.Int64N(2)
		op = func() error { return l.Reset(ctx, to) }
		h.other = m.renewed(to)
		h.other.exists = true
	default:
		s := c.s
		op = func() error { return s.Delete(ctx, m.id) }
		h.other = m.renewed(0)
	}
	c.note("%s: half an operation of kind %d to %d; model %d to %d", m.id, kind, to, m.start, m.end())
	go func() {
		defer close(h.done)
		_ = op()
	}()
	return h
}

// resolve finds out whether the operation was done.
func (c *crasher) resolve(h *half) {
	m := h.m
	if _, ok := c.s.Log(m.id); !ok && !h.other.exists {
		*m = h.other
		return
	}
	c.attach(m)
	h.other.l, h.other.f = m.l, m.f
	if got := readAll(c.t, m.l); h.other.exists && m.matches(got) != nil && h.other.matches(got) == nil {
		*m = h.other
	}
	if m.acked == 0 && m.l.EndOffset() == 0 {
		m.exists = false
	}
	m.state = nil // removed before the cut
}

// crash takes the disk at some moment, kills the store and opens what is left.
// Operations may be under way: they have happened then or they haven't.
func (c *crasher) crash() {
	var halves []*half
	begun := map[*modelLog]bool{}
	for range c.rng.IntN(3) {
		if m := c.logs[c.rng.IntN(len(c.logs))]; m.l != nil && !begun[m] {
			begun[m] = true
			halves = append(halves, c.begin(m))
		}
	}
	if c.rng.IntN(8) == 0 {
		c.fs.SetCapacity(c.fs.Used() + c.rng.Int64N(30_000))
		c.note("the disk is full")
	}
	for _, m := range c.logs {
		if m.l != nil && !begun[m] && c.rng.IntN(3) == 0 {
			c.append(m, 1+c.rng.IntN(4), c.rng.IntN(1500))
		}
	}
	kill := c.rng.IntN(4) == 0
	events := c.rng.Int64N(80)
	image := c.photograph(events)
	if kill {
		c.p.disarm()
	}
	c.p.moved(events + 1)
	var disk *vfs.Mem
	if !kill {
		disk = image(true)
	}
	c.abort(c.s)
	for _, h := range halves {
		<-h.done
	}
	for _, m := range c.logs {
		c.learn(m) // appended, perhaps kept; what was acknowledged since the image is gone
		if kill {
			m.learnAcked()
		}
		m.f = nil
	}
	if !kill {
		c.fs = disk
	}
	c.fs.SetCapacity(0)
	c.note("crash; power loss: %v", !kill)
	c.reopen()
	for _, h := range halves {
		c.resolve(h)
	}
	c.check("after the crash")
}

func (c *crasher) close() {
	for _, m := range c.logs {
		if m.f != nil {
			c.drain(m)
		}
	}
	c.note("close")
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

// describe tells everything that recovery finds on a disk.
func describe(disk *vfs.Mem, o Options) string {
	var b strings.Builder
	disk = disk.CrashKeepingAll()
	fmt.Fprintln(&b, disk)
	text, _ := readFile(disk, o.Dir+"/FORMAT", 4096)
	id, _ := parseFormat(string(text))
	o.FS = disk
	o.setDefaults()
	s := &Store{opts: o, id: id}
	for i := range 2 {
		var c checkpoint
		raw, err := readFile(disk, s.checkpointName(i), maxCheckpoint)
		if err == nil {
			c, err = decodeCheckpoint(raw, id)
		}
		fmt.Fprintf(&b, "checkpoint %d: sequence number %d, LSN %d, first life %+v, %v\n", i, c.Seq, c.LSN, c.Start, err)
		for _, e := range c.Logs {
			fmt.Fprintf(&b, "  log %s, incarnation %d: LSN %d, start %d, empty %d, broken %q, epochs %v\n",
				e.ID, e.Incarnation, e.LSN, e.Start, e.Empty, e.Broken, e.Epochs)
			for _, x := range e.Segs {
				fmt.Fprintf(&b, "    %+v\n", x)
			}
		}
	}
	c, _, err := s.loadCheckpoint()
	if err != nil {
		fmt.Fprintln(&b, err)
		return b.String()
	}
	j, rec, err := journal.Open(context.Background(), journal.Options{
		FS: disk, Dir: o.Dir + "/journal", Store: id, FileBytes: o.JournalFileBytes,
	}, c.Start, func(f *journal.Frame) error {
		fmt.Fprintf(&b, "  LSN %d, cycle %d (%v), %x/%d, incarnation %d: ",
			f.LSN, f.Cycle, f.Last, f.Topic, f.Partition, f.Incarnation)
		if h, err := record.ParseHeader(f.Payload); f.Kind == journal.Data && err == nil {
			fmt.Fprintf(&b, "data, %d to %d\n", h.BaseOffset, h.LastOffset())
		} else if x, index, err := decodeExtent(f.Payload); f.Kind == journal.Extent && err == nil {
			fmt.Fprintf(&b, "extent %+v, index %d\n", x, index)
		} else {
			fmt.Fprintf(&b, "kind %d, %x\n", f.Kind, f.Payload)
		}
		return nil
	})
	fmt.Fprintf(&b, "journal: %+v, %v\n", rec, err)
	if err == nil {
		_ = j.Close()
	}
	return b.String()
}
