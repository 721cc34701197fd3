package meta

import (
	"maps"
	"slices"
	"strings"
)

// Topic finds a topic by name. The result is read-only and shared with the
// image: clone what must outlive the lock.
func (m *Image) Topic(name string) (*Topic, bool) {
	t, ok := m.names[name]
	return t, ok
}

// TopicByID finds a topic by its UUID; read-only as Topic's.
func (m *Image) TopicByID(id ID) (*Topic, bool) {
	t, ok := m.topics[id]
	return t, ok
}

// Topics lists up to limit topics by name: those that begin with prefix and
// come after the given name. A limit ≤ 0 is none. The topics are read-only.
func (m *Image) Topics(prefix, after string, limit int) (list []*Topic, more bool) {
	i, _ := slices.BinarySearchFunc(m.order, max(prefix, after), byName)
	for ; i < len(m.order); i++ {
		t := m.order[i]
		if !strings.HasPrefix(t.Name, prefix) {
			break
		}
		if after != "" && t.Name <= after {
			continue
		}
		if limit > 0 && len(list) == limit {
			return list, true
		}
		list = append(list, t)
	}
	return list, false
}

// Counts are the topics and partitions that exist.
func (m *Image) Counts() (topics, partitions int) { return len(m.topics), m.partitions }

// Broker finds a registered broker.
func (m *Image) Broker(id NodeID) (Broker, bool) {
	b := m.brokers[id]
	if b == nil {
		return Broker{}, false
	}
	return *b, true
}

// Brokers lists the registered brokers by id.
func (m *Image) Brokers() []Broker {
	out := make([]Broker, 0, len(m.brokers))
	for _, id := range slices.Sorted(maps.Keys(m.brokers)) {
		out = append(out, *m.brokers[id])
	}
	return out
}

// Member finds a raft peer.
func (m *Image) Member(raftID uint64) (Member, bool) {
	p, ok := m.members[raftID]
	return p, ok
}

// Members lists the raft peers by raft id.
func (m *Image) Members() []Member {
	out := make([]Member, 0, len(m.members))
	for _, id := range slices.Sorted(maps.Keys(m.members)) {
		out = append(out, m.members[id])
	}
	return out
}

// ClusterID is empty until SetClusterInfo.
func (m *Image) ClusterID() string { return m.info.ID }

// ClusterInfo includes the secret; read-only.
func (m *Image) ClusterInfo() ClusterInfo { return m.info }

// ClusterConfigs are the configs that were set for the cluster; read-only,
// valid under the lock.
func (m *Image) ClusterConfigs() map[string]string { return m.configs }

// Producer finds the producer id of a name that has not expired at nowMs.
func (m *Image) Producer(name string, nowMs int64) (Producer, bool) {
	p, ok := m.producers[name]
	return p, ok && p.ExpiresMs > nowMs
}

// Producers lists the names of producers that have not expired at nowMs, and
// the least producer id that was never given out.
func (m *Image) Producers(nowMs int64) (list []Producer, next int64) {
	for _, name := range slices.Sorted(maps.Keys(m.producers)) {
		if p := m.producers[name]; p.ExpiresMs > nowMs {
			list = append(list, p)
		}
	}
	return list, m.nextProducer
}

// AllEntries lists every space, by space and key.
func (m *Image) AllEntries() (list []Entry) {
	for _, space := range slices.Sorted(maps.Keys(m.entries)) {
		list = append(list, m.Entries(space)...)
	}
	return list
}

// Entry finds a named value.
func (m *Image) Entry(space, key string) (Entry, bool) {
	v, ok := m.entries[space][key]
	return v, ok
}

// Entries lists a space by key.
func (m *Image) Entries(space string) []Entry {
	out := make([]Entry, 0, len(m.entries[space]))
	for _, k := range slices.Sorted(maps.Keys(m.entries[space])) {
		out = append(out, m.entries[space][k])
	}
	return out
}

// Seq counts the requests so far; see Request.Seq.
func (m *Image) Seq() uint64 { return m.dedup.seq }

// Moving counts the partitions whose replicas are being moved.
func (m *Image) Moving() (n int) {
	for _, t := range m.order {
		for i := range t.Partitions {
			if len(t.Partitions[i].Target) > 0 {
				n++
			}
		}
	}
	return n
}

// Health counts partitions without a leader, and those with fewer in-sync
// replicas than replicas.
func (m *Image) Health() (offline, underReplicated int) {
	for _, t := range m.order {
		for i := range t.Partitions {
			p := &t.Partitions[i]
			if p.Leader == 0 {
				offline++
			}
			if len(p.ISR) < len(p.Replicas) {
				underReplicated++
			}
		}
	}
	return offline, underReplicated
}
