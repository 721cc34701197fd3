package meta

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// everyCommand is one of each kind, with every field set.
func everyCommand() []Command {
	id := ID{1, 2, 3}
	nodes := []NodeID{1, 2, 3}
	return []Command{
		&RegisterBroker{ID: 1, Incarnation: id, Directory: ID{9}, HTTP: "h:1", Kafka: "k:2", Peer: "p:3"},
		&FenceBroker{ID: 1, Epoch: 7},
		&UnfenceBroker{ID: 1, Epoch: 7},
		&DrainBroker{ID: 1, Draining: true},
		&RemoveBroker{ID: 1},
		&CreateTopic{
			ID: id, Name: "t", Configs: map[string]string{"b": "2", "a": "1"},
			Assignments: [][]NodeID{nodes, {3}}, RFExplicit: true, Internal: true,
		},
		&DeleteTopic{ID: id},
		&CreatePartitions{ID: id, From: 2, Assignments: [][]NodeID{nodes}},
		&AlterConfig{ID: id, Set: map[string]string{"a": "1"}, Remove: []string{"x", "y"}},
		&AlterPartition{
			TopicID: id, Partition: 1, Leader: 2, BrokerEpoch: 3, LeaderEpoch: 4, PartitionEpoch: 5,
			ISR: nodes, ISREpochs: []uint64{1, 2, 3},
		},
		&LeaveISR{TopicID: id, Partition: 1, Broker: 2, BrokerEpoch: 3},
		&ReassignPartition{TopicID: id, Partition: 1, Target: nodes, Throttle: 1 << 20},
		&ElectLeaders{TopicID: id, Partition: -1, Unclean: true, Leader: 3},
		&RaiseTopic{ID: id, Assignments: [][]NodeID{nodes}},
		&AllocateProducerIDs{Count: 9},
		&MapProducer{Name: "n", TTLMs: 5},
		&SetClusterInfo{ID: "c", Secret: []byte{1}},
		&SetEntry{Space: "s", Key: "k", Value: []byte("v"), Delete: true, Check: true, IfVersion: 3},
		&RestoreTopic{
			Topic:  CreateTopic{ID: id, Name: "t", Configs: map[string]string{"a": "1"}, Assignments: [][]NodeID{nodes}},
			Epochs: []int32{7}, CreatedMs: 5, Born: 1,
		},
		&RestoreProducers{Next: 9, Names: []Producer{{Name: "n", ID: 3, ExpiresMs: 5}}},
	}
}

func TestCommandsRoundTrip(t *testing.T) {
	req := Request{ID: ID{7}, TimeMs: -3, Seq: 99}
	all := everyCommand()
	if len(all) != int(kindEnd)-1 {
		t.Fatalf("%d commands of %d kinds", len(all), kindEnd-1)
	}
	for _, c := range all {
		raw := Encode(req, c)
		r, got, err := Decode(raw)
		if err != nil {
			t.Errorf("%T: %v", c, err)
			continue
		}
		if r != req || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", c) {
			t.Errorf("%T: got %+v %+v, want %+v", c, r, got, c)
		}
		if RequestID(raw) != req.ID {
			t.Errorf("%T: request id", c)
		}
		// A newer release's fields, kinds and versions are refused as such.
		if _, _, err := Decode(append(slices.Clone(raw), 1)); !errors.Is(err, ErrVersion) {
			t.Errorf("%T with another field: %v", c, err)
		}
		for n := range raw {
			if _, _, err := Decode(raw[:n]); err == nil {
				t.Errorf("%T cut to %d bytes is accepted", c, n)
			}
		}
	}
	raw := Encode(req, all[0])
	raw[0] = commandVersion + 1
	if _, _, err := Decode(raw); !errors.Is(err, ErrVersion) {
		t.Errorf("newer version: %v", err)
	}
	raw[0], raw[1] = commandVersion, byte(kindEnd)
	if _, _, err := Decode(raw); !errors.Is(err, ErrVersion) {
		t.Errorf("newer kind: %v", err)
	}
}

