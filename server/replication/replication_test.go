package replication

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/chroniklog/chronik/server/peer"
	"github.com/chroniklog/chronik/server/peer/peertest"
	"github.com/chroniklog/chronik/storage/plog"
)

// pair is a leader's broker and a follower's, and their connection.
type pair struct {
	t       *testing.T
	leader  tapes
	fetcher *Fetcher
	mu      sync.Mutex
	conn    *peertest.End
	down    bool
	dials   int
}

func newPair(t *testing.T) *pair {
	p := &pair{t: t, leader: tapes{}}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	dial := func(context.Context, int32) (peer.Conn, error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.dials++
		if p.down {
			return nil, errRefused
		}
		mine, theirs := peertest.Pipe()
		p.conn = mine
		wg.Go(func() { _ = Serve(ctx, theirs, 2, p.leader) })
		return mine, nil
	}
	p.fetcher = NewFetcher(1, dial, func() uint64 { return 5 }, slog.New(slog.DiscardHandler))
	wg.Go(func() { p.fetcher.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return p
}

func (p *pair) cut(down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = down
	if p.conn != nil {
		_ = p.conn.Close()
	}
}

// eventually waits for a condition that messages bring about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func partitionID(n int) plog.ID { return plog.ID{Topic: [16]byte{7}, Partition: int32(n)} }

// leads makes a leader's tape that a follower's tape copies.
func (p *pair) leads(n int) (leader, follower *tape) {
	leader, follower = newTape(1), newTape(2)
	leader.leads = true
	p.leader[partitionID(n)] = leader
	return leader, follower
}

// A record is on the follower before either disk has synced, and committed
// only when both have.
func TestStagedRecordsTravelAndFlushCommits(t *testing.T) {
	p := newPair(t)
	leader, follower := p.leads(0)
	p.fetcher.Add(partitionID(0), follower)
	leader.append(0, "abc")
	eventually(t, "copied", func() bool { r, _ := follower.snapshot(); return r == "abc" })
	leader.sync()
	if _, hw := leader.snapshot(); hw != 0 {
		t.Fatalf("committed %d before the follower synced", hw)
	}
	follower.sync()
	eventually(t, "committed", func() bool { _, hw := leader.snapshot(); return hw == 3 })
	eventually(t, "the follower knows", func() bool { _, hw := follower.snapshot(); return hw == 3 })
}

func TestManyPartitionsAndReconnects(t *testing.T) {
	p := newPair(t)
	const n = 200
	var leaders, followers []*tape
	for i := range n {
		l, f := p.leads(i)
		leaders, followers = append(leaders, l), append(followers, f)
	}
	for i := range n {
		p.fetcher.Add(partitionID(i), followers[i])
	}
	var want string
	for round := range 5 {
		s := fmt.Sprintf("round %d ", round)
		want += s
		for _, l := range leaders {
			l.append(0, s)
		}
		p.cut(round == 2)
		for _, l := range leaders {
			l.sync()
		}
		p.cut(false)
	}
	for i, f := range followers {
		eventually(t, fmt.Sprint("copied ", i), func() bool { r, _ := f.snapshot(); return r == want })
	}
}

func TestFollowerTruncatesByEpoch(t *testing.T) {
	p := newPair(t)
	leader, follower := p.leads(0)
	leader.append(0, "ab")
	leader.append(2, "XY")
	leader.epoch, follower.epoch = 2, 2
	follower.append(0, "ab")
	follower.append(1, "lost")
	p.fetcher.Add(partitionID(0), follower)
	eventually(t, "repaired", func() bool { r, _ := follower.snapshot(); return r == "abXY" })
}

func TestFollowerBelowTheStartResets(t *testing.T) {
	p := newPair(t)
	leader, follower := p.leads(0)
	leader.start = 10
	leader.append(0, "k")
	p.fetcher.Add(partitionID(0), follower)
	eventually(t, "reset", func() bool {
		follower.mu.Lock()
		defer follower.mu.Unlock()
		return follower.start == 10 && string(follower.records) == "k"
	})
}

// Metadata reaches the two sides at different moments: a refused position is
// tried again until both agree.
func TestEpochsThatDisagreeForAWhile(t *testing.T) {
	p := newPair(t)
	leader, follower := p.leads(0)
	follower.epoch = 3
	leader.append(0, "a")
	p.fetcher.Add(partitionID(0), follower)
	time.Sleep(3 * refusedRetry / 2) // let it be refused once, at least
	if r, _ := follower.snapshot(); r != "" {
		t.Fatalf("took %q of another epoch", r)
	}
	leader.change(func() { leader.epoch = 3 })
	eventually(t, "copied", func() bool { r, _ := follower.snapshot(); return r == "a" })
}

func TestRemovedPartitionIsNotCopied(t *testing.T) {
	p := newPair(t)
	leader, follower := p.leads(0)
	other, copied := p.leads(1)
	p.fetcher.Add(partitionID(0), follower)
	p.fetcher.Add(partitionID(1), copied)
	leader.append(0, "a")
	eventually(t, "copied", func() bool { r, _ := follower.snapshot(); return r == "a" })
	p.fetcher.Remove(partitionID(0))
	eventually(t, "the leader forgets", func() bool {
		leader.mu.Lock()
		defer leader.mu.Unlock()
		return len(leader.watchers) == 0
	})
	leader.append(0, "b")
	other.append(0, "c")
	eventually(t, "the other goes on", func() bool { r, _ := copied.snapshot(); return r == "c" })
	if r, _ := follower.snapshot(); r != "a" {
		t.Fatalf("copied %q", r)
	}
	if n := p.fetcher.Len(); n != 1 {
		t.Fatalf("%d partitions", n)
	}
}

// A follower whose log diverges is sent nothing until it has said where it
// stands after the cut: batches behind the place where the logs part would
// hide for good that they do.
func TestNothingIsSentPastADivergence(t *testing.T) {
	leader, other := newTape(1), newTape(1)
	leader.leads, other.leads, leader.epoch = true, true, 6
	leader.append(5, "a")
	mine, theirs := peertest.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = Serve(ctx, theirs, 2, tapes{partitionID(0): leader, partitionID(1): other}) })
	defer wg.Wait()
	defer cancel()
	ask := func(p ...Position) {
		if err := mine.Send(AppendFetch(nil, &Fetch{BrokerEpoch: 1, Positions: p})); err != nil {
			t.Fatal(err)
		}
	}
	var got []Data
	receive := func(until func(*Data) bool) {
		t.Helper()
		for {
			msg, err := mine.Receive()
			if err != nil {
				t.Fatal(err)
			}
			for len(msg) > 0 {
				var d Data
				if msg, err = DecodeData(msg, &d); err != nil {
					t.Fatal(err)
				}
				got = append(got, d)
			}
			if until(&got[len(got)-1]) {
				return
			}
		}
	}
	// The follower has "ab" of epoch 5, the leader "a" and then its own.
	ask(Position{ID: partitionID(0), LeaderEpoch: 6, Offset: 2, Flushed: 2, LastEpoch: 5, Wants: true})
	receive(func(d *Data) bool { return d.Code == CodeDiverging })
	leader.append(6, "XY")
	leader.sync()
	other.append(0, "z")
	ask(Position{ID: partitionID(1), LastEpoch: -1, Wants: true})
	receive(func(d *Data) bool { return d.ID == partitionID(1) })
	for _, d := range got {
		if d.ID == partitionID(0) && d.Code == CodeOK {
			t.Fatalf("sent %q at watermark %d to a log that diverges", d.Batches, d.HighWatermark)
		}
	}
	ask(Position{ID: partitionID(0), LeaderEpoch: 6, Offset: 1, Flushed: 1, LastEpoch: 5, Wants: true})
	receive(func(d *Data) bool { return d.ID == partitionID(0) && string(d.Batches) == "XY" })
}

