package raft

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/cryptotest"

	etcd "go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/chroniklog/chronik/raft/meta"
)

// simulation drives cores in one goroutine, over Memory and a network that
// loses, delays and reorders as its seed says.
type simulation struct {
	t     testing.TB
	rng   *rand.Rand
	cores map[uint64]*simCore
	queue []*pb.Message
	loss  float64
	// isolated, unless 0, neither sends nor receives.
	isolated uint64
	now      int
	trace    strings.Builder
	next     int
	// acked are the topics whose creation some core reported.
	acked map[int]bool
	asked map[meta.ID]int
	// led is who led in each term.
	led map[uint64]uint64
}

type simCore struct {
	*Core
	mem  *Memory
	down bool
	// crashAt is the stage before which the core crashes, once.
	crashAt Stage
	armed   bool
}

var errCrash = errors.New("crash")

func newSimulation(t testing.TB, seed uint64, ids ...uint64) *simulation {
	s := &simulation{
		t: t, rng: rand.New(rand.NewPCG(seed, 1)), cores: map[uint64]*simCore{},
		acked: map[int]bool{}, asked: map[meta.ID]int{}, led: map[uint64]uint64{},
	}
	var members []meta.Member
	for _, id := range ids {
		members = append(members, meta.Member{RaftID: id, Node: NodeID(id), Addr: fmt.Sprint(id)})
	}
	for _, id := range ids {
		s.cores[id] = &simCore{mem: NewMemory(Seed{Members: members})}
		s.boot(id)
	}
	return s
}

func (s *simulation) boot(id uint64) {
	c := s.cores[id]
	core, err := NewCore(CoreConfig{
		ID: id, Storage: c.mem, Fence: c.mem, CompactEvery: 12, CompactKeep: 4,
		Send: func(msgs []*pb.Message) {
			for _, m := range msgs {
				s.queue = append(s.queue, proto.Clone(m).(*pb.Message))
			}
		},
		OnResult: func(req meta.ID, r meta.Result) {
			if i, ok := s.asked[req]; ok && r.Err() == nil {
				s.acked[i] = true
			}
			fmt.Fprintf(&s.trace, "%d: %d result %x %d\n", s.now, id, req[:2], r.Code)
		},
		Hook: func(st Stage) error {
			if c.armed && st == c.crashAt {
				c.armed = false
				return errCrash
			}
			return nil
		},
	})
	if err != nil {
		s.t.Fatalf("core %d: %v", id, err)
	}
	c.Core, c.down = core, false
}

// step is one tick for everyone, with everything that follows from it.
func (s *simulation) step() {
	s.now++
	for _, id := range s.ids() {
		if c := s.cores[id]; !c.down {
			c.Tick()
		}
	}
	for range 20 {
		s.process()
		if len(s.queue) == 0 {
			return
		}
		s.deliver()
	}
}

