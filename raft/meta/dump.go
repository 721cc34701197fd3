package meta

import (
	"bytes"
	"maps"
	"slices"
	"strings"
)

// dump encodes everything, in key order.
func (m *Image) dump() []Change {
	var out []Change
	put := func(k, v []byte) { out = append(out, Change{Key: k, Value: v}) }
	for _, t := range m.topics {
		put(topicKey(t.ID), encodeTopic(t))
		for i := range t.Partitions {
			put(partitionKey(t.ID, int32(i)), encodePartition(&t.Partitions[i]))
		}
	}
	for _, b := range m.brokers {
		put(brokerKey(b.ID), encodeBroker(b))
	}
	for _, p := range m.members {
		put(memberKey(p.RaftID), encodeMember(p))
	}
	if m.info.ID != "" {
		put([]byte{keyInfo}, encodeInfo(m.info))
	}
	if len(m.configs) > 0 {
		put([]byte{keyConfigs}, encodeConfigs(m.configs))
	}
	if m.nextProducer > 0 {
		put([]byte{keyCounter}, encodeCounter(m.nextProducer))
	}
	for _, p := range m.producers {
		put(producerKey(p.Name), encodeProducer(p))
	}
	for _, space := range m.entries {
		for _, v := range space {
			put(entryKey(v.Space, v.Key), encodeEntry(v))
		}
	}
	for i, it := range m.dedup.ring {
		put(dedupKey(i), encodeDedup(it))
	}
	slices.SortFunc(out, func(a, b Change) int { return bytes.Compare(a.Key, b.Key) })
	return out
}

// sorted is the topics by name.
func (m *Image) sorted() []*Topic {
	return slices.SortedFunc(maps.Values(m.topics), func(a, b *Topic) int { return strings.Compare(a.Name, b.Name) })
}
