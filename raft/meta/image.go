package meta

import (
	"fmt"
	"slices"
	"strings"
)

// Image is the cluster's metadata at one raft index. It is not safe for
// concurrent use: raft.Node guards it. Make one with NewImage or Load.
type Image struct {
	topics     map[ID]*Topic
	names      map[string]*Topic
	order      []*Topic // by name
	partitions int

	brokers map[NodeID]*Broker
	members map[uint64]Member
	info    ClusterInfo
	configs map[string]string // of the cluster

	nextProducer int64
	producers    map[string]Producer
	expiry       expiryHeap

	entries map[string]map[string]Entry
	dedup   dedup
}

// NewImage is the metadata of a cluster in which nothing happened yet.
func NewImage() *Image {
	return &Image{
		topics:    map[ID]*Topic{},
		names:     map[string]*Topic{},
		brokers:   map[NodeID]*Broker{},
		members:   map[uint64]Member{},
		configs:   map[string]string{},
		producers: map[string]Producer{},
		entries:   map[string]map[string]Entry{},
		dedup:     dedup{slots: map[ID]int{}},
	}
}

// Apply applies an encoded command, as committed at index. Results of refused
// commands have a Code and no events. A repeated request changes nothing and
// has the first result. The slices belong to the caller; what they point to is
// shared and read-only. An error, ErrVersion or ErrCorrupt, leaves the image
// as it was: the node must stop.
func (m *Image) Apply(index uint64, cmd []byte) (Result, []Change, []Event, error) {
	req, c, err := Decode(cmd)
	if err != nil {
		return Result{}, nil, nil, fmt.Errorf("command at index %d: %w", index, err)
	}
	if req.ID != (ID{}) {
		if r, ok := m.dedup.find(req.ID); ok {
			r.Duplicate = true
			return r, nil, nil, nil
		}
		if m.dedup.expired(req.Seq) {
			return refuse(ErrRequestExpired, "sent %d commands ago", m.dedup.seq-req.Seq), nil, nil, nil
		}
	}
	s := step{Image: m, index: index, now: req.TimeMs}
	r := c.apply(&s)
	r.Index = index
	if req.ID != (ID{}) {
		s.changes = append(s.changes, m.dedup.add(req.ID, r))
	}
	return r, s.changes, s.events, nil
}

// SetMember records a raft peer that a configuration change adds, or, with a
// zero Node, forgets it.
func (m *Image) SetMember(p Member) ([]Change, []Event) {
	s := step{Image: m}
	if p.Node == 0 {
		delete(m.members, p.RaftID)
		s.changes = append(s.changes, Change{Key: memberKey(p.RaftID)})
	} else {
		m.members[p.RaftID] = p
		s.changes = append(s.changes, Change{Key: memberKey(p.RaftID), Value: encodeMember(p)})
	}
	return s.changes, []Event{MembersChanged{}}
}

// step is the application of one command.
type step struct {
	*Image
	index   uint64
	now     int64
	changes []Change
	events  []Event
}

func (s *step) put(key, value []byte) { s.changes = append(s.changes, Change{Key: key, Value: value}) }
func (s *step) del(key []byte)        { s.changes = append(s.changes, Change{Key: key}) }
func (s *step) emit(e Event)          { s.events = append(s.events, e) }
func (s *step) saveTopic(t *Topic)    { s.put(topicKey(t.ID), encodeTopic(t)) }
func (s *step) saveBroker(b *Broker)  { s.put(brokerKey(b.ID), encodeBroker(b)) }
func (s *step) savePart(t *Topic, p int32) {
	s.put(partitionKey(t.ID, p), encodePartition(&t.Partitions[p]))
}

// change replaces a partition's state, with the next partition epoch.
func (s *step) change(t *Topic, p int32, next Partition) {
	old := t.Partitions[p]
	next.PartitionEpoch = old.PartitionEpoch + 1
	if len(next.Target) == 0 {
		next.Throttle = 0
	}
	t.Partitions[p] = next
	s.savePart(t, p)
	s.emit(PartitionChanged{TopicID: t.ID, Topic: t.Name, Partition: p, Old: old, New: next})
}

// addTopic puts a topic into the indexes.
func (m *Image) addTopic(t *Topic) {
	m.topics[t.ID] = t
	m.names[t.Name] = t
	i, _ := slices.BinarySearchFunc(m.order, t.Name, byName)
	m.order = slices.Insert(m.order, i, t)
	m.partitions += len(t.Partitions)
}

func (m *Image) dropTopic(t *Topic) {
	delete(m.topics, t.ID)
	delete(m.names, t.Name)
	i, _ := slices.BinarySearchFunc(m.order, t.Name, byName)
	m.order = slices.Delete(m.order, i, i+1)
	m.partitions -= len(t.Partitions)
}

func byName(t *Topic, name string) int { return strings.Compare(t.Name, name) }

// live tells whether a broker may lead and be in sync.
func (m *Image) live(id NodeID) bool {
	b := m.brokers[id]
	return b != nil && b.Live()
}

// electable picks the leader of a partition: the first live in-sync replica in
// replica order, one that isn't draining if there is one; 0 if there is none.
func (m *Image) electable(p *Partition) NodeID {
	if p.Lost {
		return 0
	}
	var fallback NodeID
	for _, id := range p.Replicas {
		if !slices.Contains(p.ISR, id) || !m.live(id) {
			continue
		}
		if !m.brokers[id].Draining {
			return id
		}
		if fallback == 0 {
			fallback = id
		}
	}
	return fallback
}

// lead gives the partition a leader, or none, under the next leader epoch.
func lead(p *Partition, leader NodeID) {
	p.Leader = leader
	p.LeaderEpoch++
}

// without is a copy of ids that lacks id.
func without(ids []NodeID, id NodeID) []NodeID {
	out := make([]NodeID, 0, len(ids))
	for _, n := range ids {
		if n != id {
			out = append(out, n)
		}
	}
	return out
}
