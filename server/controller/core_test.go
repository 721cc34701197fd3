package controller

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chroniklog/chronik/raft/meta"
)

// world is an image that commands are applied to, and the clock.
type world struct {
	t     *testing.T
	img   *meta.Image
	core  *Core
	index uint64
	now   int64
}

func newWorld(t *testing.T, brokers int) *world {
	w := &world{t: t, img: meta.NewImage(), core: NewCore(DefaultRules()), now: 1_000_000}
	for id := range brokers {
		w.register(meta.NodeID(id + 1))
	}
	return w
}

func (w *world) apply(c meta.Command) meta.Result {
	w.t.Helper()
	w.index++
	r, _, events, err := w.img.Apply(w.index, meta.Encode(meta.Request{TimeMs: w.now}, c))
	if err != nil {
		w.t.Fatal(err)
	}
	w.core.Changed(events)
	return r
}

func (w *world) register(id meta.NodeID) {
	w.apply(&meta.RegisterBroker{ID: id, Incarnation: meta.ID{byte(id), byte(w.index)}, Directory: meta.ID{byte(id)}})
}

func (w *world) heard(ids ...meta.NodeID) {
	for _, id := range ids {
		b, _ := w.img.Broker(id)
		w.core.Heard(w.now, Heartbeat{Broker: id, Epoch: b.Epoch, Healthy: true})
	}
}

// settle applies what Core wants until it wants nothing, and tells what it was.
func (w *world) settle() (did []string) {
	w.t.Helper()
	for range 100 {
		c := w.core.Next(w.now, w.img)
		if c == nil {
			return did
		}
		if r := w.apply(c); r.Code != 0 {
			w.core.Failed(w.now)
			did = append(did, fmt.Sprintf("%T refused: %v", c, r.Err()))
			continue
		}
		switch c := c.(type) {
		case *meta.FenceBroker:
			did = append(did, fmt.Sprintf("fence %d", c.ID))
		case *meta.UnfenceBroker:
			did = append(did, fmt.Sprintf("unfence %d", c.ID))
		default:
			did = append(did, fmt.Sprintf("%T", c))
		}
	}
	w.t.Fatal("it never wants nothing")
	return nil
}

func (w *world) want(did []string, want ...string) {
	w.t.Helper()
	if d := cmp.Diff(want, did); d != "" {
		w.t.Fatal(d)
	}
}

func (w *world) topic(id byte, explicit bool, replicas ...meta.NodeID) meta.ID {
	t := meta.ID{id}
	w.apply(&meta.CreateTopic{
		ID: t, Name: fmt.Sprintf("t%d", id), Assignments: [][]meta.NodeID{replicas}, RFExplicit: explicit,
	})
	return t
}

func (w *world) partition(t meta.ID) meta.Partition {
	topic, ok := w.img.TopicByID(t)
	if !ok {
		w.t.Fatal("no topic")
	}
	return topic.Partitions[0]
}

func TestNewControllerWaitsASession(t *testing.T) {
	w := newWorld(t, 3)
	w.core.Lead(w.now, w.img)
	w.now += 1500
	w.want(w.settle())
	w.heard(1, 3)
	w.now++
	w.want(w.settle(), "fence 2")
}

// A broker that leaves fences itself, and its last heartbeats don't bring it
// back; a later one would.
func TestLeavingBrokerStaysFenced(t *testing.T) {
	w := newWorld(t, 3)
	w.core.Lead(w.now, w.img)
	w.heard(1, 2, 3)
	w.settle()
	b, _ := w.img.Broker(2)
	w.now += 10
	w.apply(&meta.FenceBroker{ID: 2, Epoch: b.Epoch})
	w.want(w.settle())
	w.now += 10
	w.heard(1, 3)
	w.want(w.settle())
	w.heard(2)
	w.want(w.settle(), "unfence 2")
}

func TestSilenceFencesAndHeartbeatUnfences(t *testing.T) {
	w := newWorld(t, 3)
	topic := w.topic(1, true, 2, 1, 3)
	w.core.Lead(w.now, w.img)
	w.want(w.settle())
	w.now += 1501
	w.heard(1, 3)
	w.want(w.settle(), "fence 2")
	if p := w.partition(topic); p.Leader != 1 || len(p.ISR) != 2 {
		t.Fatalf("after fencing: %+v", p)
	}
	w.heard(2)
	w.want(w.settle(), "unfence 2")
}

func TestUnhealthyHeartbeatsDontCount(t *testing.T) {
	w := newWorld(t, 2)
	w.core.Lead(w.now, w.img)
	b, _ := w.img.Broker(1)
	for range 4 {
		w.now += 500
		w.heard(2)
		w.core.Heard(w.now, Heartbeat{Broker: 1, Epoch: b.Epoch})
	}
	w.want(w.settle(), "fence 1")
}

