package group_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/chroniklog/chronik/server/group"
)

// topics is a catalog.
type topics struct {
	version uint64
	last    byte // id given
	all     map[string]group.CatalogTopic
}

// set makes a topic, gives it partitions, or deletes it (0 partitions).
func (c *topics) set(name string, partitions int32) {
	c.version++
	t, known := c.all[name]
	switch {
	case partitions == 0:
		delete(c.all, name)
		return
	case !known:
		c.last++
		t = group.CatalogTopic{ID: [16]byte{c.last}, Name: name}
	}
	t.Partitions = partitions
	if c.all == nil {
		c.all = make(map[string]group.CatalogTopic)
	}
	c.all[name] = t
}

func (c *topics) Version() uint64 { return c.version }

func (c *topics) Topic(name string) (group.CatalogTopic, bool) {
	t, ok := c.all[name]
	return t, ok
}

func (c *topics) TopicByID(id [16]byte) (group.CatalogTopic, bool) {
	for _, t := range c.all {
		if t.ID == id {
			return t, true
		}
	}
	return group.CatalogTopic{}, false
}

func (c *topics) Each(visit func(group.CatalogTopic)) {
	for _, name := range slices.Sorted(maps.Keys(c.all)) {
		visit(c.all[name])
	}
}

// name is a topic's name, or its id where it has none any more.
func (c *topics) name(id [16]byte) string {
	if t, ok := c.TopicByID(id); ok {
		return t.Name
	}
	return fmt.Sprintf("#%d", id[0])
}

// consumerWorld drives a ConsumerGroup from a trace. The commands:
//
//	topics t=2 u=1                     make topics or give them partitions; 0 deletes
//	beat id=a epoch=0 [names=(t,u)] [regex=x] [assignor=range] [own=(t:0,t:1)|-] [instance=i] [rebalance=20s]
//	remove id=a                        an administrator's
//	stored [fail] [seq=1]              of the last Store, or of another
//	after 5s; restore                  a new coordinator, which has what was stored
//	commit id=a epoch=1 [of=(t:0)] [old]; fetch id=a epoch=1; subscribed t
//	join; attend; sync; heartbeat      of the classic protocol
//	describe
type consumerWorld struct {
	topics topics
	g      *group.ConsumerGroup
	cfg    group.Config
	now    int64
	token  group.Token
	last   group.Store
	asked  map[uint64]group.Store
	log    []group.LogRecord
}

func newConsumerWorld() *consumerWorld {
	w := &consumerWorld{asked: map[uint64]group.Store{}, cfg: group.Config{MaxMembers: 3}}
	w.g = group.NewConsumerGroup("g", w.cfg, &w.topics)
	return w
}

func (w *consumerWorld) run(d *datadriven.TestData) string {
	var out strings.Builder
	arg := func(key, def string) string {
		for _, a := range d.CmdArgs {
			if a.Key == key {
				return strings.Join(a.Vals, ",")
			}
		}
		return def
	}
	var ev group.Event = group.Tick{}
	w.token++
	switch d.Cmd {
	case "topics":
		for _, a := range d.CmdArgs {
			w.topics.set(a.Key, int32(number(a.Vals[0])))
		}
	case "beat":
		ev = w.beat(d, arg)
	case "remove":
		ev = group.Leave{Token: w.token, MemberID: arg("id", ""), Instance: arg("instance", "")}
	case "join":
		ev = group.Join{Token: w.token, MemberID: arg("id", "")}
	case "attend":
		ev = group.Attend{Token: w.token, MemberID: arg("id", "")}
	case "sync":
		ev = group.Sync{Token: w.token, MemberID: arg("id", "")}
	case "heartbeat":
		ev = group.Heartbeat{Token: w.token, MemberID: arg("id", "")}
	case "stored":
		s := group.Stored{Seq: w.last.Seq}
		if d.HasArg("seq") {
			s.Seq = uint64(number(arg("seq", "")))
		}
		if d.HasArg("fail") {
			s.Err = errors.New("not written")
		} else {
			w.log = append(w.log, w.asked[s.Seq].Records...)
		}
		ev = s
	case "after":
		w.now += duration(d.CmdArgs[0].Key).Milliseconds()
	case "restore":
		w.restore()
	case "commit", "fetch":
		w.judge(&out, d, arg)
	case "subscribed":
		fmt.Fprintf(&out, "%v\n", w.g.Subscribed(d.CmdArgs[0].Key))
	case "describe":
		w.describe(&out)
	}
	for _, e := range w.g.Step(w.now, ev) {
		w.show(&out, e)
	}
	fmt.Fprintf(&out, "%s %d", w.g.State(), w.g.Generation())
	if at := w.g.Deadline(); at > 0 {
		fmt.Fprintf(&out, ", next at +%s", time.Duration(at-w.now)*time.Millisecond)
	}
	return out.String() + "\n"
}

