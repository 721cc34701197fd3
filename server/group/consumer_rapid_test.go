package group_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/chroniklog/chronik/server/group"
)

// reader is a client as it sees itself: it reads what it was told to until it
// has stopped, whatever the group thinks by then.
type reader struct {
	id, instance string
	epoch        int32
	names        []string
	reads        map[group.PartitionID]bool
	told         map[group.PartitionID]bool
	full         bool // the next heartbeat says everything
	asked        group.Token
}

// crowd are readers of one group, with a log that takes its time.
type crowd struct {
	t       *rapid.T
	topics  topics
	g       *group.ConsumerGroup
	cfg     group.Config
	now     int64
	token   group.Token
	next    int // number of the next reader
	readers []*reader
	stores  []group.Store // under way, in order
	log     []group.LogRecord
}

func (c *crowd) draw(n int, what string) int { return rapid.IntRange(0, n-1).Draw(c.t, what) }

// step gives the group an event and takes the replies to the readers.
func (c *crowd) step(ev group.Event) {
	for _, e := range c.g.Step(c.now, ev) {
		switch e := e.(type) {
		case group.Store:
			c.stores = append(c.stores, e)
		case group.Reply:
			for _, r := range c.readers {
				if r.asked == e.Token {
					r.take(c.t, &e)
				}
			}
		}
	}
}

// take is what a client does with an answer.
func (r *reader) take(t *rapid.T, e *group.Reply) {
	r.asked = 0
	switch {
	case e.Err == nil:
		if e.Generation < r.epoch {
			t.Fatalf("%s was in epoch %d and is told %d", r.id, r.epoch, e.Generation)
		}
		if r.epoch = e.Generation; e.Beat.Told {
			r.told = make(map[group.PartitionID]bool)
			for _, p := range e.Beat.Assigned {
				r.told[p], r.reads[p] = true, true
			}
		}
		r.full = false
	case errors.Is(e.Err, group.ErrFencedEpoch), errors.Is(e.Err, group.ErrUnknownMember):
		r.epoch, r.reads, r.told = 0, map[group.PartitionID]bool{}, nil
	default: // it was not stored
		r.full = true
	}
}

// stop has a client stop to read what it was told to give up.
func (r *reader) stop() {
	for p := range r.reads {
		if !r.told[p] {
			delete(r.reads, p)
		}
	}
}

// beat sends a client's heartbeat. One whose answer it has not got yet is lost.
func (c *crowd) beat(r *reader) {
	c.token++
	r.asked = c.token
	e := group.ConsumerHeartbeat{Token: c.token, MemberID: r.id, Epoch: r.epoch, Instance: r.instance, Rebalance: -1}
	if r.epoch == 0 || r.full || c.draw(2, "full") == 0 {
		e.Rebalance, e.Names, e.Said = 20_000_000_000, r.names, true
		for p := range r.reads {
			e.Owned = append(e.Owned, p)
		}
	}
	c.step(e)
}

// check holds what the readers do against each other: those that are members
// do not read one partition at once.
func (c *crowd) check() {
	by := make(map[group.PartitionID]string)
	md := c.g.Describe()
	for _, r := range c.readers {
		if !slices.ContainsFunc(md.Members, func(m group.Member) bool { return m.ID == r.id }) {
			continue // it was removed, and will learn of it
		}
		for p := range r.reads {
			if by[p] != "" {
				c.t.Fatalf("%v is read by %s and %s", p, by[p], r.id)
			}
			by[p] = r.id
		}
	}
}

var wishes = [][]string{{"t"}, {"t", "u"}, {"u"}, {"t", "u", "v"}}

