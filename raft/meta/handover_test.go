package meta

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// foretold are the partitions that change hands when a command is applied,
// according to the image before and after it: whose leader lived and lost its
// place. Where it had none, or comes back as a new process, nobody is there to
// finish what it has in hand.
func foretold(before map[string]Partition, m *Image) (list []string) {
	for _, t := range m.order {
		for i := range t.Partitions {
			name := fmt.Sprintf("%s/%d", t.Name, i)
			if old, ok := before[name]; ok && old.Leader != 0 && old.Leader != t.Partitions[i].Leader {
				list = append(list, fmt.Sprint(name, " of ", old.Leader))
			}
		}
	}
	return list
}

func partitionsOf(m *Image) map[string]Partition {
	all := map[string]Partition{}
	for _, t := range m.order {
		for i := range t.Partitions {
			all[fmt.Sprintf("%s/%d", t.Name, i)] = t.Partitions[i]
		}
	}
	return all
}

// inGoodOrder tells whether whoever proposes a command has leaders prepare for
// it. The others come from a leader that is gone, or gives up its log.
func inGoodOrder(c Command) bool {
	switch c.(type) {
	case *DrainBroker, *FenceBroker, *ElectLeaders, *ReassignPartition, *AlterPartition:
		return true
	}
	return false
}

// genAimed draws a command that has something to do in the image: one that is
// drawn blindly seldom knows the epochs.
func genAimed(t *rapid.T, m *Image) Command {
	if len(m.order) == 0 || rapid.IntRange(0, 2).Draw(t, "blind") == 0 {
		return genCommand(t)
	}
	topic := rapid.SampledFrom(m.order).Draw(t, "of")
	number := rapid.IntRange(0, len(topic.Partitions)-1).Draw(t, "number")
	p := &topic.Partitions[number]
	replicas := func(name string) []NodeID {
		return rapid.SliceOfNDistinct(rapid.SampledFrom(p.Replicas), 1, len(p.Replicas), rapid.ID[NodeID]).Draw(t, name)
	}
	switch rapid.IntRange(0, 3).Draw(t, "what") {
	case 0:
		c := &ElectLeaders{Partition: int32(rapid.IntRange(-1, number).Draw(t, "elect"))}
		if rapid.Bool().Draw(t, "one topic") {
			c.TopicID = topic.ID
		}
		return c
	case 1:
		id := rapid.Int32Range(1, 4).Draw(t, "broker")
		return rapid.SampledFrom([]Command{
			&FenceBroker{ID: id}, &UnfenceBroker{ID: id}, &DrainBroker{ID: id, Draining: true}, &DrainBroker{ID: id},
		}).Draw(t, "broker's")
	case 2:
		target := rapid.SliceOfNDistinct(rapid.Int32Range(1, 4), 1, 3, rapid.ID[NodeID]).Draw(t, "target")
		if rapid.Bool().Draw(t, "inside") {
			target = replicas("target of replicas")
		}
		return &ReassignPartition{TopicID: topic.ID, Partition: int32(number), Target: target}
	}
	c := &AlterPartition{
		TopicID: topic.ID, Partition: int32(number), Leader: p.Leader, LeaderEpoch: p.LeaderEpoch,
		PartitionEpoch: p.PartitionEpoch, ISR: replicas("isr"),
	}
	if p.Leader != 0 && !slices.Contains(c.ISR, p.Leader) {
		c.ISR = append(c.ISR, p.Leader)
	}
	return c
}

// tellAndApply applies a command, and compares what was foretold of it.
func tellAndApply(w *world, c Command) (replaced bool, err error) {
	before := partitionsOf(w.image)
	var told []string
	for _, h := range Handovers(w.image, c) {
		topic, _ := w.image.TopicByID(h.TopicID)
		told = append(told, fmt.Sprintf("%s/%d of %d", topic.Name, h.Partition, h.Leader))
	}
	r, _ := w.apply(c)
	want := foretold(before, w.image)
	if !inGoodOrder(c) {
		want = nil
	}
	if !slices.Equal(told, want) {
		err = fmt.Errorf("%T %+v (%v): prepared are %q, replaced are %q", c, c, r.Err(), told, want)
	}
	return len(want) > 0, err
}