func TestApplyRefusesWhatItCantRead(t *testing.T) {
	m := NewImage()
	before := m.dump()
	if _, _, _, err := m.Apply(1, []byte{commandVersion + 1, 1}); !errors.Is(err, ErrVersion) {
		t.Errorf("newer command: %v", err)
	}
	if _, _, _, err := m.Apply(1, nil); !errors.Is(err, ErrCorrupt) {
		t.Errorf("no command: %v", err)
	}
	if len(before) != len(m.dump()) {
		t.Error("the image changed")
	}
}

// genCommand draws a command over few names, so that they meet.
func genCommand(t *rapid.T) Command {
	node := rapid.Int32Range(1, 4)
	topic := rapid.SampledFrom([]string{"a", "b", "c"})
	nodes := rapid.SliceOfNDistinct(node, 1, 3, rapid.ID[NodeID])
	lists := rapid.SliceOfN(nodes, 1, 4)
	small := func(name string) int32 { return rapid.Int32Range(0, 6).Draw(t, name) }
	name := topic.Draw(t, "topic")
	id := nameID(name)
	switch kind(rapid.IntRange(1, int(kindEnd)-1).Draw(t, "kind")) {
	case kindRegisterBroker:
		return &RegisterBroker{
			ID: node.Draw(t, "id"), Incarnation: ID{byte(rapid.IntRange(1, 5).Draw(t, "inc"))},
			Directory: ID{byte(rapid.IntRange(1, 2).Draw(t, "dir"))},
		}
	case kindFenceBroker:
		return &FenceBroker{ID: node.Draw(t, "id")}
	case kindUnfenceBroker:
		return &UnfenceBroker{ID: node.Draw(t, "id")}
	case kindDrainBroker:
		return &DrainBroker{ID: node.Draw(t, "id"), Draining: rapid.Bool().Draw(t, "on")}
	case kindRemoveBroker:
		return &RemoveBroker{ID: node.Draw(t, "id")}
	case kindCreateTopic:
		return &CreateTopic{ID: id, Name: name, Assignments: lists.Draw(t, "lists"), RFExplicit: rapid.Bool().Draw(t, "rf")}
	case kindDeleteTopic:
		return &DeleteTopic{ID: id}
	case kindCreatePartitions:
		return &CreatePartitions{ID: id, From: small("from"), Assignments: lists.Draw(t, "lists")}
	case kindAlterConfig:
		return &AlterConfig{ID: id, Set: map[string]string{"k": name}, Remove: []string{"x"}}
	case kindAlterPartition:
		return &AlterPartition{
			TopicID: id, Partition: small("p"), Leader: node.Draw(t, "leader"), LeaderEpoch: small("le"),
			PartitionEpoch: small("pe"), ISR: nodes.Draw(t, "isr"),
		}
	case kindLeaveISR:
		return &LeaveISR{TopicID: id, Partition: small("p"), Broker: node.Draw(t, "id")}
	case kindReassignPartition:
		return &ReassignPartition{
			TopicID: id, Partition: small("p"), Target: nodes.Draw(t, "target"), Throttle: int64(small("rate")),
		}
	case kindElectLeaders:
		return &ElectLeaders{
			TopicID: id, Partition: small("p") - 1, Unclean: rapid.Bool().Draw(t, "unclean"), Leader: node.Draw(t, "leader"),
		}
	case kindRaiseTopic:
		return &RaiseTopic{ID: id, Assignments: lists.Draw(t, "lists")}
	case kindAllocateProducerIDs:
		return &AllocateProducerIDs{Count: small("n")}
	case kindMapProducer:
		return &MapProducer{Name: name, TTLMs: int64(small("ttl"))}
	case kindSetClusterInfo:
		return &SetClusterInfo{ID: name}
	default:
		return &SetEntry{Space: "s", Key: name, Value: []byte{1}, Delete: rapid.Bool().Draw(t, "del")}
	}
}