// A follower that has asked does not ask again before it is answered. A refusal
// that a later position overtakes must not take its wish along: nobody would
// ever send or ask again.
func TestWishOutlivesRefusal(t *testing.T) {
	leader := newTape(1)
	leader.leads, leader.epoch = true, 9
	leader.append(9, "a")
	s := newSession(nil, 2, tapes{partitionID(0): leader})
	defer s.forget()
	for _, p := range []Position{
		{ID: partitionID(0), LeaderEpoch: 7, LastEpoch: -1, Wants: true}, // refused, and not told yet
		{ID: partitionID(0), LeaderEpoch: 9, LastEpoch: -1},              // metadata has reached it
	} {
		if err := s.take(1, &p); err != nil {
			t.Fatal(err)
		}
	}
	msg, err := s.answer(nil, s.places[partitionID(0)])
	if err != nil {
		t.Fatal(err)
	}
	var d Data
	if _, err := DecodeData(msg, &d); err != nil || d.Code != CodeOK || string(d.Batches) != "a" {
		t.Fatalf("answered %+v, %v", d, err)
	}
}

// A follower that is owed the leader's saved state gets no batch before it has
// taken that over, and gets it once; what fails is repeated.
func TestStateComesBeforeBatches(t *testing.T) {
	for _, tc := range []struct {
		name     string
		saved    string // by the leader
		owed     int64  // -1 for the follower: its first attempt fails
		repaired string
	}{
		{"at once", "now", 0, "[state now at 0]"},
		{"the leader can't read it at first", "", 0, "[state later at 0]"},
		{"the follower can't save it at first", "now", -1, "[state now at 0 state now at 0]"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPair(t)
			leader, follower := p.leads(0)
			leader.owed, leader.saved, follower.owed = 3, tc.saved, tc.owed
			leader.append(0, "abcd")
			p.fetcher.Add(partitionID(0), follower)
			eventually(t, "copied", func() bool { r, _ := follower.snapshot(); return r == "abcd" })
			leader.append(0, "e")
			eventually(t, "copied", func() bool { r, _ := follower.snapshot(); return r == "abcde" })
			follower.mu.Lock()
			defer follower.mu.Unlock()
			if got := fmt.Sprint(follower.repaired); got != tc.repaired {
				t.Errorf("%s, want %s", got, tc.repaired)
			}
		})
	}
}

