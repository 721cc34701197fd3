package sim

import (
	"strings"

	"github.com/chroniklog/chronik/storage/record"
	etcd "go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
)

// history is what clients were told and saw.
type history struct {
	parts []partHistory
	led   map[place]int32 // who led, by partition and epoch
	acks  map[place]int32 // who acknowledged
}

// place is a partition, and an epoch or an offset of it.
type place struct {
	partition int32
	at        int64
}

// partHistory is one partition's.
type partHistory struct {
	acked  map[int64]string // acknowledged with acks=all
	seen   map[int64]string // by readers
	cited  int64            // the highest end that an answer told of
	values map[string]int64 // of operations that are repeated: their offset
}

func newHistory(partitions int) *history {
	h := &history{led: map[place]int32{}, acks: map[place]int32{}}
	for range partitions {
		h.parts = append(h.parts, partHistory{
			acked: map[int64]string{}, seen: map[int64]string{}, values: map[string]int64{},
		})
	}
	return h
}

// leads notes that a node took the leadership of an epoch.
func (h *history) leads(n *node, p int32, epoch int32) {
	k := place{p, int64(epoch)}
	if other, ok := h.led[k]; ok && other != n.id {
		n.w.fail("nodes %d and %d lead partition %d in epoch %d", other, n.id, p, epoch)
	}
	h.led[k] = n.id
}

// newest tells whether a node leads in the newest epoch that anybody led in.
func (h *history) newest(n *node, p int32) bool {
	epoch := n.parts[p].state.LeaderEpoch
	if n.parts[p].state.Leader != n.id {
		return false
	}
	for k := range h.led {
		if k.partition == p && k.at > int64(epoch) {
			return false
		}
	}
	return true
}

// acked notes an acknowledgement with acks=all of a value.
func (w *world) acked(from int32, p int32, epoch int32, offset int64, value string) {
	h := &w.hist.parts[p]
	w.note("ack", from, int64(p), offset)
	w.say(from, "acknowledged %q at %d/%d", value, p, offset)
	k := place{p, int64(epoch)}
	if other, ok := w.hist.acks[k]; ok && other != from {
		w.fail("nodes %d and %d acknowledge in partition %d, epoch %d", other, from, p, epoch)
	}
	w.hist.acks[k] = from
	if other, ok := h.acked[offset]; ok && other != value {
		w.fail("offset %d of partition %d was acknowledged for %q and for %q", offset, p, other, value)
	}
	if first, ok := h.values[value]; ok && first != offset {
		w.fail("%q was acknowledged at %d and at %d of partition %d", value, first, offset, p)
	}
	if _, ok := h.values[value]; !ok {
		w.report.Acked++
		if n := w.copies(p, offset); n < minISR(len(w.nodes)) {
			w.fail("%q was acknowledged at %d of partition %d with %d synced copies", value, offset, p, n)
		}
	}
	h.acked[offset], h.values[value] = value, offset
}

// copies is on how many nodes a record is synced to disk.
func (w *world) copies(p int32, offset int64) (n int) {
	for _, node := range w.nodes {
		if node.syncedTo(p) > offset {
			n++
		}
	}
	return n
}

// saw notes batches that a reader got, from offset from on.
func (w *world) saw(node, p int32, from int64, batches []byte) (next int64) {
	h := &w.hist.parts[p]
	next = from
	err := eachRecord(batches, func(rec *record.Record, control bool) {
		if rec.Offset < from {
			return
		}
		if rec.Offset != next {
			w.fail("a reader of partition %d on node %d got offset %d after %d", p, node, rec.Offset, next-1)
		}
		next = rec.Offset + 1
		v := digest(rec, control)
		if was, ok := h.seen[rec.Offset]; ok && was != v {
			w.fail("a reader of partition %d on node %d got %q at offset %d; another got %q", p, node, v, rec.Offset, was)
		}
		h.seen[rec.Offset] = v
		w.report.Reads++
	})
	if err != nil {
		w.fail("a reader of partition %d on node %d: %w", p, node, err)
	}
	return next
}

// digest is what must not change of a record.
func digest(rec *record.Record, control bool) string {
	if control {
		return "control " + string(rec.Key) + string(rec.Value)
	}
	value, _, _ := strings.Cut(string(rec.Value), " ")
	return value
}

// eachRecord calls fn with the records of batches.
func eachRecord(batches []byte, fn func(rec *record.Record, control bool)) error {
	var r record.Reader
	for rest := batches; len(rest) > 0; {
		batch, after, err := record.Split(rest)
		if err != nil {
			return err
		}
		if err := record.CheckCRC(batch); err != nil {
			return err
		}
		h, err := r.Reset(batch, 1<<20)
		if err != nil {
			return err
		}
		var rec record.Record
		for r.Next(&rec) {
			fn(&rec, h.Control())
		}
		if err := r.Err(); err != nil {
			return err
		}
		rest = after
	}
	return nil
}

// raftHistory is what raft's members promised and did.
type raftHistory struct {
	led     map[uint64]int32     // by term
	votes   map[[2]uint64]uint64 // of a member in a term
	applied map[uint64]raftStep  // by index
}

// raftStep is an entry as some member applied it.
type raftStep struct{ term uint64 }

func newRaftHistory() raftHistory {
	return raftHistory{led: map[uint64]int32{}, votes: map[[2]uint64]uint64{}, applied: map[uint64]raftStep{}}
}

// processed looks at a member after a round.
func (h *raftHistory) processed(n *node) {
	st := n.core.State()
	if st.Role == etcd.StateLeader {
		if other, ok := h.led[st.Term]; ok && other != n.id {
			n.w.fail("nodes %d and %d lead raft in term %d", other, n.id, st.Term)
		}
		h.led[st.Term] = n.id
	}
	if was, ok := h.applied[st.Applied.Index]; ok && was.term != st.Applied.Term {
		n.w.fail("node %d applied entry %d of term %d; another of term %d", n.id, st.Applied.Index, st.Applied.Term, was.term)
	}
	h.applied[st.Applied.Index] = raftStep{term: st.Applied.Term}
	for _, other := range n.w.nodes {
		if other != n && other.up && other.core.State().Applied == st.Applied &&
			!other.core.Image().Equal(n.core.Image()) {
			n.w.fail("nodes %d and %d have different images at index %d", n.id, other.id, st.Applied.Index)
		}
	}
}

// sent looks at a message: nobody votes twice in a term.
func (h *raftHistory) sent(n *node, m *pb.Message) {
	var forID uint64
	switch {
	case m.GetType() == pb.MsgVote:
		forID = m.GetFrom()
	case m.GetType() == pb.MsgVoteResp && !m.GetReject():
		forID = m.GetTo()
	default:
		return
	}
	k := [2]uint64{m.GetFrom(), m.GetTerm()}
	if was, ok := h.votes[k]; ok && was != forID {
		n.w.fail("node %d votes for %d and %d in term %d", n.id, nodeOf(was), nodeOf(forID), m.GetTerm())
	}
	h.votes[k] = forID
}
