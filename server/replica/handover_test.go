package replica

import (
	"fmt"
	"testing"

	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/storage/record"
)

// handover is a leader whose log does not tell any more what it remembers, and
// a follower that begins to copy it.
type handover struct {
	t        *testing.T
	leader   *bench
	follower *member
}

func newHandover(t *testing.T, change func(*Options)) *handover {
	h := &handover{t: t, leader: openBench(t, &fakeLog{}, change)}
	h.leader.r.BecomeLeader(1, 1, []int32{1, 2}, []int32{1})
	for i := range 10 {
		h.leader.put(keyed(i))
	}
	token := "mine"
	p, err := h.leader.r.beginFence(token, nil)
	if err != nil {
		t.Fatal(err)
	}
	h.leader.log.cycle()
	h.leader.wait(p)
	h.leader.put(producing(7, 0))
	if err := h.leader.r.snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.start(&fakeLog{})
	return h
}

// keyed is the i-th record, with an Idempotency-Key.
func keyed(i int) partition.RecordAppend {
	a := idem(fmt.Sprint("key", i), 1)
	a.Key = fmt.Append(nil, i)
	return a
}

// producing is a record of an idempotent producer.
func producing(id int64, seq int32) partition.RecordAppend {
	a := rec("v")
	a.Key, a.Producer = []byte("p"), &partition.ProducerSeq{ID: id, Seq: seq}
	return a
}

// start opens the follower on what a crash left of its log.
func (h *handover) start(log *fakeLog) {
	b := openBench(h.t, log, func(o *Options) { o.Node, o.Config = 2, h.leader.r.Config() })
	b.r.BecomeFollower(1, 1)
	h.follower = &member{id: 2, log: log, r: b.r, epoch: 1}
}

// copied lets the follower come to the leader's end, and syncs as it goes.
func (h *handover) copied() {
	h.t.Helper()
	for range 100 {
		exchange(h.t, h.leader.r, h.follower)
		h.follower.log.cycle()
	}
	if end, want := h.follower.log.EndOffset(), h.leader.log.EndOffset(); end != want {
		h.t.Fatalf("the copy ends at %d, the leader at %d", end, want)
	}
}

// remembers wants the follower, once it leads, to answer repeats as the leader
// did, and to know the fence.
func (h *handover) remembers() {
	h.t.Helper()
	r := h.follower.r
	r.BecomeLeader(2, 2, []int32{1, 2}, []int32{2})
	b := &bench{tb: h.t, t: h.t, r: r, log: h.follower.log}
	end := b.log.EndOffset()
	h.follower.log.cycle()
	for i := range 10 {
		if p := b.wait(b.begin(keyed(i))); !p.Duplicate || p.Offset != int64(i) {
			h.t.Errorf("repeat of key%d: %+v", i, p)
		}
	}
	if p := b.wait(b.begin(producing(7, 0))); !p.Duplicate || p.Offset != 11 {
		h.t.Errorf("repeat of a producer's record: %+v", p)
	}
	if token, at := r.st.Fence(); token != "mine" || at != 10 {
		h.t.Errorf("fence %q at %d", token, at)
	}
	if now := b.log.EndOffset(); now != end {
		h.t.Errorf("repeats were appended: %d to %d", end, now)
	}
}

// What a follower is told by the batches alone would lack what they were
// trimmed or compacted of: a retry would be appended a second time.
func TestFollowerTakesOverWhatTheLogLacks(t *testing.T) {
	remove := func(l *fakeLog, from, to int) { l.batches = append(l.batches[:from:from], l.batches[to:]...) }
	for _, tc := range []struct {
		name   string
		change func(*Options)
		lose   func(*fakeLog)
	}{
		{"trimmed", nil, func(l *fakeLog) { _ = l.Trim(t.Context(), 5) }},
		{"trimmed to the snapshot", nil, func(l *fakeLog) { _ = l.Trim(t.Context(), 12) }},
		{"compacted at the start", compacted(10), func(l *fakeLog) { remove(l, 0, 5) }},
		{"compacted in the midst", compacted(10), func(l *fakeLog) { remove(l, 2, 9); remove(l, 3, 4) }},
		{"compacted at the end", compacted(10), func(l *fakeLog) { remove(l, 8, 12) }},
		{"all compacted", compacted(10), func(l *fakeLog) { remove(l, 0, 12) }},
	} {
		for _, more := range []int{0, 3} {
			t.Run(fmt.Sprintf("%s, %d more", tc.name, more), func(t *testing.T) {
				h := newHandover(t, tc.change)
				tc.lose(h.leader.log)
				for i := range more {
					h.leader.put(producing(8, int32(i)))
				}
				h.copied()
				h.remembers()
			})
		}
	}
}