// TestReplay: two images that apply the same commands are equal, and so is the
// one loaded from the store at any point, which then goes on like them.
func TestReplay(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		twin := NewImage()
		for range rapid.IntRange(1, 60).Draw(rt, "n") {
			c := genCommand(rt)
			w.now += rapid.Int64Range(0, 4).Draw(rt, "dt")
			seen := w.image.Seq()
			if _, _, _, err := twin.Apply(w.index+1, encodeAt(w, seen, c)); err != nil {
				rt.Fatal(err)
			}
			w.apply(c)
			checkInvariants(rt, w.image)
			if rapid.IntRange(0, 9).Draw(rt, "reload") == 0 {
				w.image = w.load()
			}
		}
		if !twin.Equal(w.image) || !w.load().Equal(w.image) {
			rt.Fatal("images differ")
		}
	})
}

func encodeAt(w *world, seq uint64, c Command) []byte {
	var id ID
	binary.BigEndian.PutUint64(id[:], w.index+1)
	return Encode(Request{ID: id, TimeMs: w.now, Seq: seq}, c)
}

// checkInvariants holds after every command, whatever it was.
func checkInvariants(t *rapid.T, m *Image) {
	for _, tp := range m.order {
		for i := range tp.Partitions {
			p := &tp.Partitions[i]
			switch {
			case len(p.ISR) == 0 || !subset(p.ISR, p.Replicas) || !distinct(p.ISR) || !distinct(p.Replicas):
				t.Fatalf("%s/%d: %s", tp.Name, i, state(p))
			case p.Leader != 0 && !slices.Contains(p.ISR, p.Leader):
				t.Fatalf("%s/%d is led from outside of the ISR: %s", tp.Name, i, state(p))
			case p.Leader != 0 && p.Lost:
				t.Fatalf("%s/%d is lost and led: %s", tp.Name, i, state(p))
			case p.Leader != 0 && m.brokers[p.Leader].Fenced:
				t.Fatalf("%s/%d is led by a fenced broker: %s", tp.Name, i, state(p))
			case len(p.Target) > 0 && !subset(p.Target, p.Replicas):
				t.Fatalf("%s/%d: %s", tp.Name, i, state(p))
			}
			for _, id := range p.Replicas {
				if m.brokers[id] == nil {
					t.Fatalf("%s/%d has an unknown replica: %s", tp.Name, i, state(p))
				}
			}
		}
	}
}

func TestDedupWindow(t *testing.T) {
	w := newWorld(t)
	first := Request{ID: ID{0xff}, Seq: 0}
	w.index = 1
	if r, _ := w.request(first, &AllocateProducerIDs{Count: 5}); r.Value != 0 {
		t.Fatalf("first: %+v", r)
	}
	for range DedupWindow - 1 {
		w.apply(&AllocateProducerIDs{Count: 1})
	}
	if r, _ := w.request(first, &AllocateProducerIDs{Count: 5}); !r.Duplicate || r.Value != 0 || r.Index != 1 {
		t.Errorf("repeat within the window: %+v", r)
	}
	w.apply(&AllocateProducerIDs{Count: 1})
	if r, _ := w.request(first, &AllocateProducerIDs{Count: 5}); !errors.Is(r.Err(), ErrRequestExpired) {
		t.Errorf("repeat outside of the window: %+v", r)
	}
	if again := w.load(); !again.Equal(w.image) || again.Seq() != w.image.Seq() {
		t.Error("the window doesn't survive the store")
	}
}

