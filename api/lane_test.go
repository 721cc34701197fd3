package api

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/partition"
	"github.com/chroniklog/chronik/server/replica"
)

// relay is a partition as a front node sees it: its leaders change, the front
// node learns of that before or after the new leader does, and answers come
// some time after they were decided. What happens is drawn from rng, at any
// moment: under every call, and between them.
type relay struct {
	Broker
	mu        sync.Mutex
	rng       *rand.Rand
	front     server.NodeID
	led, seen server.Leader // the truth, and what the front node knows
	accepts   bool          // the true leader knows that it leads
	proven    int32         // the last epoch whose leader has answered the front node
	log       []string
	committed int
	inFlight  []*flight
	patience  int // AwaitLeader calls until it gives up
	calm      int // the higher, the fewer elections
}

// flight is an answer under way.
type flight struct {
	resolve func(partition.Appended, error)
	offset  int // of what was accepted, and waits for its commit
	epoch   int32
	err     error
	decided bool
}

// steps lets some things happen.
func (r *relay) steps() {
	for range r.rng.IntN(4) {
		r.step()
	}
}

func (r *relay) step() {
	switch n := r.rng.IntN(12); {
	case n < 5 && len(r.inFlight) > 0: // an answer arrives
		i := r.rng.IntN(len(r.inFlight))
		if f := r.inFlight[i]; f.decided {
			r.inFlight = slices.Delete(r.inFlight, i, i+1)
			if f.err == nil {
				r.proven = max(r.proven, f.epoch)
			}
			f.resolve(partition.Appended{Offset: int64(f.offset), LeaderEpoch: f.epoch}, f.err)
		}
	case n < 8 && r.committed < len(r.log):
		r.commit(r.committed + 1 + r.rng.IntN(len(r.log)-r.committed))
	case n == 8:
		r.accepts = true
	case n < 11:
		r.seen = r.led
	case n == 11 && r.rng.IntN(r.calm) == 0:
		r.elect()
	}
}

func (r *relay) commit(to int) {
	r.committed = to
	for _, f := range r.inFlight {
		if !f.decided && f.offset < to {
			f.decided = true
		}
	}
}

// elect lets another leader follow, whose log is that of the old one up to
// somewhere behind what is committed. What waited is in doubt.
func (r *relay) elect() {
	r.log = r.log[:r.committed+r.rng.IntN(len(r.log)-r.committed+1)]
	r.led = server.Leader{Node: 1 + r.rng.Int32N(3), Epoch: r.led.Epoch + 1}
	r.led.Here = r.led.Node == r.front
	r.accepts = false
	for _, f := range r.inFlight {
		if !f.decided {
			f.decided, f.err = true, partition.ErrOutcomeUnknown
		}
	}
	if r.led.Here { // the front node itself knows when it leads
		r.seen = r.led
	}
}

func (r *relay) Leader(string, int32) (server.Leader, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.steps()
	l := r.seen
	l.Proven = l.Here || r.proven == l.Epoch
	return l, nil
}

func (r *relay) AwaitLeader(ctx context.Context) bool {
	runtime.Gosched()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.steps()
	r.patience--
	return ctx.Err() == nil && r.patience > 0
}

// send decides on an append as the node does that the front node takes for the
// leader. A safe one is known again; one may want an offset.
func (r *relay) send(value string, expect int, safe bool, pin partition.Pin) (*replica.Pending, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.steps()
	f := &flight{decided: true, err: server.ErrNotLeader, epoch: r.led.Epoch}
	if r.accepts && r.seen.Node == r.led.Node && (pin == 0 || pin == partition.PinTo(r.led.Epoch)) {
		f.err = nil
		f.offset = len(r.log)
		if at := slices.Index(r.log, value); safe && at >= 0 {
			f.offset = at
		} else if expect >= 0 && expect != len(r.log) {
			f.err = partition.ErrOffsetConflict
		} else {
			r.log = append(r.log, value)
		}
		f.decided = f.err != nil || f.offset < r.committed
	}
	if r.seen.Here && f.err != nil {
		return nil, f.err
	}
	var p *replica.Pending
	p, f.resolve = replica.NewRelayed()
	r.inFlight = append(r.inFlight, f)
	return p, nil
}

// live lets things happen until the function that it returns is called.
func (r *relay) live() (stop func()) {
	done, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		for {
			select {
			case <-done:
				return
			default:
				r.mu.Lock()
				r.step()
				r.mu.Unlock()
				runtime.Gosched()
			}
		}
	}()
	return func() { close(done); <-gone }
}

