package group

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// The ways of sharing out that hosted members know. The names are Kafka's.
const (
	rangeAssignor       = "range"
	roundRobinAssignor  = "roundrobin"
	cooperativeAssignor = "cooperative-sticky"
	stickyAssignor      = "sticky"
)

// Assignors are the protocols that a hosted member offers, best first: between
// them they have one in common with the defaults of every client.
func Assignors() []string {
	return []string{rangeAssignor, roundRobinAssignor, cooperativeAssignor, stickyAssignor}
}

// Compare orders partitions by topic, then by number.
func (tp TopicPartition) Compare(o TopicPartition) int {
	return cmp.Or(strings.Compare(tp.Topic, o.Topic), cmp.Compare(tp.Partition, o.Partition))
}

// sharer is a member with what it wants and gets.
type sharer struct {
	id    string
	sub   Subscription
	topic map[string]bool // those of sub
	share []TopicPartition
}

func newSharer(id string, sub Subscription) *sharer {
	s := &sharer{id: id, sub: sub, topic: make(map[string]bool, len(sub.Topics))}
	for _, t := range sub.Topics {
		s.topic[t] = true
	}
	return s
}

func (s *sharer) wants(topic string) bool { return s.topic[topic] }

// Share shares the partitions of the members' topics out, as the protocol says:
// each to one member that is subscribed to its topic. partitions tells how many
// a topic has, 0 if there is none. A member whose subscription can't be read
// gets nothing. The result has an assignment for every member.
func Share(protocol string, members []Joined, partitions func(topic string) int32) map[string][]byte {
	list := make([]*sharer, 0, len(members))
	topics := make(map[string]int32)
	for i := range members {
		sub, err := ParseSubscription(members[i].Metadata)
		if err != nil {
			sub = Subscription{}
		}
		s := newSharer(members[i].MemberID, sub)
		for _, t := range s.sub.Topics {
			topics[t] = partitions(t)
		}
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b *sharer) int { return strings.Compare(a.id, b.id) })
	switch protocol {
	case rangeAssignor:
		shareRanges(list, topics)
	case roundRobinAssignor:
		shareRound(list, topics)
	default:
		owners := shareSticky(list, topics)
		if protocol == cooperativeAssignor {
			withhold(list, owners)
		}
	}
	out := make(map[string][]byte, len(list))
	for _, s := range list {
		out[s.id] = AppendAssignment(nil, s.share)
	}
	return out
}

// shareRanges gives each member neighbouring partitions of each topic.
func shareRanges(list []*sharer, topics map[string]int32) {
	for _, t := range slices.Sorted(maps.Keys(topics)) {
		var want []*sharer
		for _, s := range list {
			if s.wants(t) {
				want = append(want, s)
			}
		}
		n, next := int(topics[t]), 0
		for i, s := range want {
			count := n / len(want)
			if i < n%len(want) {
				count++
			}
			for range count {
				s.share = append(s.share, TopicPartition{Topic: t, Partition: int32(next)})
				next++
			}
		}
	}
}

// shareRound deals the partitions of all topics out in turn.
func shareRound(list []*sharer, topics map[string]int32) {
	turn := 0
	eachPartition(topics, func(tp TopicPartition) {
		for range list {
			s := list[turn%len(list)]
			turn++
			if s.wants(tp.Topic) {
				s.share = append(s.share, tp)
				return
			}
		}
	})
}

// shareSticky leaves members what they own, gives the rest to whoever has least,
// and then moves what must be moved to make the shares even. It returns who
// owned what.
func shareSticky(list []*sharer, topics map[string]int32) map[TopicPartition]*sharer {
	owners := ownersOf(list, topics)
	var free []TopicPartition
	eachPartition(topics, func(tp TopicPartition) {
		if s := owners[tp]; s != nil {
			s.share = append(s.share, tp)
			return
		}
		free = append(free, tp)
	})
	for _, tp := range free {
		if s := poorest(list, tp.Topic); s != nil {
			s.share = append(s.share, tp)
		}
	}
	level(list)
	return owners
}

// level moves partitions from who has most to who has least until no move
// makes the shares more even.
func level(list []*sharer) {
	for {
		moved := false
		for _, from := range list {
			for i := len(from.share) - 1; i >= 0; i-- {
				to := poorest(list, from.share[i].Topic)
				if to == nil || len(to.share)+1 >= len(from.share) {
					continue
				}
				to.share = append(to.share, from.share[i])
				from.share = slices.Delete(from.share, i, i+1)
				moved = true
			}
		}
		if !moved {
			return
		}
	}
}

// poorest is the member with the smallest share of those that want the topic.
func poorest(list []*sharer, topic string) (best *sharer) {
	for _, s := range list {
		if s.wants(topic) && (best == nil || len(s.share) < len(best.share)) {
			best = s
		}
	}
	return best
}

// ownersOf tells who owns which partition. Of two that claim one, the later
// generation is right; in the same, neither.
func ownersOf(list []*sharer, topics map[string]int32) map[TopicPartition]*sharer {
	owners := make(map[TopicPartition]*sharer)
	claimed := make(map[TopicPartition]int32)
	for _, s := range list {
		for _, tp := range s.sub.Owned {
			if tp.Partition < 0 || tp.Partition >= topics[tp.Topic] || !s.wants(tp.Topic) {
				continue
			}
			at, seen := claimed[tp]
			switch {
			case !seen || s.sub.Generation > at:
				owners[tp], claimed[tp] = s, s.sub.Generation
			case s.sub.Generation == at:
				owners[tp] = nil
			}
		}
	}
	return owners
}

// withhold takes out of the shares what another member still reads: it stops
// when it sees its own share and joins again, and the next generation hands it
// on (KIP-429).
func withhold(list []*sharer, owners map[TopicPartition]*sharer) {
	for _, s := range list {
		s.share = slices.DeleteFunc(s.share, func(tp TopicPartition) bool {
			o := owners[tp]
			return o != nil && o != s
		})
	}
}

func eachPartition(topics map[string]int32, visit func(TopicPartition)) {
	for _, t := range slices.Sorted(maps.Keys(topics)) {
		for p := range topics[t] {
			visit(TopicPartition{Topic: t, Partition: p})
		}
	}
}