// Fencing the last live broker would only make its partitions unavailable.
func TestTheLastLiveBrokerIsNotFenced(t *testing.T) {
	w := newWorld(t, 2)
	w.core.Lead(w.now, w.img)
	w.now += 5000
	w.want(w.settle(), "fence 1")
	w.now += 5000
	w.want(w.settle())
	w.heard(1)
	w.want(w.settle(), "unfence 1", "fence 2")
}

func TestRefusedConnectionFencesAtOnce(t *testing.T) {
	w := newWorld(t, 2)
	w.core.Lead(w.now, w.img)
	b, _ := w.img.Broker(2)
	w.core.Refused(2, b.Epoch-1) // an older process
	w.want(w.settle())
	w.core.Refused(2, b.Epoch)
	w.want(w.settle(), "fence 2")
	// The next process is another one.
	w.register(2)
	w.heard(2)
	w.want(w.settle())
}

// What another controller took for dead is not alive because this one is new.
func TestNewControllerUnfencesNobody(t *testing.T) {
	w := newWorld(t, 3)
	w.apply(&meta.FenceBroker{ID: 2})
	w.core.Lead(w.now, w.img)
	w.want(w.settle())
	b, _ := w.img.Broker(2)
	w.core.Heard(w.now, Heartbeat{Broker: 2, Epoch: b.Epoch}) // its disk is not well
	w.want(w.settle())
	w.heard(2)
	w.want(w.settle(), "unfence 2")
}

// A silent broker's address is looked at well before its session ends, and not
// all the time.
func TestSilenceIsDoubted(t *testing.T) {
	w := newWorld(t, 3)
	if ids := w.core.Doubted(w.now, w.img); ids != nil {
		t.Fatalf("doubted %v without leading", ids)
	}
	w.core.Lead(w.now, w.img)
	step := func(ms int64, want ...meta.NodeID) {
		t.Helper()
		w.now += ms
		w.heard(1, 3)
		if d := cmp.Diff(want, w.core.Doubted(w.now, w.img)); d != "" {
			t.Fatal(d)
		}
	}
	step(599)
	step(1, 2)
	step(599)
	step(1, 2)
	b, _ := w.img.Broker(2)
	w.core.Refused(2, b.Epoch)
	w.want(w.settle(), "fence 2")
	step(601)
}

// An old process's heartbeats don't keep a new one alive.
func TestHeartbeatOfAnOlderEpoch(t *testing.T) {
	w := newWorld(t, 2)
	w.core.Lead(w.now, w.img)
	old, _ := w.img.Broker(2)
	w.register(2)
	w.want(w.settle())
	w.now += 1501
	w.heard(1)
	w.core.Heard(w.now, Heartbeat{Broker: 2, Epoch: old.Epoch, Healthy: true})
	w.want(w.settle(), "fence 2")
}

func TestOnlyTheControllerActs(t *testing.T) {
	w := newWorld(t, 2)
	if w.core.Heard(w.now, Heartbeat{Broker: 1, Epoch: 9, Healthy: true}) {
		t.Fatal("took a heartbeat without leading")
	}
	w.core.Lead(w.now, w.img)
	w.core.Resign()
	w.now += 10_000
	w.want(w.settle())
}

func TestPreferredLeaderReturns(t *testing.T) {
	w := newWorld(t, 3)
	topic := w.topic(1, true, 2, 1, 3)
	w.core.Lead(w.now, w.img)
	w.apply(&meta.FenceBroker{ID: 2})
	w.heard(1, 2, 3)
	w.want(w.settle(), "unfence 2")
	p := w.partition(topic)
	leader, _ := w.img.Broker(p.Leader)
	w.now += 1000
	w.heard(1, 2, 3)
	w.want(w.settle()) // it isn't in sync yet
	w.apply(&meta.AlterPartition{
		TopicID: topic, Leader: p.Leader, BrokerEpoch: leader.Epoch,
		LeaderEpoch: p.LeaderEpoch, PartitionEpoch: p.PartitionEpoch, ISR: []meta.NodeID{1, 2, 3},
	})
	w.now += 1000
	w.heard(1, 2, 3)
	w.want(w.settle(), "*meta.ElectLeaders")
	if p := w.partition(topic); p.Leader != 2 {
		t.Fatalf("leader %d", p.Leader)
	}
}

func TestReplicationFactorFollowsMembers(t *testing.T) {
	w := newWorld(t, 1)
	loose, fixed := w.topic(1, false, 1), w.topic(2, true, 1)
	w.core.Lead(w.now, w.img)
	w.register(2)
	w.now += 1000
	w.heard(1, 2)
	w.want(w.settle(), "*meta.RaiseTopic")
	w.register(3)
	w.now += 1000
	w.heard(1, 2, 3)
	w.want(w.settle(), "*meta.RaiseTopic")
	if n := len(w.partition(loose).Replicas); n != 3 {
		t.Fatalf("%d replicas", n)
	}
	if n := len(w.partition(fixed).Replicas); n != 1 {
		t.Fatalf("%d replicas of a topic that chose 1", n)
	}
}