// What is foretold of a command is what it does: a leader that is not prepared
// leaves its appends in doubt, and one that is prepared for nothing takes none
// for a while.
func TestHandoversAreWhatHappens(t *testing.T) {
	seen := map[string]int{}
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		for id := range NodeID(4) {
			w.apply(&RegisterBroker{ID: id + 1, Incarnation: ID{byte(id + 1)}, Directory: ID{byte(id + 1)}})
		}
		w.apply(&CreateTopic{ID: nameID("a"), Name: "a", Assignments: [][]NodeID{{1, 2, 3}, {2, 3, 4}, {3, 4}, {4}}})
		for range rapid.IntRange(1, 60).Draw(rt, "n") {
			c := genAimed(rt, w.image)
			replaced, err := tellAndApply(w, c)
			if err != nil {
				rt.Fatal(err)
			}
			if replaced {
				seen[fmt.Sprintf("%T", c)]++
			}
		}
	})
	// The end of a reassignment that takes the leader's place is seldom drawn.
	w := newWorld(t)
	for id := range NodeID(4) {
		w.apply(&RegisterBroker{ID: id + 1, Incarnation: ID{byte(id + 1)}, Directory: ID{byte(id + 1)}})
	}
	w.apply(&CreateTopic{ID: nameID("a"), Name: "a", Assignments: [][]NodeID{{1, 2}}})
	w.apply(&ReassignPartition{TopicID: nameID("a"), Target: []NodeID{3, 4}})
	topic, _ := w.image.TopicByID(nameID("a"))
	last := &AlterPartition{
		TopicID: topic.ID, Leader: 1, LeaderEpoch: topic.Partitions[0].LeaderEpoch,
		PartitionEpoch: topic.Partitions[0].PartitionEpoch, ISR: []NodeID{1, 2, 3, 4},
	}
	if replaced, err := tellAndApply(w, last); err != nil {
		t.Error(err)
	} else if replaced {
		seen[fmt.Sprintf("%T", last)]++
	}
	for _, c := range []Command{&DrainBroker{}, &FenceBroker{}, &ElectLeaders{}, &ReassignPartition{}, &AlterPartition{}} {
		if name := fmt.Sprintf("%T", c); seen[name] == 0 {
			t.Errorf("no %s ever replaced a leader: the test does not see it", name)
		}
	}
}

// As many are foretold as one command changes: the proposer repeats both.
func TestHandoversOfManyPartitions(t *testing.T) {
	w := newWorld(t)
	w.apply(&RegisterBroker{ID: 1, Incarnation: ID{1}})
	w.apply(&RegisterBroker{ID: 2, Incarnation: ID{2}})
	c := &CreateTopic{ID: ID{1}, Name: "t"}
	for range SweepLimit + 10 {
		c.Assignments = append(c.Assignments, []NodeID{1, 2})
	}
	w.apply(c)
	for _, want := range []int{SweepLimit, 10, 0} {
		c := &DrainBroker{ID: 1, Draining: true}
		told := Handovers(w.image, c)
		if r, _ := w.apply(c); len(told) != want || int(r.Changed) != want || r.More != (want == SweepLimit) {
			t.Errorf("%d were foretold, %d changed (more: %v), want %d", len(told), r.Changed, r.More, want)
		}
	}
}

// A command that is refused prepares nobody.
func TestHandoversOfRefusedCommands(t *testing.T) {
	w := newWorld(t)
	for id := range NodeID(3) {
		w.apply(&RegisterBroker{ID: id + 1, Incarnation: ID{byte(id + 1)}})
	}
	w.apply(&CreateTopic{ID: ID{1}, Name: "t", Assignments: [][]NodeID{{1, 2, 3}}})
	for _, c := range []Command{
		&FenceBroker{ID: 1, Epoch: 99}, &FenceBroker{ID: 9},
		&DrainBroker{ID: 9, Draining: true}, &DrainBroker{ID: 1},
		&ReassignPartition{TopicID: ID{1}, Target: []NodeID{2, 2}},
		&ReassignPartition{TopicID: ID{1}, Target: []NodeID{2}, Throttle: -1},
		&ReassignPartition{TopicID: ID{1}, Partition: 1, Target: []NodeID{2}},
		&ReassignPartition{TopicID: ID{9}, Target: []NodeID{2}},
		&ElectLeaders{TopicID: ID{9}, Partition: -1}, &ElectLeaders{TopicID: ID{1}, Partition: 1},
		&ElectLeaders{TopicID: ID{1}, Unclean: true, Leader: 2},
	} {
		if told := Handovers(w.image, c); len(told) > 0 {
			t.Errorf("%T %+v prepares %v", c, c, told)
		}
	}
}