// Appends of one request to one partition end in its log in their order, and
// once, or not at all if that is what was said, whoever leads when.
func TestLaneOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		r := &relay{
			rng: rand.New(rand.NewPCG(seed, 1)), front: rapid.Int32Range(1, 4).Draw(t, "front"),
			patience: rapid.SampledFrom([]int{5, 1_000_000}).Draw(t, "patience"), accepts: true,
			calm: rapid.SampledFrom([]int{1, 4, 40}).Draw(t, "calm"),
		}
		r.led = server.Leader{Node: 2, Epoch: 1, Here: r.front == 2}
		r.seen = r.led
		stop := r.live()
		s := &Server{broker: r, limits: DefaultLimits()}
		l := s.newLane("t", 0)
		safe, chained := rapid.Bool().Draw(t, "safe"), rapid.Bool().Draw(t, "chained")
		outcomes := make([]*outcome, rapid.IntRange(1, 30).Draw(t, "n"))
		begun := make(chan *outcome, len(outcomes))
		begin := func() {
			defer close(begun)
			for i := range outcomes {
				value, expect := fmt.Sprint(i), -1
				if chained {
					expect = i
				}
				o := &outcome{safe: safe, send: func(pin partition.Pin) (*replica.Pending, error) {
					return r.send(value, expect, safe, pin)
				}}
				outcomes[i] = o
				l.begin(o)
				begun <- o
			}
		}
		if rapid.Bool().Draw(t, "stream") { // one goroutine begins, the other waits
			go begin()
		} else {
			begin()
		}
		for o := range begun {
			o.wait(t.Context(), s)
		}
		stop()
		if len(l.open) > 0 {
			t.Fatalf("%d are open still", len(l.open))
		}
		r.check(t, outcomes)
	})
}

// check holds the log against what was said.
func (r *relay) check(t *rapid.T, outcomes []*outcome) {
	last, lost := -1, false
	for i, o := range outcomes {
		value := fmt.Sprint(i)
		at := slices.Index(r.log, value)
		switch {
		case at >= 0 && slices.Contains(r.log[at+1:], value):
			t.Fatalf("%s is there twice: %v", value, r.log)
		case o.err == nil && (at < 0 || at >= r.committed || int(o.appended.Offset) != at):
			t.Fatalf("%s was acknowledged at %d, it lies at %d of %v", value, o.appended.Offset, at, r.log)
		case o.err != nil && !errors.Is(o.err, partition.ErrOutcomeUnknown) && at >= 0:
			t.Fatalf("%s was refused (%v), it lies at %d", value, o.err, at)
		case at >= 0 && at < last:
			t.Fatalf("the order is lost at %s: %v", value, r.log)
		case at >= 0:
			last = at
		}
		lost = lost || unknown(o.err) // then what must follow it may fail
		if r.patience > 0 && o.err != nil && !lost {
			t.Fatalf("%s ended with %v", value, o.err)
		}
		if o.safe && r.patience > 0 && o.err != nil {
			t.Fatalf("%s, which may be repeated, ended with %v", value, o.err)
		}
	}
}

// scripted is a partition that answers what is sent as a test says. All of it
// happens on the test's goroutine.
type scripted struct {
	Broker
	led   server.Leader
	says  map[string][]error // each time it is sent; errLater: by answer; nothing: accepted
	sent  []string
	later map[string]func(error)
	waits []time.Time     // when AwaitLeader would have given up
	moves []server.Leader // each AwaitLeader sees the next; then nobody comes

	onSend func(value string) // is called when something is sent
}

var errLater = errors.New("later")

func (b *scripted) Leader(string, int32) (server.Leader, error) { return b.led, nil }

func (b *scripted) AwaitLeader(ctx context.Context) bool {
	until, _ := ctx.Deadline()
	b.waits = append(b.waits, until)
	if ctx.Err() != nil || len(b.moves) == 0 {
		return false
	}
	b.led, b.moves = b.moves[0], b.moves[1:]
	return true
}

func (b *scripted) send(value string) (*replica.Pending, error) {
	b.sent = append(b.sent, value)
	if b.onSend != nil {
		b.onSend(value)
	}
	p, resolve := replica.NewRelayed()
	var err error
	if list := b.says[value]; len(list) > 0 {
		err, b.says[value] = list[0], list[1:]
	}
	if errors.Is(err, errLater) {
		b.later[value] = func(err error) { resolve(partition.Appended{}, err) }
	} else {
		resolve(partition.Appended{}, err)
	}
	return p, nil
}

// append begins appends to the lane.
func (b *scripted) append(l *lane, safe bool, values ...string) (list []*outcome) {
	for _, value := range values {
		o := &outcome{safe: safe, send: func(partition.Pin) (*replica.Pending, error) { return b.send(value) }}
		l.begin(o)
		list = append(list, o)
	}
	return list
}

func (b *scripted) expect(t *testing.T, what string, sent ...string) {
	t.Helper()
	if !slices.Equal(b.sent, sent) {
		t.Errorf("%s: sent %q, want %q", what, b.sent, sent)
	}
	b.sent = nil
}