func (s *simulation) ids() []uint64 {
	out := make([]uint64, 0, len(s.cores))
	for id := range s.cores {
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}

func (s *simulation) process() {
	for _, id := range s.ids() {
		c := s.cores[id]
		for !c.down && c.HasReady() {
			if err := c.Process(); errors.Is(err, errCrash) {
				c.down = true
				fmt.Fprintf(&s.trace, "%d: %d crash\n", s.now, id)
			} else if err != nil {
				s.t.Fatalf("core %d: %v", id, err)
			}
			s.oneLeader(c)
		}
	}
}

// oneLeader: no two lead in one term, ever.
func (s *simulation) oneLeader(c *simCore) {
	st := c.State()
	if c.down || st.Role != etcd.StateLeader {
		return
	}
	if other, ok := s.led[st.Term]; ok && other != c.cfg.ID {
		s.t.Fatalf("%d and %d lead in term %d", other, c.cfg.ID, st.Term)
	}
	s.led[st.Term] = c.cfg.ID
}

func (s *simulation) deliver() {
	batch := s.queue
	s.queue = nil
	s.rng.Shuffle(len(batch), func(i, j int) { batch[i], batch[j] = batch[j], batch[i] })
	for _, m := range batch {
		to, from := s.cores[m.GetTo()], s.cores[m.GetFrom()]
		lost := s.rng.Float64() < s.loss || to == nil || to.down ||
			s.isolated != 0 && (m.GetFrom() == s.isolated || m.GetTo() == s.isolated)
		if m.GetType() == pb.MsgSnap && !from.down {
			from.SnapshotSent(m.GetTo(), !lost)
		}
		switch {
		case lost:
		case s.loss > 0 && s.rng.IntN(10) == 0:
			s.queue = append(s.queue, m) // later
		default:
			to.Step(m)
		}
	}
}

func (s *simulation) leader() *simCore {
	for _, id := range s.ids() {
		if c := s.cores[id]; !c.down && c.State().Role == etcd.StateLeader {
			return c
		}
	}
	return nil
}

// propose asks the leader, if there is one, for the next topic.
func (s *simulation) propose() {
	l := s.leader()
	if l == nil {
		return
	}
	s.next++
	req := meta.Request{ID: meta.ID{byte(s.next >> 8), byte(s.next), 1}, Seq: l.Image().Seq()}
	if l.Propose(meta.Encode(req, topic(s.next, 1, 1))) == nil {
		s.asked[req.ID] = s.next
	}
}

// register makes broker 1 known, so that topics can be created.
func (s *simulation) register() {
	for range 1000 {
		s.step()
		l := s.leader()
		if l == nil {
			continue
		}
		if _, ok := l.Image().Broker(1); ok {
			return
		}
		_ = l.Propose(meta.Encode(meta.Request{ID: meta.ID{9, 9}, Seq: l.Image().Seq()}, register(1)))
	}
	s.t.Fatal("no leader")
}

// settle ends the faults and checks that everyone has what was acknowledged,
// and the same.
func (s *simulation) settle() {
	s.loss = 0
	for _, id := range s.ids() {
		s.cores[id].armed = false
		if s.cores[id].down {
			s.boot(id)
		}
	}
	same := func() bool {
		l := s.leader()
		if l == nil {
			return false
		}
		for _, c := range s.cores {
			if c.State().Applied != l.State().Applied || c.State().Applied.Index != l.State().LastIndex {
				return false
			}
		}
		return true
	}
	for i := 0; !same(); i++ {
		if i > 2000 {
			s.t.Fatalf("no agreement:\n%s", s.trace.String())
		}
		s.step()
	}
	first := s.cores[s.ids()[0]].Image()
	for _, id := range s.ids() {
		c := s.cores[id]
		if !c.Image().Equal(first) {
			s.t.Fatalf("core %d has another image", id)
		}
		b, err := c.mem.Load()
		if err != nil || !b.Image.Equal(first) {
			s.t.Fatalf("core %d stored another image: %v", id, err)
		}
	}
	for i := range s.acked {
		if _, ok := first.TopicByID(topicID(i)); !ok {
			s.t.Fatalf("acknowledged topic %d is lost", i)
		}
	}
}

func TestSimulatedFaults(t *testing.T) {
	acked := 0
	for seed := range uint64(25) {
		cryptotest.SetGlobalRandom(t, seed)
		s := newSimulation(t, seed, 1, 2, 3)
		s.register()
		s.loss = 0.1
		for range 400 {
			switch s.rng.IntN(60) {
			case 0: // crash at some stage of the next rounds
				c := s.cores[1+s.rng.Uint64N(3)]
				c.armed, c.crashAt = true, Stage(s.rng.IntN(int(StageCompact)+1))
			case 1, 2:
				if id := 1 + s.rng.Uint64N(3); s.cores[id].down {
					s.boot(id)
				}
			}
			s.propose()
			s.step()
		}
		s.settle()
		acked += len(s.acked)
	}
	t.Logf("%d acknowledged", acked)
	if acked < 1000 {
		t.Errorf("only %d commands were acknowledged: the faults leave nothing to check", acked)
	}
}

// TestSimulationRepeats: equal seeds have equal traces, so that a failure can
// be looked at again.
func TestSimulationRepeats(t *testing.T) {
	run := func(seed uint64) string {
		cryptotest.SetGlobalRandom(t, seed)
		s := newSimulation(t, seed, 1, 2, 3)
		s.register()
		s.loss = 0.2
		for range 100 {
			s.propose()
			s.step()
		}
		return s.trace.String()
	}
	for seed := range uint64(3) {
		if a, b := run(seed), run(seed); a != b || len(a) < 100 {
			t.Errorf("seed %d: traces of %d and %d bytes differ", seed, len(a), len(b))
		}
	}
	if run(1) == run(2) {
		t.Error("different seeds have equal traces")
	}
}

// TestCrashAtEachStage: a member crashes before each step of a round; what it
// had promised by then it still knows.
func TestCrashAtEachStage(t *testing.T) {
	for st := StageInstall; st <= StageCompact; st++ {
		t.Run(fmt.Sprint(st), func(t *testing.T) {
			cryptotest.SetGlobalRandom(t, 7)
			s := newSimulation(t, 7, 1, 2, 3)
			s.register()
			c := s.cores[3]
			if st == StageInstall { // it needs a snapshot first
				c.down = true
				for range 60 {
					s.propose()
					s.step()
				}
				s.boot(3)
			}
			c.armed, c.crashAt = true, st
			for i := 0; !c.down; i++ {
				if i > 500 {
					t.Fatal("the stage was not reached")
				}
				s.propose()
				s.step()
			}
			for range 20 {
				s.propose()
				s.step()
			}
			s.settle()
			if len(s.acked) < 10 {
				t.Errorf("%d acknowledged", len(s.acked))
			}
		})
	}
}

// TestPromisesAreFenced: whatever a message promises, the fence knows before
// it leaves.
func TestPromisesAreFenced(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 3)
	s := newSimulation(t, 3, 1, 2, 3)
	sent := 0
	for _, id := range s.ids() {
		c := s.cores[id]
		send := c.cfg.Send
		c.cfg.Send = func(msgs []*pb.Message) {
			for _, m := range msgs {
				if !promised(m, c.mem.Fenced) {
					t.Errorf("%v left with fence %+v", m, c.mem.Fenced)
				}
			}
			sent += len(msgs)
			send(msgs)
		}
	}
	s.register()
	for range 50 {
		s.propose()
		s.step()
	}
	if sent < 100 {
		t.Errorf("%d messages", sent)
	}
}

// promised tells whether a fence knows what a message promises.
func promised(m *pb.Message, f Mark) bool {
	switch m.GetType() {
	case pb.MsgVote:
		return f.Term == m.GetTerm() && f.Vote == m.GetFrom()
	case pb.MsgVoteResp:
		return m.GetReject() || f.Term == m.GetTerm() && f.Vote == m.GetTo()
	case pb.MsgAppResp:
		return m.GetReject() || f.Term == m.GetTerm() && f.LastIndex >= m.GetIndex()
	case pb.MsgApp:
		last := m.GetIndex() + uint64(len(m.GetEntries()))
		return f.Term == m.GetTerm() && f.LastIndex >= last
	}
	return true
}