// TestSweepInChunks: a broker's death touches a bounded number of partitions
// per command, and a registration is not live before the last of them.
func TestSweepInChunks(t *testing.T) {
	w := newWorld(t)
	w.apply(&RegisterBroker{ID: 1, Incarnation: ID{1}})
	w.apply(&RegisterBroker{ID: 2, Incarnation: ID{2}})
	const n = 2*SweepLimit + 10
	for i := range 3 {
		c := &CreateTopic{ID: ID{byte(i + 1)}, Name: fmt.Sprint(i)}
		for range n / 3 {
			c.Assignments = append(c.Assignments, []NodeID{1, 2})
		}
		w.apply(c)
	}
	total := n / 3 * 3
	count := func(c Command) (changed, rounds int) {
		for {
			r, _ := w.apply(c)
			if err := r.Err(); err != nil {
				t.Fatal(err)
			}
			changed += int(r.Changed)
			rounds++
			if !r.More {
				return changed, rounds
			}
			if b, _ := w.image.Broker(1); b.Live() {
				t.Fatal("live in the middle of a sweep")
			}
		}
	}
	if changed, rounds := count(&RegisterBroker{ID: 1, Incarnation: ID{11}}); changed != total || rounds != 3 {
		t.Errorf("registration changed %d of %d in %d rounds", changed, total, rounds)
	}
	if b, _ := w.image.Broker(1); !b.Live() {
		t.Error("not live after the sweep")
	}
	if changed, rounds := count(&FenceBroker{ID: 1}); changed != total || rounds != 3 {
		t.Errorf("fencing changed %d of %d in %d rounds", changed, total, rounds)
	}
	for i := range w.image.order[0].Partitions {
		if p := &w.image.order[0].Partitions[i]; p.Leader != 2 || p.LeaderEpoch != 2 {
			t.Fatalf("partition %d: %s", i, state(p))
		}
	}
}

func TestAssignSpreads(t *testing.T) {
	w := newWorld(t)
	for id := NodeID(1); id <= 5; id++ {
		w.apply(&RegisterBroker{ID: id, Incarnation: ID{byte(id)}})
	}
	w.apply(&FenceBroker{ID: 5})
	if _, err := Assign(w.image, 1, 6); !errors.Is(err, ErrNotEnoughBrokers) {
		t.Errorf("more replicas than brokers: %v", err)
	}
	for i := range 10 {
		a, err := Assign(w.image, 10, 3)
		if err != nil {
			t.Fatal(err)
		}
		w.apply(&CreateTopic{ID: ID{byte(i + 1)}, Name: fmt.Sprint(i), Assignments: a})
	}
	l := newLoads(w.image)
	for _, b := range l.brokers {
		want := 25
		if b.id == 5 {
			want = 0
		}
		if b.leads != want || b.replicates != 3*want {
			t.Errorf("broker %d leads %d and replicates %d", b.id, b.leads, b.replicates)
		}
	}
	tp, _ := w.image.Topic("3")
	raised := Raise(w.image, tp, 5)
	for i, r := range raised {
		if len(r) != 5 || !distinct(r) || !slices.Equal(r[:3], tp.Partitions[i].Replicas) {
			t.Errorf("raised to %v from %v", r, tp.Partitions[i].Replicas)
		}
	}
	if r, _ := w.apply(&RaiseTopic{ID: tp.ID, Assignments: raised}); r.Err() != nil || r.Changed != 10 {
		t.Errorf("raise: %+v", r)
	}
	if Raise(w.image, tp, 5) != nil {
		t.Error("raised again")
	}
	w.apply(&CreateTopic{ID: ID{99}, Name: "two", Assignments: [][]NodeID{{1, 2}}})
	for id := NodeID(4); id <= 5; id++ {
		w.apply(&DrainBroker{ID: id, Draining: true})
	}
	tp, _ = w.image.Topic("two")
	if to := Raise(w.image, tp, 5); len(to) != 1 || !slices.Equal(to[0], []NodeID{1, 2, 3}) {
		t.Errorf("raised to %v: 4 and 5 drain", to)
	}
}