// What costs a message: batches that were asked for, a position that is new, and
// a watermark that no batches went with for a while.
func TestMessagesAreFew(t *testing.T) {
	leader, follower := newTape(1), newTape(2)
	leader.leads = true
	feeder := NewFeeder(2, tapes{partitionID(0): leader})
	defer feeder.Close()
	f := NewFetcher(1, nil, func() uint64 { return 5 }, slog.New(slog.DiscardHandler))
	f.Begin()
	f.Add(partitionID(0), follower)
	defer f.Remove(partitionID(0))
	up := func(want int) {
		t.Helper()
		list := f.Next()
		for _, msg := range list {
			if err := feeder.Take(msg); err != nil {
				t.Fatal(err)
			}
		}
		if len(list) != want {
			t.Fatalf("%d messages up, want %d", len(list), want)
		}
	}
	down := func(list [][]byte, want int) {
		t.Helper()
		for _, msg := range list {
			if err := f.Take(t.Context(), msg, func(fn func()) { fn() }); err != nil {
				t.Fatal(err)
			}
		}
		if len(list) != want {
			t.Fatalf("%d messages down, want %d", len(list), want)
		}
	}
	ready := func() (sent [][]byte) {
		for len(feeder.s.ready) > 0 {
			feeder.out.sent = nil
			feeder.buf, feeder.list, _ = feeder.s.round(feeder.buf, feeder.list)
			sent = append(sent, feeder.out.sent...)
		}
		return sent
	}
	up(1)
	down(feeder.Next(), 1) // the watermark of 0 is news too
	leader.append(0, "a")
	leader.sync()
	down(ready(), 1)
	up(1) // it has the batch, and asks for the next
	follower.sync()
	up(1)
	follower.change(func() {})
	up(0)
	if down(ready(), 0); leader.hw != 1 || follower.hw != 0 {
		t.Fatalf("watermark %d, known as %d", leader.hw, follower.hw)
	}
	down(feeder.Next(), 1)
	if up(0); follower.hw != 1 {
		t.Fatal("a watermark without batches is not told")
	}
}
