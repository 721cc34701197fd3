package group_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"

	"github.com/chroniklog/chronik/server/group"
)

// world drives one group from a trace. The commands:
//
//	new delay=3s                            a group; delay is the initial one
//	join t=1 [id=a] [new=a] [instance=i] [protocols=range,x] [session=10s] [rebalance=20s] [known]
//	sync t=2 id=a gen=1 [a=…] [b=…]
//	heartbeat t=3 id=a gen=1; leave t=4 id=a; commit id=a gen=1
//	stored seq=1 [fail]; after 5s; restore
//	attend t=5 id=1 [topics=t] [new] [instance=i]   hosted member h1
//	led                                 shares out what was asked for: t has 4 partitions, u has 1
//	reshare
type world struct {
	g     *group.Group
	now   int64
	last  *group.Metadata
	asked group.Assign
}

func (w *world) run(d *datadriven.TestData) string {
	var out strings.Builder
	arg := func(key, def string) string {
		if !d.HasArg(key) {
			return def
		}
		for _, a := range d.CmdArgs {
			if a.Key == key {
				return strings.Join(a.Vals, ",")
			}
		}
		return def
	}
	var ev group.Event = group.Tick{}
	token := group.Token(number(arg("t", "0")))
	gen := int32(number(arg("gen", "-1")))
	switch d.Cmd {
	case "new":
		w.g = group.New("g", group.Config{InitialDelay: duration(arg("delay", "-1ns")), MaxMembers: 3})
	case "join":
		ev = joinOf(token, arg, d.HasArg("known"))
	case "sync":
		s := group.Sync{Token: token, MemberID: arg("id", ""), Generation: gen, Instance: arg("instance", "")}
		s.Assignments = map[string][]byte{}
		for _, a := range d.CmdArgs {
			if strings.HasPrefix(a.Key, "to-") {
				s.Assignments[strings.TrimPrefix(a.Key, "to-")] = []byte(a.Vals[0])
			}
		}
		ev = s
	case "heartbeat":
		ev = group.Heartbeat{Token: token, MemberID: arg("id", ""), Generation: gen, Instance: arg("instance", "")}
	case "beat": // of a member of the consumer protocol
		ev = group.ConsumerHeartbeat{Token: token, MemberID: arg("id", ""), Epoch: int32(number(arg("epoch", "0")))}
	case "leave":
		ev = group.Leave{Token: token, MemberID: arg("id", ""), Instance: arg("instance", "")}
	case "stored":
		s := group.Stored{Seq: uint64(number(arg("seq", "0")))}
		if d.HasArg("fail") {
			s.Err = errors.New("not written")
		}
		ev = s
	case "after":
		until := w.now + duration(d.CmdArgs[0].Key).Milliseconds()
		for at := w.g.Deadline(); at > 0 && at < until; at = w.g.Deadline() {
			w.now = max(w.now, at)
			for _, e := range w.g.Step(w.now, ev) {
				w.show(&out, e)
			}
		}
		w.now = until
	case "attend":
		ev = attendOf(token, arg, d.HasArg("new"))
	case "led":
		counts := map[string]int32{"t": 4, "u": 1}
		ev = group.Led{Generation: w.asked.Generation, Assignments: group.Share(w.asked.Protocol, w.asked.Members,
			func(topic string) int32 { return counts[topic] })}
	case "reshare":
		ev = group.Reshare{}
	case "commit":
		fmt.Fprintf(&out, "commit: %v\n", w.g.MayCommit(w.now, &group.Claim{
			MemberID: arg("id", ""), Instance: arg("instance", ""), Generation: gen,
		}))
	case "restore":
		w.g = group.Restore(w.now, w.last, group.Config{InitialDelay: -1})
	}
	for _, e := range w.g.Step(w.now, ev) {
		w.show(&out, e)
	}
	fmt.Fprintf(&out, "%s %d", w.g.State(), w.g.Describe().Generation)
	if at := w.g.Deadline(); at > 0 {
		fmt.Fprintf(&out, ", next at +%s", time.Duration(at-w.now)*time.Millisecond)
	}
	return short.Replace(out.String()) + "\n"
}