func script(says map[string][]error, moves ...server.Leader) (*scripted, *Server, *lane) {
	b := &scripted{
		led: server.Leader{Node: 2, Epoch: 3, Proven: true}, says: says, later: map[string]func(error){}, moves: moves,
	}
	s := &Server{broker: b, limits: DefaultLimits()}
	return b, s, s.newLane("t", 0)
}

// A leader that has not taken anything yet gets one append at a time, and the
// next leader none before the last one's answers are there.
func TestLaneHoldsBack(t *testing.T) {
	b, s, l := script(map[string][]error{"1": {errLater}, "3": {errLater}})
	b.led.Proven = false
	list := b.append(l, false, "1", "2", "3")
	b.expect(t, "a new leader", "1")
	b.later["1"](nil)
	b.led.Proven = true
	list[0].wait(t.Context(), s)
	list[1].wait(t.Context(), s)
	b.expect(t, "it has taken the first", "2", "3")
	list = append(list, b.append(l, false, "4")...)
	b.expect(t, "the same leader", "4")
	b.led = server.Leader{Node: 1, Epoch: 4, Proven: true}
	list = append(list, b.append(l, false, "5")...)
	b.expect(t, "while answers of the last leader are due")
	b.later["3"](nil)
	for _, o := range list {
		o.wait(t.Context(), s)
		if o.err != nil {
			t.Error(o.err)
		}
	}
	b.expect(t, "then", "5")
}

// What was in doubt stays so, also where it was sent again on behalf of the one
// before it, and was refused then.
func TestLaneKeepsDoubt(t *testing.T) {
	b, s, l := script(map[string][]error{
		"1": {errLater, errLater}, "2": {errLater, server.ErrNotLeader},
	}, server.Leader{Node: 1, Epoch: 4, Proven: true})
	list := b.append(l, true, "1", "2")
	b.later["1"](server.ErrNotLeader)
	b.later["2"](partition.ErrOutcomeUnknown)
	b.onSend = func(value string) { // both are under way again
		if value == "2" {
			b.later["1"](server.ErrNotLeader)
		}
	}
	list[0].wait(t.Context(), s)
	b.expect(t, "by the next leader", "1", "2", "1", "2")
	list[1].wait(t.Context(), s)
	if err := list[0].err; !errors.Is(err, server.ErrNotLeader) || unknown(err) {
		t.Errorf("refused twice: %v", err)
	}
	if err := list[1].err; !unknown(err) {
		t.Errorf("in doubt, then refused: %v", err)
	}
}

// When no leader comes the first waits for one, and those behind it are tried
// once: the time of all is that of one.
func TestLaneGivesUpOnce(t *testing.T) {
	refuse := func() []error { return slices.Repeat([]error{server.ErrNoLeader}, 9) }
	b, s, l := script(map[string][]error{"1": refuse(), "2": refuse(), "3": refuse()})
	for _, o := range b.append(l, false, "1", "2", "3") {
		o.wait(t.Context(), s)
		if !errors.Is(o.err, server.ErrNoLeader) {
			t.Error(o.err)
		}
	}
	b.expect(t, "all", "1", "2", "3")
	if len(b.waits) != 1 {
		t.Errorf("waited %d times", len(b.waits))
	}
	o := b.append(l, false, "4")[0] // the next one is there again
	o.wait(t.Context(), s)
	if o.err != nil || l.hopeless {
		t.Errorf("then: %v", o.err)
	}
}

// The time of a failover begins when the leader is missed, however long its
// answer took.
func TestLaneWaitsFromTheFirstRefusal(t *testing.T) {
	b, s, l := script(map[string][]error{"1": {errLater}}, server.Leader{Node: 1, Epoch: 4, Proven: true})
	o := b.append(l, false, "1")[0]
	const late = 200 * time.Millisecond
	begun := time.Now()
	time.AfterFunc(late, func() { b.later["1"](server.ErrNotLeader) })
	o.wait(t.Context(), s)
	if o.err != nil {
		t.Fatal(o.err)
	}
	if got := b.waits[0].Sub(begun); got < server.FailoverTime+late {
		t.Errorf("%v are left of %v after an answer that took %v", got-late, server.FailoverTime, late)
	}
}

// What was held when its request ends is not sent any more, and that is said.
func TestLaneEndsWithItsRequest(t *testing.T) {
	b, s, l := script(map[string][]error{"1": {errLater}})
	b.led.Proven = false
	ctx, cancel := context.WithCancel(t.Context())
	list := b.append(l, true, "1", "2")
	cancel()
	for _, o := range list {
		o.wait(ctx, s)
	}
	b.expect(t, "all", "1")
	if err := list[0].err; !unknown(err) {
		t.Errorf("under way when the request ended: %v", err)
	}
	if problem, _ := problemOf(list[1].err); problem.Outcome != NotApplied || unknown(list[1].err) {
		t.Errorf("not sent when the request ended: %v", list[1].err)
	}
}