func (c *crowd) act() {
	if len(c.readers) == 0 || c.draw(8, "new") == 0 && len(c.readers) < 6 {
		c.next++
		r := &reader{id: fmt.Sprint("m", c.next), reads: map[group.PartitionID]bool{}}
		r.names = wishes[c.draw(len(wishes), "wish")]
		if c.draw(3, "static") == 0 {
			r.instance = fmt.Sprint("i", c.next)
		}
		c.readers = append(c.readers, r)
		return
	}
	i := c.draw(len(c.readers), "reader")
	r := c.readers[i]
	switch c.draw(14, "kind") {
	case 0: // it leaves, or its process ends without a word
		if c.draw(2, "says so") == 0 && r.epoch > 0 {
			c.token++
			c.step(group.ConsumerHeartbeat{Token: c.token, MemberID: r.id, Epoch: group.LeaveEpoch, Instance: r.instance})
		}
		c.readers = slices.Delete(c.readers, i, i+1)
	case 1:
		if r.instance != "" && r.epoch > 0 { // the next process of a static member
			c.token++
			c.step(group.ConsumerHeartbeat{
				Token: c.token, MemberID: r.id, Epoch: group.LeaveStaticEpoch, Instance: r.instance,
			})
			c.next++
			*r = reader{id: fmt.Sprint("m", c.next), instance: r.instance, names: r.names, reads: map[group.PartitionID]bool{}}
		}
	case 2:
		c.topics.set(rapid.SampledFrom([]string{"t", "u", "v"}).Draw(c.t, "topic"), int32(c.draw(6, "partitions")))
	case 3:
		c.now += rapid.Int64Range(1, 15_000).Draw(c.t, "ms")
		c.step(group.Tick{})
	case 4:
		r.names, r.full = wishes[c.draw(len(wishes), "wish")], true
	case 5:
		if len(c.stores) > 0 { // a write that is refused
			s := c.stores[0]
			c.stores = c.stores[1:]
			c.step(group.Stored{Seq: s.Seq, Err: errors.New("not written")})
		}
	case 6:
		c.failover()
	case 7, 8:
		r.stop()
	case 9, 10:
		c.write()
	default:
		c.beat(r)
	}
}

// write ends the first write that is under way.
func (c *crowd) write() {
	if len(c.stores) > 0 {
		s := c.stores[0]
		c.stores = c.stores[1:]
		c.log = append(c.log, s.Records...)
		c.step(group.Stored{Seq: s.Seq})
	}
}

// failover makes another coordinator, which has some of what was under way.
func (c *crowd) failover() {
	for len(c.stores) > 0 && c.draw(2, "arrived") == 0 {
		c.log = append(c.log, c.stores[0].Records...)
		c.stores = c.stores[1:]
	}
	c.stores = nil
	for _, r := range c.readers {
		r.asked, r.full = 0, true
	}
	c.g = group.RestoreConsumerGroup(c.now, "g", replay(c.log), c.cfg, &c.topics)
}

// settle lets everybody do its part until nothing changes any more.
func (c *crowd) settle() {
	for range 40 {
		for _, r := range c.readers {
			r.stop()
			c.beat(r)
			for len(c.stores) > 0 {
				c.write()
			}
			c.check()
		}
	}
	if c.g.State() != group.Stable {
		// Who was left behind without a word holds what it had until its session ends.
		c.now += 44_000
		for _, r := range c.readers {
			c.beat(r)
		}
		c.now += 2_000
		for range 10 {
			for _, r := range c.readers {
				r.stop()
				c.beat(r)
				for len(c.stores) > 0 {
					c.write()
				}
				c.check()
			}
		}
	}
}

// Whatever members, time, topics, writes and coordinators do, no partition is
// read by two members at once; left to itself, the group comes to rest and
// everything is read that somebody wants.
func TestConsumerGroupProperties(t *testing.T) { rapid.Check(t, consumerProperties) }

// FuzzConsumerGroup has the fuzzer choose what happens.
func FuzzConsumerGroup(f *testing.F) { f.Fuzz(rapid.MakeFuzz(consumerProperties)) }

