package sim

import (
	"time"

	"github.com/chroniklog/chronik/raft"
	"github.com/chroniklog/chronik/raft/meta"
	"github.com/chroniklog/chronik/storage/vfs"
)

// begin makes the cluster, its clients and what befalls it.
func (w *world) begin() {
	var members []meta.Member
	for i := range w.o.Nodes {
		id := int32(i + 1)
		members = append(members, meta.Member{RaftID: raftID(id), Node: id, Addr: "n"})
	}
	for _, m := range members {
		n := &node{
			w: w, id: m.Node, directory: w.newID(), mem: vfs.NewMem(),
			log: raft.NewMemory(raft.Seed{Members: members}),
		}
		w.nodes = append(w.nodes, n)
	}
	w.calm()
	for _, n := range w.nodes {
		w.after(between(w.rng, 0, 200*time.Millisecond), n.start)
	}
	for i := range w.o.Clients {
		c := w.newClient(i)
		w.clients = append(w.clients, c)
		w.after(time.Second, c.think)
	}
	for range 2 {
		r := w.newReader()
		w.readers = append(w.readers, r)
		w.after(time.Second, r.read)
	}
	w.after(1500*time.Millisecond, w.nemesis)
}

// calm is a network without faults.
func (w *world) calm() {
	w.net.loss, w.net.dup, w.net.slow = 0, 0, 0
	clear(w.net.cuts)
}

// nemesis does something bad now and then.
func (w *world) nemesis() {
	if w.healing {
		return
	}
	w.after(between(w.rng, 20*time.Millisecond, 700*time.Millisecond), w.nemesis)
	n := w.nodes[w.rng.IntN(len(w.nodes))]
	if w.chance(0.4) { // whoever leads is hit harder
		n = w.someLeader(n)
	}
	switch w.rng.IntN(14) {
	case 0, 1:
		w.crash(n)
	case 2, 3, 4:
		if n.up {
			n.disk.armed, n.disk.left = true, w.rng.IntN(30)
		}
	case 5:
		if n.up {
			n.crashArmed = true
			n.crashStage = raft.Stage(w.rng.IntN(int(raft.StageCompact) + 1))
		}
	case 6, 7:
		n.pause()
		w.after(between(w.rng, 50*time.Millisecond, 4*time.Second), n.resume)
	case 8:
		w.isolate(n)
	case 9:
		w.cutOne(n)
	case 10:
		w.note("calm", 0)
		w.calm()
	case 11:
		w.net.loss, w.net.dup = w.rng.Float64()*0.2, w.rng.Float64()*0.2
		w.net.slow = w.rng.Float64() * 0.2
	case 12:
		n.skew += between(w.rng, -time.Hour, time.Hour)
	case 13:
		if w.chance(0.3) {
			for _, n := range w.nodes {
				w.crash(n)
			}
		}
	}
	w.revive()
}

// someLeader is a node that leads a partition or the metadata, or else n.
func (w *world) someLeader(n *node) *node {
	for _, i := range w.rng.Perm(len(w.nodes)) {
		m := w.nodes[i]
		if !m.up {
			continue
		}
		if m.controller.Leading() && w.chance(0.3) {
			return m
		}
		for _, p := range m.parts {
			if p.state.Leader == m.id {
				return m
			}
		}
	}
	return n
}

func (w *world) crash(n *node) { n.crash(w.chance(0.7)) }

// revive starts nodes that are down, in a while.
func (w *world) revive() {
	for _, n := range w.nodes {
		if !n.up && !n.reviving {
			n.reviving = true
			w.after(between(w.rng, 10*time.Millisecond, 5*time.Second), func() {
				n.reviving = false
				n.start()
			})
		}
	}
}

// isolate cuts a node off, perhaps from the clients too, for a while.
func (w *world) isolate(n *node) {
	w.note("isolate", n.id)
	var cuts [][2]int32
	for _, m := range w.nodes {
		if m != n {
			cuts = append(cuts, [2]int32{n.id, m.id}, [2]int32{m.id, n.id})
		}
	}
	if w.chance(0.3) {
		cuts = append(cuts, [2]int32{n.id, 0}, [2]int32{0, n.id})
	}
	w.cutFor(cuts)
}

// cutOne cuts one link, perhaps in one direction.
func (w *world) cutOne(n *node) {
	m := w.nodes[w.rng.IntN(len(w.nodes))]
	if m == n {
		return
	}
	w.note("cut", n.id, int64(m.id))
	cuts := [][2]int32{{n.id, m.id}}
	if w.chance(0.5) {
		cuts = append(cuts, [2]int32{m.id, n.id})
	}
	w.cutFor(cuts)
}

func (w *world) cutFor(cuts [][2]int32) {
	for _, c := range cuts {
		w.net.cuts[c] = true
	}
	w.after(between(w.rng, 100*time.Millisecond, 5*time.Second), func() {
		for _, c := range cuts {
			delete(w.net.cuts, c)
		}
	})
}

// heal ends all faults.
func (w *world) heal() {
	w.note("heal", 0)
	w.healing = true
	w.calm()
	for _, n := range w.nodes {
		if n.up {
			n.disk.armed, n.crashArmed = false, false
			n.resume()
		}
		n.skew = max(n.skew, 0)
		n.start()
	}
}
