package meta

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestTraces replays testdata: each case applies one command and shows its
// result and events; "show" prints partitions. After every command the image
// must equal the one loaded from the store that its changes built.
func TestTraces(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		w := newWorld(t)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			w.t = t
			return w.run(d)
		})
	})
}

// world is an image beside the store that its changes build.
type world struct {
	t     testing.TB
	image *Image
	store map[string][]byte
	index uint64
	now   int64
}

func newWorld(t testing.TB) *world {
	return &world{t: t, image: NewImage(), store: map[string][]byte{}, now: 1_000_000}
}

func (w *world) apply(c Command) (Result, []Event) {
	w.index++
	var id ID
	binary.BigEndian.PutUint64(id[:], w.index)
	return w.request(Request{ID: id, TimeMs: w.now, Seq: w.image.Seq()}, c)
}

func (w *world) request(r Request, c Command) (Result, []Event) {
	w.t.Helper()
	result, changes, events, err := w.image.Apply(w.index, Encode(r, c))
	if err != nil {
		w.t.Fatal(err)
	}
	w.write(changes)
	return result, events
}

func (w *world) write(changes []Change) {
	for _, c := range changes {
		if c.Value == nil {
			delete(w.store, string(c.Key))
			continue
		}
		w.store[string(c.Key)] = c.Value
	}
}