// A follower that is killed anywhere on the way comes to the same.
func TestTakingOverIsInterrupted(t *testing.T) {
	for kill := range 20 {
		for _, change := range []func(*Options){nil, compacted(10)} {
			t.Run(fmt.Sprintf("after %d, compacted %t", kill, change != nil), func(t *testing.T) {
				h := newHandover(t, change)
				if change == nil {
					_ = h.leader.log.Trim(t.Context(), 2)
				} else {
					h.leader.log.compact(func(int) int { return 1 })
					h.leader.log.compact(func(int) int { return 4 })
				}
				for i := range kill {
					exchange(t, h.leader.r, h.follower)
					if i%3 == 0 {
						h.follower.log.cycle()
					}
				}
				_ = h.follower.r.Close(canceled())
				h.start(h.follower.log.crash())
				h.copied()
				h.remembers()
			})
		}
	}
}

// A log that was trimmed into the midst of a batch is copied from that batch's
// beginning: a follower appends whole batches only.
func TestTrimmedIntoABatch(t *testing.T) {
	l := lead(t, nil)
	l.r.BecomeLeader(2, 2, []int32{1, 2}, []int32{1})
	for range 3 {
		p, err := l.r.BeginBatch(batch(t, 4, nil))
		if err != nil {
			t.Fatal(err)
		}
		l.log.cycle()
		l.wait(p)
	}
	_ = l.log.Trim(t.Context(), 6)
	for name, log := range map[string]*fakeLog{
		"empty":                         {},
		"emptied at the leader's start": {start: 6, end: 6, flushed: 6},
		"emptied at the batch":          {start: 4, end: 4, flushed: 4},
	} {
		t.Run(name, func(t *testing.T) {
			b := openBench(t, log, func(o *Options) { o.Node = 2 })
			b.r.BecomeFollower(2, 1)
			m := &member{id: 2, log: log, r: b.r, epoch: 1}
			for range 10 {
				exchange(t, l.r, m)
				log.cycle()
			}
			if log.start != 6 || log.end != 12 || len(log.batches) != 2 {
				t.Errorf("log [%d, %d) of %d batches", log.start, log.end, len(log.batches))
			}
		})
	}
}

// The leader's state was of a later offset than the log has when somebody was
// elected in spite of what it lacked: it is not to be believed any more.
func TestUncleanElectionForgetsTheState(t *testing.T) {
	h := newHandover(t, nil)
	_ = h.leader.log.Trim(t.Context(), 2)
	for range 3 { // reset, state, a batch
		exchange(t, h.leader.r, h.follower)
		h.follower.log.cycle()
	}
	if !h.follower.r.st.Ahead() {
		t.Fatal("the follower is not on its way")
	}
	h.follower.r.BecomeLeader(2, 2, []int32{1, 2}, []int32{2})
	b := &bench{tb: t, t: t, r: h.follower.r, log: h.follower.log}
	if p := b.put(keyed(9)); p.Duplicate {
		t.Errorf("a record that is not there is a duplicate: %+v", p)
	}

	// Another follower that is told to cut below such a state copies it all.
	h = newHandover(t, nil)
	_ = h.leader.log.Trim(t.Context(), 2)
	for range 4 {
		exchange(t, h.leader.r, h.follower)
		h.follower.log.cycle()
	}
	cut := partition.EpochEnd{Epoch: 1, End: 3}
	if err := h.follower.r.Diverged(t.Context(), 1, cut); err != nil {
		t.Fatal(err)
	}
	if p, _ := h.follower.r.Position(); p.Offset != 0 || h.follower.r.st.Ahead() {
		t.Errorf("position %+v", p)
	}
}

func TestFillHoles(t *testing.T) {
	one := func(base int64, n int) []byte {
		b := record.NewBuilder(record.CodecNone)
		b.Reset(base, 3)
		for range n {
			b.Append(1, []byte("k"), nil, nil)
		}
		return b.Build(nil)
	}
	for _, tc := range []struct {
		name    string
		batches []byte
		from    int64
		want    string
	}{
		{"none", one(5, 2), 5, "[5 6]x2"},
		{"before", one(5, 2), 2, "[2 4]x0 [5 6]x2"},
		{"from within a batch", one(5, 2), 6, "[5 6]x2"},
		{"between", append(one(5, 2), one(9, 1)...), 5, "[5 6]x2 [7 8]x0 [9 9]x1"},
		{"up to the end", nil, 4, "[4 19]x0"},
		{"nothing to fill", nil, 20, ""},
	} {
		got, err := fillHoles(tc.batches, tc.from, 20, 2)
		if err != nil {
			t.Fatal(err)
		}
		text := ""
		for len(got) > 0 {
			batch, rest, err := record.Split(got)
			if err == nil {
				err = record.CheckCRC(batch)
			}
			if err != nil {
				t.Fatalf("%s: %v", tc.name, err)
			}
			h, _ := record.ParseHeader(batch)
			if text != "" {
				text += " "
			}
			text += fmt.Sprintf("[%d %d]x%d", h.BaseOffset, h.LastOffset(), h.Count)
			got = rest
		}
		if text != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, text, tc.want)
		}
	}
}