func consumerProperties(t *rapid.T) {
	c := &crowd{t: t}
	c.topics.set("t", 4)
	c.topics.set("u", 1)
	c.g = group.NewConsumerGroup("g", c.cfg, &c.topics)
	for range rapid.IntRange(1, 150).Draw(t, "steps") {
		c.act()
		c.check()
	}
	if len(c.readers) == 0 {
		return
	}
	c.now += 60_000 // who ended without a word is forgotten
	c.settle()
	if c.g.State() != group.Stable {
		t.Fatalf("the group is %s", c.g.State())
	}
	wanted, read := 0, 0
	for _, topic := range c.topics.all {
		if slices.ContainsFunc(c.readers, func(r *reader) bool { return slices.Contains(r.names, topic.Name) }) {
			wanted += int(topic.Partitions)
		}
	}
	for _, r := range c.readers {
		read += len(r.reads)
		for p := range r.reads {
			topic, _ := c.topics.TopicByID(p.Topic)
			if !slices.Contains(r.names, topic.Name) || p.Partition >= topic.Partitions {
				t.Fatalf("%s reads %v, of topic %q", r.id, p, topic.Name)
			}
		}
	}
	if read != wanted {
		t.Fatalf("%d of %d partitions are read", read, wanted)
	}
}

// A replay of everything that was written makes the group that wrote it.
func TestConsumerGroupReplay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := &crowd{t: t}
		c.topics.set("t", 4)
		c.g = group.NewConsumerGroup("g", c.cfg, &c.topics)
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			c.act()
		}
		for range 3 { // a write that was refused is asked for again by the next step
			c.step(group.Tick{})
			for len(c.stores) > 0 {
				c.write()
			}
		}
		again := group.RestoreConsumerGroup(c.now, "g", replay(c.log), c.cfg, &c.topics)
		want, got := c.g.Describe(), again.Describe()
		want.Changed, got.Changed = 0, 0
		if fmt.Sprintf("%+v", text(want)) != fmt.Sprintf("%+v", text(got)) {
			t.Fatalf("was\n%+v\nis\n%+v", text(want), text(got))
		}
	})
}

func text(md *group.Metadata) string {
	s := fmt.Sprint(md.State, md.Generation, md.Consumer.AssignmentEpoch, md.Protocol)
	for i := range md.Members {
		s += fmt.Sprintf("\n%s %s %+v", md.Members[i].ID, md.Members[i].Instance, *md.Members[i].Consumer)
	}
	return s
}

// consumerRecords are one of each kind that a group of two members writes.
func consumerRecords() (list []group.LogRecord) {
	var all topics
	all.set("t", 2)
	g := group.NewConsumerGroup("g", group.Config{}, &all)
	for i, id := range []string{"a", "b"} {
		regex := "t.*"
		for _, e := range g.Step(1, group.ConsumerHeartbeat{
			Token: group.Token(i + 1), MemberID: id, Instance: "i" + id, Rack: "r", Rebalance: 1e9, Said: true,
			Names: []string{"t"}, Regex: &regex, Owned: []group.PartitionID{},
		}) {
			if s, ok := e.(group.Store); ok {
				list = append(list, s.Records...)
			}
		}
	}
	return list
}

// A log whose last epoch of the group was refused, and what follows it was not:
// the coordinator that comes next must not go on in an epoch below that of the
// assignment.
func TestConsumerGroupGoesPastItsAssignment(t *testing.T) {
	const groupKey, currentKey = 3, 8 // of the group's epoch, and of what a member holds
	kind := func(r group.LogRecord) uint16 { return binary.BigEndian.Uint16(r.Key) }
	records, last := consumerRecords(), -1
	for i, r := range records {
		if kind(r) == groupKey {
			last = i
		}
	}
	gap := records[:last:last]
	for _, r := range records[last+1:] {
		if kind(r) != currentKey {
			gap = append(gap, r)
		}
	}
	var all topics
	all.set("t", 2)
	md := group.RestoreConsumerGroup(1, "g", replay(gap), group.Config{}, &all).Describe()
	if md.Generation <= md.Consumer.AssignmentEpoch {
		t.Errorf("epoch %d, and the assignment's is %d", md.Generation, md.Consumer.AssignmentEpoch)
	}
}