// load is the image that the store holds.
func (w *world) load() *Image {
	w.t.Helper()
	image, err := Load(func(yield func(k, v []byte) bool) {
		for k, v := range w.store {
			if !yield([]byte(k), v) {
				return
			}
		}
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return image
}

func (w *world) run(d *datadriven.TestData) string {
	args := scanner{d: d}
	switch d.Cmd {
	case "show":
		return w.show()
	case "time":
		w.now += int64(args.num("add"))
		return ""
	case "repeat":
		// The last request once more.
		var id ID
		binary.BigEndian.PutUint64(id[:], w.index)
		r, events := w.request(Request{ID: id, TimeMs: w.now}, &AllocateProducerIDs{Count: 1})
		return describe(r, events)
	}
	c := args.command(w)
	if c == nil {
		d.Fatalf(w.t.(*testing.T), "unknown command %s", d.Cmd)
	}
	r, events := w.apply(c)
	if !w.load().Equal(w.image) {
		w.t.Errorf("%s: the store makes another image", d.Pos)
	}
	return describe(r, events)
}

func (w *world) show() string {
	var b strings.Builder
	list, _ := w.image.Topics("", "", 0)
	for _, t := range list {
		for i := range t.Partitions {
			fmt.Fprintf(&b, "%s/%d %s\n", t.Name, i, state(&t.Partitions[i]))
		}
	}
	for _, br := range w.image.Brokers() {
		fmt.Fprintf(&b, "broker %d epoch=%d%s%s%s\n", br.ID, br.Epoch,
			flag(br.Fenced, " fenced"), flag(br.Draining, " draining"), flag(br.Registering(), " registering"))
	}
	offline, under := w.image.Health()
	fmt.Fprintf(&b, "offline=%d under-replicated=%d\n", offline, under)
	return b.String()
}

func flag(on bool, name string) string {
	if on {
		return name
	}
	return ""
}

func state(p *Partition) string {
	s := fmt.Sprintf("leader=%d/%d epoch=%d replicas=%v isr=%v",
		p.Leader, p.LeaderEpoch, p.PartitionEpoch, p.Replicas, p.ISR)
	if len(p.Target) > 0 {
		s += fmt.Sprintf(" target=%v", p.Target)
		if p.Throttle > 0 {
			s += fmt.Sprintf(" throttle=%d", p.Throttle)
		}
	}
	return s + flag(p.Lost, " lost")
}

func describe(r Result, events []Event) string {
	var b strings.Builder
	switch err := r.Err(); {
	case err != nil:
		fmt.Fprintf(&b, "refused: %v\n", err)
	default:
		fmt.Fprintf(&b, "ok value=%d changed=%d%s%s\n", r.Value, r.Changed,
			flag(r.More, " more"), flag(r.Duplicate, " duplicate"))
	}
	for _, e := range events {
		switch e := e.(type) {
		case PartitionChanged:
			fmt.Fprintf(&b, "  %s/%d %s\n", e.Topic, e.Partition, state(&e.New))
		case BrokerChanged:
			fmt.Fprintf(&b, "  broker %d epoch=%d%s%s\n", e.New.ID, e.New.Epoch,
				flag(e.New.Fenced, " fenced"), flag(e.New.Draining, " draining"))
		case TopicCreated:
			fmt.Fprintf(&b, "  created %s with %d partitions\n", e.Name, e.Partitions)
		case TopicDeleted:
			fmt.Fprintf(&b, "  deleted %s\n", e.Name)
		default:
			fmt.Fprintf(&b, "  %T\n", e)
		}
	}
	return b.String()
}

// scanner reads the arguments of a case.
type scanner struct{ d *datadriven.TestData }

func (s scanner) str(key string) string {
	for _, a := range s.d.CmdArgs {
		if a.Key == key && len(a.Vals) > 0 {
			return strings.Join(a.Vals, ",")
		}
	}
	return ""
}

func (s scanner) has(key string) bool {
	return slices.ContainsFunc(s.d.CmdArgs, func(a datadriven.CmdArg) bool { return a.Key == key })
}

func (s scanner) num(key string) int {
	n, _ := strconv.Atoi(cmp.Or(s.str(key), "0"))
	return n
}

// nodes reads "1,2,3"; lists reads "1,2;2,3".
func (s scanner) nodes(key string) []NodeID { return parseNodes(s.str(key)) }

func parseNodes(v string) []NodeID {
	var out []NodeID
	for part := range strings.SplitSeq(v, ",") {
		if n, err := strconv.Atoi(part); err == nil {
			out = append(out, NodeID(n))
		}
	}
	return out
}

func (s scanner) lists(key string) [][]NodeID {
	var out [][]NodeID
	for part := range strings.SplitSeq(s.str(key), ";") {
		out = append(out, parseNodes(part))
	}
	return out
}

func nameID(name string) (id ID) {
	copy(id[:], name)
	return id
}

func (s scanner) topic() ID {
	if name := s.str("topic"); name != "" {
		return nameID(name)
	}
	return ID{}
}

func (s scanner) command(w *world) Command {
	id := NodeID(s.num("id"))
	switch s.d.Cmd {
	case "register":
		return &RegisterBroker{
			ID: id, Incarnation: ID{1, byte(s.num("incarnation"))}, Directory: ID{2, byte(s.num("dir"))},
			HTTP: "h", Kafka: "k", Peer: "p",
		}
	case "fence":
		return &FenceBroker{ID: id, Epoch: uint64(s.num("epoch"))}
	case "unfence":
		return &UnfenceBroker{ID: id, Epoch: uint64(s.num("epoch"))}
	case "drain":
		return &DrainBroker{ID: id, Draining: !s.has("off")}
	case "remove":
		return &RemoveBroker{ID: id}
	case "create":
		return &CreateTopic{
			ID: s.topic(), Name: s.str("topic"), Assignments: s.lists("replicas"), RFExplicit: s.has("explicit"),
			Configs: map[string]string{"retention.ms": "1"},
		}
	case "delete":
		return &DeleteTopic{ID: s.topic()}
	case "add-partitions":
		return &CreatePartitions{ID: s.topic(), From: int32(s.num("from")), Assignments: s.lists("replicas")}
	case "alter":
		c := &AlterPartition{
			TopicID: s.topic(), Partition: int32(s.num("p")), Leader: NodeID(s.num("leader")),
			LeaderEpoch: int32(s.num("leader-epoch")), PartitionEpoch: int32(s.num("epoch")), ISR: s.nodes("isr"),
		}
		if s.has("leader-broker-epoch") {
			c.BrokerEpoch = uint64(s.num("leader-broker-epoch"))
		}
		for _, e := range s.nodes("broker-epochs") {
			c.ISREpochs = append(c.ISREpochs, uint64(e))
		}
		return c
	}
	return s.rest()
}

func (s scanner) rest() Command {
	switch s.d.Cmd {
	case "leave-isr":
		return &LeaveISR{TopicID: s.topic(), Partition: int32(s.num("p")), Broker: NodeID(s.num("id"))}
	case "reassign":
		return &ReassignPartition{
			TopicID: s.topic(), Partition: int32(s.num("p")), Target: s.nodes("target"), Throttle: int64(s.num("throttle")),
		}
	case "elect":
		c := &ElectLeaders{TopicID: s.topic(), Partition: -1, Unclean: s.has("unclean"), Leader: NodeID(s.num("leader"))}
		if s.has("p") {
			c.Partition = int32(s.num("p"))
		}
		return c
	case "raise":
		return &RaiseTopic{ID: s.topic(), Assignments: s.lists("replicas")}
	case "config":
		c := &AlterConfig{ID: s.topic(), Set: map[string]string{}}
		if k, v, ok := strings.Cut(s.str("set"), ":"); ok {
			c.Set[k] = v
		}
		if k := s.str("remove"); k != "" {
			c.Remove = []string{k}
		}
		return c
	case "producer-ids":
		return &AllocateProducerIDs{Count: int32(s.num("count"))}
	case "producer":
		return &MapProducer{Name: s.str("name"), TTLMs: int64(s.num("ttl"))}
	case "restore":
		c := &RestoreTopic{
			Topic:     CreateTopic{ID: s.topic(), Name: s.str("topic"), Assignments: s.lists("replicas"), RFExplicit: true},
			CreatedMs: 7, Born: int32(s.num("born")),
		}
		c.Epochs = append(c.Epochs, s.nodes("epochs")...)
		return c
	case "restore-producers":
		return &RestoreProducers{
			Next: int64(s.num("next")), Names: []Producer{{Name: s.str("name"), ID: int64(s.num("id")), ExpiresMs: 2_000_000}},
		}
	case "cluster":
		return &SetClusterInfo{ID: s.str("id"), Secret: []byte("s")}
	case "entry":
		return &SetEntry{
			Space: s.str("space"), Key: s.str("key"), Value: []byte(s.str("value")),
			Delete: s.has("delete"), Check: s.has("if"), IfVersion: uint64(s.num("if")),
		}
	}
	return nil
}
