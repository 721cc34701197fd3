package sim

import (
	"errors"
	"maps"
	"slices"
	"time"

	etcd "go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/chroniklog/chronik/raft"
	"github.com/chroniklog/chronik/raft/meta"
	"github.com/chroniklog/chronik/server/controller"
)

var errStage = errors.New("crash between two steps of raft")

// errUnknown: a command may have been applied, or may yet be.
var errUnknown = errors.New("outcome unknown")

func raftID(node int32) uint64 { return uint64(100 + node) }

func nodeOf(raftID uint64) int32 { return int32(raftID) - 100 }

// openRaft starts the metadata log.
func (n *node) openRaft() (err error) {
	n.core, err = raft.NewCore(raft.CoreConfig{
		ID: raftID(n.id), Storage: n.log, Fence: n.log, CompactEvery: 60, CompactKeep: 20,
		Send: n.sendRaft, OnApply: n.applied, OnResult: n.resulted,
		Hook: func(st raft.Stage) error {
			if n.crashArmed && st == n.crashStage {
				n.disk.dead = true
				return errStage
			}
			return nil
		},
	})
	return err
}

func (n *node) tick() { n.core.Tick() }

// processRaft is a round of raft's loop.
func (n *node) processRaft() {
	n.planned.raft = false
	for n.core.HasReady() {
		if err := n.core.Process(); err != nil {
			if !n.disk.dead {
				n.w.fail("node %d: raft: %w", n.id, err)
			}
			return
		}
		n.w.raft.processed(n)
	}
}

// sendRaft is called by the core.
func (n *node) sendRaft(msgs []*pb.Message) {
	for _, m := range msgs {
		n.w.raft.sent(n, m)
		c := proto.Clone(m).(*pb.Message)
		to := nodeOf(m.GetTo())
		if n.w.node(to) == nil {
			continue
		}
		if m.GetType() == pb.MsgSnap {
			n.sendSnapshot(to, c)
			continue
		}
		n.w.net.send(n.id, to, func(dest *node) { dest.core.Step(proto.Clone(c).(*pb.Message)) })
	}
}

// sendSnapshot is a stream: the sender learns how it ended.
func (n *node) sendSnapshot(to int32, m *pb.Message) {
	life, dest := n.life, n.w.node(to)
	n.w.after(n.w.net.delay(), func() {
		ok := dest.up && !n.w.net.cut(n.id, to) && !n.w.chance(n.w.net.loss)
		if ok {
			dest.receive(func() { dest.core.Step(m) })
		}
		n.w.after(n.w.net.delay(), func() {
			if n.life == life {
				n.receive(func() { n.core.SnapshotSent(m.GetTo(), ok) })
			}
		})
	})
}

// applied is called by the core with what commands changed.
func (n *node) applied(_ uint64, events []meta.Event) {
	n.controller.Changed(events)
	for _, e := range events {
		switch e := e.(type) {
		case meta.PartitionChanged:
			n.touched = append(n.touched, e)
		case meta.TopicCreated, meta.ImageReplaced:
			n.reload = true
		}
	}
}

// ask is a command that this node wants applied.
type ask struct {
	id    meta.ID
	cmd   []byte
	until time.Duration
	done  func(meta.Result, error)
}

// askFor bounds the attempts of a command.
const askFor = 3 * time.Second

// propose has the controller apply a command; done has its result, or
// errUnknown. Attempts carry one request id, so it is applied once.
func (n *node) propose(cmd meta.Command, done func(meta.Result, error)) {
	req := meta.Request{ID: n.w.newID(), TimeMs: n.wall(), Seq: n.core.Image().Seq()}
	a := &ask{id: req.ID, cmd: meta.Encode(req, cmd), until: n.w.now + askFor, done: done}
	n.asks[a.id] = a
	n.attempt(a)
}

func (n *node) attempt(a *ask) {
	if n.asks[a.id] != a {
		return
	}
	if n.w.now > a.until {
		delete(n.asks, a.id)
		a.done(meta.Result{}, errUnknown)
		return
	}
	if lead := nodeOf(n.core.State().Lead); n.w.node(lead) != nil {
		from := n.id
		n.w.net.send(n.id, lead, func(c *node) { c.proposed(from, a.id, a.cmd) })
	}
	n.after(between(n.w.rng, 150*time.Millisecond, 300*time.Millisecond), func() { n.attempt(a) })
}

