package group

import (
	"maps"
	"slices"
	"strings"
)

// The ways in which a ConsumerGroup shares out. The names are Kafka's.
const (
	uniformAssignor = "uniform"
	// rangeAssignor is one, too.
)

// ServerAssignors are the assignors that members may ask for, the default
// first.
func ServerAssignors() []string { return []string{uniformAssignor, rangeAssignor} }

// assignor is what most members ask for.
func (g *ConsumerGroup) assignor() string {
	votes := make(map[string]int)
	for _, m := range g.members {
		if m.assignor != "" {
			votes[m.assignor]++
		}
	}
	best := uniformAssignor
	for _, name := range ServerAssignors() {
		if votes[name] > votes[best] {
			best = name
		}
	}
	return best
}

// shareOut makes the target of the present epoch. Members keep what they were
// to have as far as the assignor lets them.
func (g *ConsumerGroup) shareOut() {
	topics := make(map[string]CatalogTopic)
	list := make([]*sharer, 0, len(g.members))
	byID := make(map[*sharer]*consumerMember, len(g.members))
	for _, id := range g.ids() {
		m := g.members[id]
		if m.instance != "" { // it has the same place in the order after a restart
			id = m.instance
		}
		mine := g.subscribed(m)
		maps.Copy(topics, mine)
		s := newSharer(id, Subscription{Topics: slices.Sorted(maps.Keys(mine))})
		for _, p := range partitionsOf(m.target) {
			t, ok := g.topics.TopicByID(p.Topic)
			if ok && mine[t.Name].ID == p.Topic {
				s.sub.Owned = append(s.sub.Owned, TopicPartition{Topic: t.Name, Partition: p.Partition})
			}
		}
		list, byID[s] = append(list, s), m
	}
	slices.SortStableFunc(list, func(a, b *sharer) int { return strings.Compare(a.id, b.id) })
	counts := make(map[string]int32, len(topics))
	for name, t := range topics {
		counts[name] = t.Partitions
	}
	switch {
	case g.assignor() == rangeAssignor:
		shareRanges(list, counts)
	case alike(list):
		shareUniform(list, counts)
	default:
		shareSticky(list, counts)
	}
	for _, s := range list {
		target := make(map[PartitionID]struct{}, len(s.share))
		for _, tp := range s.share {
			target[PartitionID{Topic: topics[tp.Topic].ID, Partition: tp.Partition}] = struct{}{}
		}
		if m := byID[s]; !maps.Equal(m.target, target) {
			m.target, m.dirty.target = target, true
		}
	}
	g.shared = g.epoch
	g.dirty.target = true
}

// alike tells whether all want the same topics.
func alike(list []*sharer) bool {
	for _, s := range list {
		if !slices.Equal(s.sub.Topics, list[0].sub.Topics) {
			return false
		}
	}
	return true
}

// shareUniform gives members that want the same topics shares that differ by
// one partition at most, and moves as few as that takes.
func shareUniform(list []*sharer, topics map[string]int32) {
	if len(list) == 0 {
		return
	}
	total := 0
	for _, n := range topics {
		total += int(n)
	}
	least, more := total/len(list), total%len(list) // so many members have one more than least
	taken := make(map[TopicPartition]bool, total)
	quota := make(map[*sharer]int, len(list))
	for _, s := range list {
		quota[s] = least
		for _, tp := range s.sub.Owned {
			if tp.Partition >= topics[tp.Topic] || taken[tp] {
				continue
			}
			if len(s.share) == quota[s] {
				if more == 0 || quota[s] > least {
					break
				}
				quota[s], more = least+1, more-1
			}
			s.share = append(s.share, tp)
			taken[tp] = true
		}
	}
	for _, s := range list {
		if more > 0 && quota[s] == least {
			quota[s], more = least+1, more-1
		}
	}
	at := 0
	eachPartition(topics, func(tp TopicPartition) {
		if taken[tp] {
			return
		}
		for len(list[at%len(list)].share) >= quota[list[at%len(list)]] {
			at++
		}
		s := list[at%len(list)]
		s.share = append(s.share, tp)
		at++
	})
}

// partitionsOf are the keys of a set, by topic id and number.
func partitionsOf[V any](set map[PartitionID]V) []PartitionID {
	return slices.SortedFunc(maps.Keys(set), PartitionID.Compare)
}
