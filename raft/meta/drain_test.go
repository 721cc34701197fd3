package meta

import (
	"errors"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

// drainable is an image of brokers and topics that a test draws.
func drainable(t *rapid.T) *Image {
	m := NewImage()
	index := uint64(0)
	apply := func(c Command) {
		index++
		r, _, _, err := m.Apply(index, Encode(Request{TimeMs: 1}, c))
		if err != nil || r.Code != 0 {
			t.Fatalf("%T: %v %v", c, r.Err(), err)
		}
	}
	brokers := rapid.IntRange(1, 6).Draw(t, "brokers")
	for id := range brokers {
		apply(&RegisterBroker{ID: NodeID(id + 1), Incarnation: ID{byte(id + 1)}, Directory: ID{byte(id + 1)}})
	}
	for i := range rapid.IntRange(0, 4).Draw(t, "topics") {
		rf := rapid.IntRange(1, brokers).Draw(t, "rf")
		to, err := Assign(m, rapid.IntRange(1, 8).Draw(t, "partitions"), rf)
		if err != nil {
			t.Fatal(err)
		}
		c := &CreateTopic{ID: ID{byte(i + 1)}, Name: string(rune('a' + i)), Assignments: to}
		c.RFExplicit = rapid.Bool().Draw(t, "chosen")
		if rapid.Bool().Draw(t, "min isr set") {
			c.Configs = map[string]string{"min.insync.replicas": strconv.Itoa(rapid.IntRange(1, rf).Draw(t, "min isr"))}
		}
		apply(c)
	}
	for id := range brokers {
		if rapid.IntRange(0, 4).Draw(t, "away") == 0 {
			apply(&DrainBroker{ID: NodeID(id + 1), Draining: true})
		}
	}
	return m
}

// A plan moves each replica of the broker to a usable one that did not hold
// the partition, and nothing else; the rest of the assignment stays. Where
// there is none the partition has one replica fewer, if its topic may.
func TestDrainPlans(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drainable(t)
		id := rapid.SampledFrom(m.Brokers()).Draw(t, "drained").ID
		moves, err := Drain(m, id)
		if err != nil {
			if !errors.Is(err, ErrNotEnoughBrokers) || moves != nil {
				t.Fatalf("%v with %v", err, moves)
			}
			if !crowded(m, id) {
				t.Fatalf("refused although there is room: %v", err)
			}
			return
		}
		planned := map[ID]map[int32][]NodeID{}
		for _, mv := range moves {
			if planned[mv.TopicID] == nil {
				planned[mv.TopicID] = map[int32][]NodeID{}
			}
			planned[mv.TopicID][mv.Partition] = mv.Target
		}
		for _, topic := range m.order {
			for i := range topic.Partitions {
				checkMove(t, m, id, topic, Move{Partition: int32(i), Target: planned[topic.ID][int32(i)]})
			}
		}
		again, _ := Drain(m, id)
		if !slices.EqualFunc(moves, again, func(a, b Move) bool { return slices.Equal(a.Target, b.Target) }) {
			t.Fatal("two plans of one image differ")
		}
	})
}

func checkMove(t *rapid.T, m *Image, id NodeID, topic *Topic, mv Move) {
	now, to := topic.Partitions[mv.Partition].Replicas, mv.Target
	if !slices.Contains(now, id) {
		if to != nil {
			t.Fatalf("%v was moved to %v", now, to)
		}
		return
	}
	if len(to) < len(now) {
		if !slices.Equal(to, without(now, id)) || free(m, now) || !shrinkable(topic, now) {
			t.Fatalf("%v became %v", now, to)
		}
		return
	}
	for rank, n := range to {
		b, _ := m.Broker(n)
		switch {
		case now[rank] != id && n != now[rank]:
			t.Fatalf("%v became %v", now, to)
		case now[rank] == id && (slices.Contains(now, n) || b.Draining || !b.Live()):
			t.Fatalf("%v became %v, which can't have it", now, to)
		}
	}
}

// free tells whether there is a usable broker that does not hold a partition.
func free(m *Image, now []NodeID) bool {
	return slices.ContainsFunc(m.Brokers(), func(b Broker) bool {
		return b.Live() && !b.Draining && !slices.Contains(now, b.ID)
	})
}

func shrinkable(t *Topic, now []NodeID) bool {
	least, _ := strconv.Atoi(t.Configs["min.insync.replicas"])
	return !t.RFExplicit && len(now) > max(least, 1)
}

// crowded tells whether a partition of the broker has no place for the replica
// and may not do without.
func crowded(m *Image, id NodeID) bool {
	for _, t := range m.order {
		for i := range t.Partitions {
			now := t.Partitions[i].Replicas
			if slices.Contains(now, id) && !free(m, now) && !shrinkable(t, now) {
				return true
			}
		}
	}
	return false
}

// Replicas go where fewest are, and are not moved again.
func TestDrainSpreads(t *testing.T) {
	m := NewImage()
	index := uint64(0)
	apply := func(c Command) {
		index++
		if r, _, _, err := m.Apply(index, Encode(Request{TimeMs: 1}, c)); err != nil || r.Code != 0 {
			t.Fatalf("%T: %v %v", c, r.Err(), err)
		}
	}
	for id := NodeID(1); id <= 4; id++ {
		apply(&RegisterBroker{ID: id, Incarnation: ID{byte(id)}, Directory: ID{byte(id)}})
	}
	apply(&CreateTopic{ID: ID{1}, Name: "t", Assignments: [][]NodeID{{1}, {1}, {1}, {1}, {2}}})
	moves, err := Drain(m, 1)
	if err != nil {
		t.Fatal(err)
	}
	got := map[NodeID]int{}
	for _, mv := range moves {
		got[mv.Target[0]]++
		apply(&ReassignPartition{TopicID: mv.TopicID, Partition: mv.Partition, Target: mv.Target})
	}
	if got[2] != 1 || got[3]+got[4] != 3 || got[3] == 0 || got[4] == 0 {
		t.Errorf("spread %v", got)
	}
	if moves, err = Drain(m, 1); err != nil || len(moves) != 0 {
		t.Errorf("what is on its way was moved again: %v %v", moves, err)
	}
	if _, err := Drain(m, 9); !errors.Is(err, ErrUnknownBroker) {
		t.Error(err)
	}
}
