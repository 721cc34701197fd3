package meta

import "encoding/binary"

// First bytes of the keys in the store. Never reused.
const (
	keyTopic     = 't' // + id
	keyPartition = 'p' // + topic id, partition BE32
	keyBroker    = 'b' // + node id BE32
	keyMember    = 'm' // + raft id BE64
	keyInfo      = 'i'
	keyConfigs   = 'g'
	keyCounter   = 'c' // next producer id
	keyProducer  = 'n' // + name
	keyEntry     = 'e' // + space, 0, key
	keyDedup     = 'r' // + slot BE32
)

// recordVersion is the first byte of every value. Since version 2 topics tell
// how many partitions they were created with, and partitions their throttle.
const recordVersion = 2

func topicKey(id ID) []byte { return append([]byte{keyTopic}, id[:]...) }

func partitionKey(id ID, p int32) []byte {
	b := make([]byte, 0, 21)
	b = append(append(b, keyPartition), id[:]...)
	return binary.BigEndian.AppendUint32(b, uint32(p))
}

func brokerKey(id NodeID) []byte {
	return binary.BigEndian.AppendUint32([]byte{keyBroker}, uint32(id))
}

func memberKey(id uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{keyMember}, id)
}

func producerKey(name string) []byte { return append([]byte{keyProducer}, name...) }

func entryKey(space, key string) []byte {
	b := append([]byte{keyEntry}, space...)
	return append(append(b, 0), key...)
}

func encodeTopic(t *Topic) []byte {
	e := encoder{b: make([]byte, 0, 64)}
	e.byte(recordVersion)
	e.str(t.Name)
	e.strMap(t.Configs)
	e.u64(uint64(len(t.Partitions)))
	e.bool(t.RFExplicit)
	e.bool(t.Internal)
	e.i64(t.CreatedMs)
	e.i32(t.Born)
	return e.b
}

// decodeTopic reads a topic without its partitions, which have keys of their
// own, and how many there must be. Of one that version 1 wrote it is not known
// whether partitions were added.
func decodeTopic(d *decoder, id ID, version byte) (*Topic, uint64) {
	t := &Topic{ID: id, Name: d.str(), Configs: d.strMap()}
	n := d.u64()
	t.RFExplicit, t.Internal, t.CreatedMs = d.bool(), d.bool(), d.i64()
	t.Born = int32(min(n, MaxPartitions))
	if version >= 2 {
		t.Born = d.i32()
	}
	return t, n
}

func encodePartition(p *Partition) []byte {
	e := encoder{b: make([]byte, 0, 24)}
	e.byte(recordVersion)
	e.nodes(p.Replicas)
	e.nodes(p.ISR)
	e.nodes(p.Target)
	e.i32(p.Leader)
	e.i32(p.LeaderEpoch)
	e.i32(p.PartitionEpoch)
	e.u64(uint64(p.Incarnation))
	e.bool(p.Lost)
	e.i64(p.Throttle)
	return e.b
}

func decodePartition(d *decoder, version byte) Partition {
	p := Partition{
		Replicas: d.nodes(), ISR: d.nodes(), Target: d.nodes(),
		Leader: d.i32(), LeaderEpoch: d.i32(), PartitionEpoch: d.i32(),
		Incarnation: d.u32(), Lost: d.bool(),
	}
	if version >= 2 {
		p.Throttle = d.i64()
	}
	return p
}

func encodeBroker(b *Broker) []byte {
	e := encoder{b: make([]byte, 0, 128)}
	e.byte(recordVersion)
	e.u64(b.Epoch)
	e.id(b.Incarnation)
	e.id(b.Directory)
	e.str(b.HTTP)
	e.str(b.Kafka)
	e.str(b.Peer)
	e.bool(b.Fenced)
	e.bool(b.Draining)
	e.bool(b.sweep.active)
	e.bool(b.sweep.lost)
	e.str(b.sweep.topic)
	e.i32(b.sweep.partition)
	return e.b
}

func decodeBroker(d *decoder, id NodeID) *Broker {
	return &Broker{
		ID: id, Epoch: d.u64(), Incarnation: d.id(), Directory: d.id(),
		HTTP: d.str(), Kafka: d.str(), Peer: d.str(),
		Fenced: d.bool(), Draining: d.bool(),
		sweep: sweep{active: d.bool(), lost: d.bool(), topic: d.str(), partition: d.i32()},
	}
}

func encodeMember(m Member) []byte {
	e := encoder{}
	e.byte(recordVersion)
	e.i32(m.Node)
	e.str(m.Addr)
	return e.b
}

func encodeInfo(i ClusterInfo) []byte {
	e := encoder{}
	e.byte(recordVersion)
	e.str(i.ID)
	e.bytes(i.Secret)
	return e.b
}

func encodeConfigs(c map[string]string) []byte {
	e := encoder{}
	e.byte(recordVersion)
	e.strMap(c)
	return e.b
}

func encodeCounter(v int64) []byte {
	e := encoder{}
	e.byte(recordVersion)
	e.i64(v)
	return e.b
}

func encodeProducer(p Producer) []byte {
	e := encoder{}
	e.byte(recordVersion)
	e.i64(p.ID)
	e.i64(p.ExpiresMs)
	return e.b
}

func encodeEntry(v Entry) []byte {
	e := encoder{}
	e.byte(recordVersion)
	e.u64(v.Version)
	e.bytes(v.Value)
	return e.b
}