// proposed takes a command that a node, this one perhaps, wants applied.
func (n *node) proposed(from int32, id meta.ID, cmd []byte) {
	if n.core.Propose(cmd) == nil && !slices.Contains(n.asked[id], from) {
		n.asked[id] = append(n.asked[id], from)
	}
}

// resulted is called by the core with the result of a command.
func (n *node) resulted(id meta.ID, r meta.Result) {
	for _, from := range n.asked[id] {
		n.w.net.send(n.id, from, func(asker *node) { asker.answered(id, r) })
	}
	delete(n.asked, id)
}

func (n *node) answered(id meta.ID, r meta.Result) {
	if a := n.asks[id]; a != nil {
		delete(n.asks, id)
		a.done(r, r.Err())
	}
}

// register makes this process known, once the image has caught up, and then
// gives the partitions their roles.
func (n *node) register() {
	st := n.core.State()
	if st.Lead == 0 || st.Applied.Term != st.Term || st.Applied.Index < st.Commit {
		n.after(30*time.Millisecond, n.register)
		return
	}
	cmd := &meta.RegisterBroker{ID: n.id, Incarnation: n.incarnation, Directory: n.directory}
	n.propose(cmd, func(r meta.Result, err error) {
		switch {
		case err != nil || r.More:
			n.register()
		default:
			n.epoch = uint64(r.Value)
			n.awaitIndex(r.Index)
		}
	})
}

// awaitIndex starts the partitions when the image shows the registration.
func (n *node) awaitIndex(index uint64) {
	if n.core.State().Applied.Index < index {
		n.after(5*time.Millisecond, func() { n.awaitIndex(index) })
		return
	}
	n.w.note("registered", n.id, int64(n.epoch))
	n.started, n.reload, n.touched = true, true, nil
}

// beat is the broker's sign of life.
func (n *node) beat() {
	if n.epoch == 0 {
		return
	}
	h := controller.Heartbeat{Broker: n.id, Epoch: n.epoch, Healthy: true}
	if lead := nodeOf(n.core.State().Lead); n.w.node(lead) != nil {
		n.w.net.send(n.id, lead, func(c *node) { c.controller.Heard(c.monotonic(), h) })
	}
}

func (n *node) monotonic() int64 { return n.w.now.Milliseconds() }

// control is the controller's tick.
func (n *node) control() {
	leads := n.core.State().Role == etcd.StateLeader
	switch {
	case !leads:
		n.controller.Resign()
		return
	case !n.controller.Leading():
		n.w.note("controller", n.id)
		n.controller.Lead(n.monotonic(), n.core.Image())
	}
	n.act()
}

// act proposes what the controller wants, one command at a time.
func (n *node) act() {
	if n.acting || !n.controller.Leading() {
		return
	}
	cmd := n.controller.Next(n.monotonic(), n.core.Image())
	if cmd == nil && n.topicIsMissing() {
		cmd = n.w.createTopic()
	}
	if cmd != nil {
		n.acting = true
		n.doControl(cmd)
	}
}

// doControl repeats a command that visits many partitions until it is through.
func (n *node) doControl(cmd meta.Command) {
	n.w.say(n.id, "controller: %T %+v", cmd, cmd)
	n.propose(cmd, func(r meta.Result, err error) {
		if err == nil && r.More {
			n.doControl(cmd)
			return
		}
		n.acting = false
		if err != nil {
			n.controller.Failed(n.monotonic())
			return
		}
		n.act()
	})
}

func (n *node) topicIsMissing() bool {
	_, ok := n.core.Image().TopicByID(n.w.topic)
	return !ok && len(n.core.Image().Brokers()) == len(n.w.nodes)
}

// createTopic is the topic of the run: explicit, on every node, each
// partition's preferred leader the next node.
func (w *world) createTopic() meta.Command {
	c := &meta.CreateTopic{ID: w.topic, Name: "t", RFExplicit: true}
	for p := range w.o.Partitions {
		var replicas []meta.NodeID
		for i := range w.nodes {
			replicas = append(replicas, w.nodes[(p+i)%len(w.nodes)].id)
		}
		c.Assignments = append(c.Assignments, replicas)
	}
	return c
}

// sortedKeys lists a map's keys in order: chance must not depend on maps.
func sortedKeys[V any](m map[int32]V) []int32 { return slices.Sorted(maps.Keys(m)) }

// sortedOffsets lists a map's keys in order.
func sortedOffsets(m map[int64]string) []int64 { return slices.Sorted(maps.Keys(m)) }
