package meta

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
	"strings"
)

// Load makes the image that wrote the given keys and values, in any order.
// The pairs may be reused after each yield. ErrVersion: a newer release wrote
// one; ErrCorrupt: a key or value is malformed, or something is missing.
func Load(pairs iter.Seq2[[]byte, []byte]) (*Image, error) {
	l := loader{Image: NewImage(), parts: map[ID]map[int32]Partition{}, counts: map[ID]uint64{}}
	for k, v := range pairs {
		if err := l.pair(k, v); err != nil {
			return nil, fmt.Errorf("key %q: %w", k, err)
		}
	}
	if err := l.finish(); err != nil {
		return nil, err
	}
	return l.Image, nil
}

type loader struct {
	*Image
	parts  map[ID]map[int32]Partition
	counts map[ID]uint64 // partitions that each topic must have

	version byte // of the record being read
}

func (l *loader) pair(k, v []byte) error {
	if len(k) == 0 {
		return fmt.Errorf("%w: empty key", ErrCorrupt)
	}
	d := decoder{b: v}
	version := d.byte()
	switch {
	case d.err != nil:
		return d.err
	case version > recordVersion:
		return fmt.Errorf("%w: record version %d, this release reads up to %d; upgrade this node",
			ErrVersion, version, recordVersion)
	case version == 0:
		return fmt.Errorf("%w: record version 0", ErrCorrupt)
	}
	l.version = version
	if err := l.value(k[0], k[1:], &d); err != nil {
		return err
	}
	return d.end()
}

func (l *loader) value(class byte, k []byte, d *decoder) error {
	switch class {
	case keyTopic, keyPartition, keyBroker, keyMember, keyDedup:
		return l.fixed(class, k, d)
	case keyInfo:
		l.info = ClusterInfo{ID: d.str(), Secret: d.bytes()}
	case keyConfigs:
		if m := d.strMap(); m != nil {
			l.configs = m
		}
	case keyCounter:
		l.nextProducer = d.i64()
	case keyProducer:
		p := Producer{Name: string(k), ID: d.i64(), ExpiresMs: d.i64()}
		l.producers[p.Name] = p
		l.expiry.push(p)
	case keyEntry:
		space, key, ok := strings.Cut(string(k), "\x00")
		if !ok {
			return fmt.Errorf("%w: entry key", ErrCorrupt)
		}
		l.setEntry(Entry{Space: space, Key: key, Version: d.u64(), Value: d.bytes()})
	default:
		return fmt.Errorf("%w: key class %q; upgrade this node", ErrVersion, class)
	}
	return nil
}

// fixed reads the classes whose keys have a fixed length.
func (l *loader) fixed(class byte, k []byte, d *decoder) error {
	want := map[byte]int{keyTopic: 16, keyPartition: 20, keyBroker: 4, keyMember: 8, keyDedup: 4}
	if len(k) != want[class] {
		return fmt.Errorf("%w: key length", ErrCorrupt)
	}
	switch class {
	case keyTopic:
		l.topics[ID(k)], l.counts[ID(k)] = decodeTopic(d, ID(k), l.version)
	case keyPartition:
		id := ID(k[:16])
		if l.parts[id] == nil {
			l.parts[id] = map[int32]Partition{}
		}
		l.parts[id][int32(binary.BigEndian.Uint32(k[16:]))] = decodePartition(d, l.version)
	case keyBroker:
		b := decodeBroker(d, NodeID(binary.BigEndian.Uint32(k)))
		l.brokers[b.ID] = b
	case keyMember:
		m := Member{RaftID: binary.BigEndian.Uint64(k), Node: d.i32(), Addr: d.str()}
		l.members[m.RaftID] = m
	case keyDedup:
		slot := binary.BigEndian.Uint32(k)
		it := decodeDedup(d)
		if uint64(slot) != it.seq%DedupWindow {
			return fmt.Errorf("%w: dedup slot", ErrCorrupt)
		}
		l.dedup.place(int(slot), it)
		l.dedup.seq = max(l.dedup.seq, it.seq+1)
	}
	return nil
}

// finish joins topics and partitions and checks that nothing is missing.
func (l *loader) finish() error {
	for id, t := range l.topics {
		parts := l.parts[id]
		if uint64(len(parts)) != l.counts[id] {
			return fmt.Errorf("%w: topic %q has %d of %d partitions", ErrCorrupt, t.Name, len(parts), l.counts[id])
		}
		t.Partitions = make([]Partition, len(parts))
		for n, p := range parts {
			if n < 0 || int(n) >= len(t.Partitions) {
				return fmt.Errorf("%w: topic %q has a partition %d of %d", ErrCorrupt, t.Name, n, len(t.Partitions))
			}
			t.Partitions[n] = p
		}
		delete(l.parts, id)
	}
	for id := range l.parts {
		return fmt.Errorf("%w: partitions of an unknown topic %x", ErrCorrupt, id)
	}
	if n := min(l.dedup.seq, DedupWindow); uint64(len(l.dedup.slots)) != n {
		return fmt.Errorf("%w: %d of %d requests are remembered", ErrCorrupt, len(l.dedup.slots), n)
	}
	for _, t := range l.topics {
		if l.names[t.Name] != nil {
			return fmt.Errorf("%w: two topics are named %q", ErrCorrupt, t.Name)
		}
		l.names[t.Name] = t
		l.partitions += len(t.Partitions)
	}
	l.order = l.sorted()
	return nil
}

// Pairs yields the whole image as keys and values in key order: what the
// changes of its commands left in the store.
func (m *Image) Pairs() iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		all := m.dump()
		for i := range all {
			if !yield(all[i].Key, all[i].Value) {
				return
			}
		}
	}
}

// Equal tells whether two images would go on in the same way.
func (m *Image) Equal(other *Image) bool {
	a, b := m.dump(), other.dump()
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !bytes.Equal(a[i].Key, b[i].Key) || !bytes.Equal(a[i].Value, b[i].Value) {
			return false
		}
	}
	return true
}