func (w *world) show(out *strings.Builder, e group.Effect) {
	switch e := e.(type) {
	case group.Reply:
		fmt.Fprintf(out, "reply %d:", e.Token)
		if e.Err != nil {
			fmt.Fprintf(out, " %v", e.Err)
		}
		if e.MemberID != "" {
			fmt.Fprintf(out, " member=%s", e.MemberID)
		}
		if e.Leader != "" {
			fmt.Fprintf(out, " generation=%d leader=%s protocol=%s", e.Generation, e.Leader, e.Protocol)
		}
		for _, m := range e.Members {
			fmt.Fprintf(out, " [%s %s]", m.MemberID, said(m.Metadata))
		}
		if e.Assignment != nil {
			fmt.Fprintf(out, " assignment=%s", given(e.Assignment))
		}
	case group.Store:
		w.last = e.Metadata
		fmt.Fprintf(out, "store %d: generation=%d leader=%s", e.Seq, e.Metadata.Generation, e.Metadata.Leader)
		for _, m := range e.Metadata.Members {
			fmt.Fprintf(out, " %s=%s", m.ID, given(m.Assignment))
		}
	case group.Assign:
		w.asked = e
		fmt.Fprintf(out, "assign: generation=%d protocol=%s", e.Generation, e.Protocol)
		for _, m := range e.Members {
			fmt.Fprintf(out, " [%s %s]", m.MemberID, said(m.Metadata))
		}
	}
	out.WriteString("\n")
}

func joinOf(t group.Token, arg func(key, def string) string, known bool) group.Join {
	j := group.Join{
		Token: t, MemberID: arg("id", ""), NewID: arg("new", ""), Instance: arg("instance", ""), ProtocolType: "consumer",
		Session: duration(arg("session", "10s")), Rebalance: duration(arg("rebalance", "20s")), RequireKnown: known,
	}
	who := j.Instance // what a static member says does not depend on its id
	if who == "" {
		who = j.MemberID + j.NewID
	}
	for _, p := range strings.Split(arg("protocols", "range"), ",") {
		metadata := []byte(who + "/" + p)
		if topics := arg("topics", ""); topics != "" {
			metadata = (&group.Subscription{Topics: strings.Split(topics, ",")}).Append(nil)
		}
		j.Protocols = append(j.Protocols, group.Protocol{Name: p, Metadata: metadata})
	}
	return j
}

func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

func duration(s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		panic(err)
	}
	return d
}

func TestTraces(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		run := (&world{g: group.New("g", group.Config{InitialDelay: -1})}).run
		if strings.HasPrefix(filepath.Base(path), "consumer-") {
			run = newConsumerWorld().run
		}
		datadriven.RunTest(t, path, func(_ *testing.T, d *datadriven.TestData) string { return run(d) })
	})
}

