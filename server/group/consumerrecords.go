package group

import (
	"maps"
	"slices"
)

// changes are the records of what has changed since the last Store.
func (g *ConsumerGroup) changes() (list []LogRecord) {
	add := func(key, value []byte) { list = append(list, LogRecord{Key: key, Value: value}) }
	for _, id := range slices.Sorted(maps.Keys(g.gone)) {
		if g.gone[id] == 0 {
			add(consumerKey(keyConsumerCurrent, g.id, id), nil)
			add(consumerKey(keyConsumerTargetMember, g.id, id), nil)
			add(consumerKey(keyConsumerMember, g.id, id), nil)
		}
	}
	var ids []string
	for id, m := range g.members {
		if m.dirty != (dirtyMember{}) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	for _, id := range ids {
		if m := g.members[id]; m.dirty.said {
			add(consumerKey(keyConsumerMember, g.id, id), m.saidValue())
		}
	}
	if g.dirty.epoch {
		add(consumerKey(keyConsumerGroup, g.id), epochValue(g.epoch, g.hash))
	}
	for _, id := range ids {
		if m := g.members[id]; m.dirty.target {
			add(consumerKey(keyConsumerTargetMember, g.id, id), m.targetValue())
		}
	}
	if g.dirty.target {
		add(consumerKey(keyConsumerTarget, g.id), epochValue(g.shared, 0))
	}
	for _, id := range ids {
		m := g.members[id]
		if m.dirty.current {
			add(consumerKey(keyConsumerCurrent, g.id, id), m.currentValue())
		}
		m.dirty = dirtyMember{}
	}
	g.dirty = dirtyGroup{}
	return list
}

// Keys are the keys of all records that the log may have of a group without
// members.
func (g *ConsumerGroup) Keys() [][]byte {
	list := [][]byte{consumerKey(keyConsumerGroup, g.id), consumerKey(keyConsumerTarget, g.id)}
	for _, id := range slices.Sorted(maps.Keys(g.gone)) { // their tombstones may not have been written
		for _, kind := range []uint16{keyConsumerCurrent, keyConsumerTargetMember, keyConsumerMember} {
			list = append(list, consumerKey(kind, g.id, id))
		}
	}
	return list
}

// Keys are the keys of all records that the log may have of the group.
func (g *Group) Keys() [][]byte { return [][]byte{groupKey(g.id)} }

// ConsumerDetails are what only a ConsumerGroup has.
type ConsumerDetails struct {
	// AssignmentEpoch is the epoch that the target was made for.
	AssignmentEpoch int32
}

// ConsumerMemberDetails are what only a member of a ConsumerGroup has.
type ConsumerMemberDetails struct {
	Epoch            int32
	Rack             string
	Names            []string
	Regex            string
	Assigned, Target []PartitionID
}

// Describe is the group as it is now.
func (g *ConsumerGroup) Describe() *Metadata {
	md := &Metadata{
		Group: g.id, State: g.State(), Generation: g.epoch, ProtocolType: consumerProtocol, Protocol: g.assignor(),
		Changed: g.changed, Consumer: &ConsumerDetails{AssignmentEpoch: g.shared},
	}
	for _, id := range g.ids() {
		m := g.members[id]
		assigned := partitionsOf(m.assigned)
		sub := Subscription{Topics: slices.Sorted(maps.Keys(g.subscribed(m)))}
		md.Members = append(md.Members, Member{
			ID: m.id, Instance: m.instance, ClientID: m.clientID, Host: m.host, Session: g.cfg.ConsumerSession,
			Rebalance: m.rebalance, Subscription: sub.Append(nil), Assignment: AppendAssignment(nil, g.named(assigned)),
			Consumer: &ConsumerMemberDetails{
				Epoch: m.epoch, Rack: m.rack, Names: m.names, Regex: m.regex,
				Assigned: assigned, Target: partitionsOf(m.target),
			},
		})
	}
	return md
}

// named tells partitions by their topics' names, without those of topics that
// are gone.
func (g *ConsumerGroup) named(parts []PartitionID) (list []TopicPartition) {
	for _, p := range parts {
		if t, ok := g.topics.TopicByID(p.Topic); ok {
			list = append(list, TopicPartition{Topic: t.Name, Partition: p.Partition})
		}
	}
	return list
}