func (w *consumerWorld) beat(d *datadriven.TestData, arg func(key, def string) string) group.ConsumerHeartbeat {
	e := group.ConsumerHeartbeat{
		Token: w.token, MemberID: arg("id", ""), Epoch: int32(number(arg("epoch", "0"))), Instance: arg("instance", ""),
		Rebalance: duration(arg("rebalance", "-1ms")), ClientID: "c", Host: "/h",
	}
	text := func(key string) *string {
		if !d.HasArg(key) {
			return nil
		}
		s := arg(key, "")
		return &s
	}
	e.Regex, e.Assignor = text("regex"), text("assignor")
	if d.HasArg("names") {
		e.Names = strings.FieldsFunc(arg("names", ""), func(r rune) bool { return r == ',' })
	}
	if e.Epoch == 0 { // who joins says everything
		e.Said, e.Rebalance = true, duration(arg("rebalance", "20s"))
	}
	if d.HasArg("own") {
		e.Said = true
		e.Owned = w.parts(arg("own", ""))
	}
	return e
}

func (w *consumerWorld) parts(s string) (list []group.PartitionID) {
	for _, p := range w.named(s) {
		list = append(list, group.PartitionID{Topic: w.topics.all[p.Topic].ID, Partition: p.Partition})
	}
	return list
}

func (w *consumerWorld) named(s string) (list []group.TopicPartition) {
	for _, p := range strings.FieldsFunc(strings.TrimPrefix(s, "-"), func(r rune) bool { return r == ',' }) {
		name, n, _ := strings.Cut(p, ":")
		i, err := strconv.Atoi(n)
		if err != nil {
			panic(err)
		}
		list = append(list, group.TopicPartition{Topic: name, Partition: int32(i)})
	}
	return list
}

// restore makes the group that a replay of the log makes.
func (w *consumerWorld) restore() {
	w.g = group.RestoreConsumerGroup(w.now, "g", replay(w.log), w.cfg, &w.topics)
}

func replay(log []group.LogRecord) *group.ConsumerLog {
	l := &group.ConsumerLog{}
	for _, r := range log {
		e, ok, err := group.Parse(r.Key, r.Value)
		if err != nil || !ok || e.Group != "g" {
			panic(fmt.Sprint(e, ok, err))
		}
		l.Take(e.Consumer, 1000)
	}
	return l
}

func (w *consumerWorld) judge(out *strings.Builder, d *datadriven.TestData, arg func(key, def string) string) {
	c := group.Claim{
		MemberID: arg("id", ""), Generation: int32(number(arg("epoch", "-1"))), Partitions: w.named(arg("of", "")),
		Old: d.HasArg("old"),
	}
	err := w.g.MayFetch(&c)
	if d.Cmd == "commit" {
		err = w.g.MayCommit(w.now, &c)
	}
	fmt.Fprintf(out, "%s: %v\n", d.Cmd, err)
}

func (w *consumerWorld) show(out *strings.Builder, e group.Effect) {
	switch e := e.(type) {
	case group.Reply:
		fmt.Fprintf(out, "reply %d:", e.Token)
		if e.Err != nil {
			fmt.Fprintf(out, " %v\n", e.Err)
			return
		}
		fmt.Fprintf(out, " member=%s", e.MemberID)
		if e.Beat != nil {
			fmt.Fprintf(out, " epoch=%d", e.Generation)
			if e.Beat.Told {
				fmt.Fprintf(out, " assigned=%s", w.text(e.Beat.Assigned))
			}
		}
		out.WriteString("\n")
	case group.Store:
		w.last = e
		w.asked[e.Seq] = e
		fmt.Fprintf(out, "store %d:\n", e.Seq)
		for _, r := range e.Records {
			entry, _, err := group.Parse(r.Key, r.Value)
			if err != nil {
				panic(err)
			}
			fmt.Fprintf(out, "  %s\n", entry.Consumer.Text(w.topics.name))
		}
	}
}

func (w *consumerWorld) text(parts []group.PartitionID) string {
	var list []string
	for _, p := range parts {
		list = append(list, fmt.Sprintf("%s:%d", w.topics.name(p.Topic), p.Partition))
	}
	return "[" + strings.Join(list, " ") + "]"
}

func (w *consumerWorld) describe(out *strings.Builder) {
	md := w.g.Describe()
	fmt.Fprintf(out, "%s epoch=%d assignment=%d by %s\n", md.State, md.Generation, md.Consumer.AssignmentEpoch, md.Protocol)
	for i := range md.Members {
		m := &md.Members[i]
		sub, err := group.ParseSubscription(m.Subscription)
		if err != nil {
			panic(err)
		}
		given, err := group.ParseAssignment(m.Assignment)
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(out, "%s epoch=%d instance=%q names=%v regex=%q subscribed=%v has=%s target=%s named=%v\n",
			m.ID, m.Consumer.Epoch, m.Instance, m.Consumer.Names, m.Consumer.Regex, sub.Topics,
			w.text(m.Consumer.Assigned), w.text(m.Consumer.Target), given)
	}
}