// Whatever members and the clock do: a token is answered at most once, a
// generation has one leader, which is its member, assignments are handed out
// only for the current generation, and time alone brings the group to rest.
func TestProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := group.New("g", group.Config{InitialDelay: time.Second})
		now, token := int64(0), group.Token(0)
		open := map[group.Token]bool{}
		leaders := map[int32]string{}
		var stores []uint64
		var led []group.Assign
		step := func(ev group.Event) {
			for _, e := range g.Step(now, ev) {
				switch e := e.(type) {
				case group.Store:
					stores = append(stores, e.Seq)
				case group.Reply:
					if !open[e.Token] {
						t.Fatalf("token %d was answered twice", e.Token)
					}
					delete(open, e.Token)
					if e.Leader == "" {
						continue
					}
					if before, known := leaders[e.Generation]; known && before != e.Leader {
						t.Fatalf("generation %d had leader %s and %s", e.Generation, before, e.Leader)
					}
					leaders[e.Generation] = e.Leader
				case group.Assign:
					led = append(led, e)
				}
			}
		}
		ids := []string{"a", "b", "c", "d"}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			id := rapid.SampledFrom(ids).Draw(t, "id")
			token++
			gen := g.Describe().Generation - rapid.Int32Range(0, 1).Draw(t, "behind")
			switch rapid.IntRange(0, 9).Draw(t, "kind") {
			case 7, 8:
				open[token] = true
				h := rapid.SampledFrom([]string{"1", "2", "3"}).Draw(t, "hosted")
				step(attendOf(token, func(key, def string) string {
					if key == "id" {
						return h
					}
					return def
				}, true))
			case 9:
				if len(led) > 0 {
					e := led[0]
					led = led[1:]
					step(group.Led{Generation: e.Generation})
				}
			case 0, 1:
				open[token] = true
				j := joinOf(token, func(_, def string) string { return def }, false)
				if j.NewID = id; rapid.Bool().Draw(t, "known") {
					j.MemberID = id
				} else if member(g, id) {
					delete(open, token)
					continue // an id is given once
				}
				step(j)
			case 2:
				open[token] = true
				step(group.Sync{Token: token, MemberID: id, Generation: gen})
			case 3:
				open[token] = true
				step(group.Heartbeat{Token: token, MemberID: id, Generation: gen})
			case 4:
				open[token] = true
				step(group.Leave{Token: token, MemberID: id})
			case 5:
				now += rapid.Int64Range(1, 8000).Draw(t, "ms")
				step(group.Tick{})
			case 6:
				if len(stores) > 0 {
					seq := stores[0]
					stores = stores[1:]
					step(group.Stored{Seq: seq})
				}
			}
		}
		for range 50 {
			for _, seq := range stores {
				step(group.Stored{Seq: seq})
			}
			stores = nil
			for _, e := range led {
				step(group.Led{Generation: e.Generation})
			}
			led = nil
			if at := g.Deadline(); at > 0 {
				now = max(now, at)
				step(group.Tick{})
			}
		}
		if g.State() != group.Empty || len(open) != 0 {
			t.Fatalf("after all deadlines the group is %s, %d requests wait", g.State(), len(open))
		}
	})
}

func member(g *group.Group, id string) bool {
	return slices.ContainsFunc(g.Describe().Members, func(m group.Member) bool { return m.ID == id })
}

// What is written is read back, and the bytes of others never panic.
func FuzzParse(f *testing.F) {
	md := &group.Metadata{Group: "g", Generation: 3, ProtocolType: "consumer", Protocol: "range", Leader: "a"}
	md.Members = []group.Member{{ID: "a", Instance: "i", Session: time.Second, Subscription: []byte("s"), Assignment: []byte("x")}}
	f.Add(md.Key(), md.Value())
	c := group.Commit{Offset: 7, LeaderEpoch: 2, Metadata: "m", At: 9}
	f.Add(group.OffsetKey("g", group.TopicPartition{Topic: "t", Partition: 1}), c.Value())
	for _, r := range consumerRecords() {
		f.Add(r.Key, r.Value)
	}
	f.Fuzz(func(t *testing.T, key, value []byte) {
		e, ok, err := group.Parse(key, value)
		if err != nil && (ok || !errors.Is(err, group.ErrCorrupt)) {
			t.Errorf("ok %v, error %v", ok, err)
		}
		if ok && e.Metadata != nil {
			again, ok, err := group.Parse(e.Metadata.Key(), e.Metadata.Value())
			if !ok || err != nil || len(again.Metadata.Members) != len(e.Metadata.Members) || again.Group != e.Group {
				t.Errorf("%+v: %v %v", again, ok, err)
			}
		}
		if ok && e.Consumer != nil && value != nil {
			again, ok, err := group.Parse(key, e.Consumer.Value())
			if !ok || err != nil || again.Consumer.Text(hexID) != e.Consumer.Text(hexID) {
				t.Errorf("%s\nbecame\n%s: %v %v", e.Consumer.Text(hexID), again.Consumer.Text(hexID), ok, err)
			}
		}
	})
}

func hexID(id [16]byte) string { return fmt.Sprintf("%x", id) }