func TestTopicsPages(t *testing.T) {
	w := newWorld(t)
	w.apply(&RegisterBroker{ID: 1, Incarnation: ID{1}})
	for i, name := range []string{"b", "a", "ab", "abc", "c"} {
		w.apply(&CreateTopic{ID: ID{byte(i + 1)}, Name: name, Assignments: [][]NodeID{{1}}})
	}
	for _, tc := range []struct {
		prefix, after string
		limit         int
		want          string
		more          bool
	}{
		{"", "", 0, "[a ab abc b c]", false},
		{"", "ab", 2, "[abc b]", true},
		{"a", "", 0, "[a ab abc]", false},
		{"a", "ab", 1, "[abc]", false},
		{"ab", "a", 0, "[ab abc]", false},
		{"x", "", 0, "[]", false},
		{"", "c", 0, "[]", false},
	} {
		list, more := w.image.Topics(tc.prefix, tc.after, tc.limit)
		names := make([]string, 0, len(list))
		for _, tp := range list {
			names = append(names, tp.Name)
		}
		if fmt.Sprint(names) != tc.want || more != tc.more {
			t.Errorf("%+v: %v %v", tc, names, more)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	w := newWorld(t)
	w.apply(&RegisterBroker{ID: 1, Incarnation: ID{1}})
	w.apply(&CreateTopic{ID: ID{1}, Name: "t", Assignments: [][]NodeID{{1}, {1}}})
	for key, value := range w.store {
		for name, change := range map[string]func(map[string][]byte){
			"missing": func(m map[string][]byte) { delete(m, key) },
			"newer":   func(m map[string][]byte) { m[key] = append([]byte{recordVersion + 1}, value[1:]...) },
			"longer":  func(m map[string][]byte) { m[key] = append(slices.Clone(value), 0) },
			"short":   func(m map[string][]byte) { m[key] = value[:len(value)-1] },
		} {
			m := map[string][]byte{}
			for k, v := range w.store {
				m[k] = v
			}
			change(m)
			_, err := Load(func(yield func(k, v []byte) bool) {
				for k, v := range m {
					if !yield([]byte(k), v) {
						return
					}
				}
			})
			// A broker that is missing can't be told here: the store's count
			// does.
			if err == nil && !(name == "missing" && key[0] == keyBroker) && !(name == "missing" && key[0] == keyDedup) {
				t.Errorf("%s key %q is accepted", name, key)
			}
		}
	}
}

func TestResultRoundTrip(t *testing.T) {
	r := Result{Code: 3, Detail: "d", Value: -9, Changed: 4, More: true, Duplicate: true, Index: 12}
	got, err := ParseResult(AppendResult(nil, r))
	if err != nil || got != r {
		t.Errorf("%+v, %v", got, err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, c := range everyCommand() {
		f.Add(Encode(Request{ID: ID{1}, TimeMs: 5, Seq: 6}, c))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, c, err := Decode(b)
		if err != nil {
			return
		}
		again := Encode(r, c)
		r2, c2, err := Decode(again)
		if err != nil || r2 != r || !bytes.Equal(Encode(r2, c2), again) {
			t.Errorf("%T doesn't survive: %v", c, err)
		}
		// Whatever it is, applying it must not panic, and the changes must
		// make the same image.
		w := newWorld(t)
		w.apply(&RegisterBroker{ID: 1, Incarnation: ID{1}})
		w.apply(&CreateTopic{ID: ID{1, 2, 3}, Name: "x", Assignments: [][]NodeID{{1}, {1}}})
		w.apply(c)
		if !w.load().Equal(w.image) {
			t.Errorf("%T: the store makes another image", c)
		}
	})
}

func FuzzLoad(f *testing.F) {
	w := newWorld(f)
	w.apply(&RegisterBroker{ID: 1, Incarnation: ID{1}})
	w.apply(&CreateTopic{ID: ID{1}, Name: "t", Assignments: [][]NodeID{{1}}})
	w.apply(&MapProducer{Name: "n", TTLMs: 1})
	w.apply(&SetEntry{Space: "s", Key: "k"})
	w.apply(&SetClusterInfo{ID: "c"})
	for k, v := range w.store {
		f.Add([]byte(k), v)
	}
	f.Fuzz(func(t *testing.T, k, v []byte) {
		image, err := Load(func(yield func(k, v []byte) bool) { yield(k, v) })
		if err != nil {
			return
		}
		if _, err := Load(image.Pairs()); err != nil {
			t.Errorf("dumped image: %v", err)
		}
	})
}
