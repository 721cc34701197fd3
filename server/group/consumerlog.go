package group

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
)

// The kinds of a ConsumerGroup's records, as Kafka numbers them: the group's
// epoch, what a member says, the target's epoch, a member's target, and what a
// member holds.
const (
	keyConsumerGroup        = 3
	keyConsumerMember       = 5
	keyConsumerTarget       = 6
	keyConsumerTargetMember = 7
	keyConsumerCurrent      = 8
)

// ConsumerEntry is a record of a ConsumerGroup, decoded.
type ConsumerEntry struct {
	kind          uint16
	group, member string
	deleted       bool
	epoch         int32 // of the group or of the target
	hash          int64
	said          consumerMember // what of it the kind has
}

func consumerKey(kind uint16, names ...string) []byte {
	b := binary.BigEndian.AppendUint16(nil, kind)
	for _, n := range names {
		b = kbin.AppendString(b, n)
	}
	return b
}

// noTags ends a structure.
const noTags = 0

func epochValue(epoch int32, hash int64) []byte {
	b := kbin.AppendInt32([]byte{0, 0}, epoch)
	if hash == 0 {
		return append(b, noTags)
	}
	return kbin.AppendInt64(append(b, 1, 0, 8), hash) // one tag: number 0, 8 bytes
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// saidValue is what a member says of itself.
func (m *consumerMember) saidValue() []byte {
	b := kbin.AppendCompactNullableString([]byte{0, 0}, orNull(m.instance))
	b = kbin.AppendCompactNullableString(b, orNull(m.rack))
	b = kbin.AppendCompactString(b, m.clientID)
	b = kbin.AppendCompactString(b, m.host)
	b = kbin.AppendCompactArrayLen(b, len(m.names))
	for _, n := range m.names {
		b = kbin.AppendCompactString(b, n)
	}
	b = kbin.AppendCompactNullableString(b, orNull(m.regex))
	b = kbin.AppendInt32(b, int32(m.rebalance.Milliseconds()))
	b = kbin.AppendCompactNullableString(b, orNull(m.assignor))
	return append(b, noTags)
}

// targetValue is what a member is to have.
func (m *consumerMember) targetValue() []byte {
	return append(appendParts([]byte{0, 0}, partitionsOf(m.target), nil), noTags)
}

// currentValue is what a member has.
func (m *consumerMember) currentValue() []byte {
	b := kbin.AppendInt32([]byte{0, 0}, m.epoch)
	b = kbin.AppendInt32(b, m.previous)
	b = kbin.AppendInt8(b, int8(m.state))
	b = appendParts(b, partitionsOf(m.assigned), m.assigned)
	b = appendParts(b, partitionsOf(m.revoking), m.revoking)
	return append(b, noTags)
}

// appendParts writes partitions by topic and, with since, the epochs in which
// they were given.
func appendParts(b []byte, parts []PartitionID, since map[PartitionID]int32) []byte {
	topics := 0
	for i := range parts {
		if i == 0 || parts[i].Topic != parts[i-1].Topic {
			topics++
		}
	}
	b = kbin.AppendCompactArrayLen(b, topics)
	for len(parts) > 0 {
		n := 1
		for n < len(parts) && parts[n].Topic == parts[0].Topic {
			n++
		}
		b = append(b, parts[0].Topic[:]...)
		b = kbin.AppendCompactArrayLen(b, n)
		for _, p := range parts[:n] {
			b = kbin.AppendInt32(b, p.Partition)
		}
		if since == nil {
			b = append(b, noTags)
		} else {
			epochs := kbin.AppendCompactArrayLen(nil, n)
			for _, p := range parts[:n] {
				epochs = kbin.AppendInt32(epochs, since[p])
			}
			b = binary.AppendUvarint(append(b, 1, 0), uint64(len(epochs)))
			b = append(b, epochs...)
		}
		parts = parts[n:]
	}
	return b
}

// parseConsumer reads a record of a ConsumerGroup.
func parseConsumer(key, value []byte) (*ConsumerEntry, error) {
	k := kbin.Reader{Src: key}
	e := &ConsumerEntry{kind: uint16(k.Int16()), group: k.String(), deleted: value == nil}
	if e.kind != keyConsumerGroup && e.kind != keyConsumerTarget {
		e.member = k.String()
	}
	if !k.Ok() || len(k.Src) > 0 {
		return nil, fmt.Errorf("%w: key of a consumer group's record: %d bytes are left", ErrCorrupt, len(k.Src))
	}
	if e.deleted {
		return e, nil
	}
	v := kbin.Reader{Src: value}
	if version := v.Int16(); version != 0 {
		return nil, fmt.Errorf("%w: version %d of a consumer group's record", ErrCorrupt, version)
	}
	e.read(&v)
	if !v.Ok() || len(v.Src) > 0 {
		return nil, fmt.Errorf("%w: record of consumer group %q: %d bytes are left", ErrCorrupt, e.group, len(v.Src))
	}
	return e, nil
}

// read reads what the kind has.
func (e *ConsumerEntry) read(v *kbin.Reader) {
	m := &e.said
	switch e.kind {
	case keyConsumerGroup, keyConsumerTarget:
		e.epoch = v.Int32()
		eachTag(v, func(tag uint32, b *kbin.Reader) {
			if tag == 0 {
				e.hash = b.Int64()
			}
		})
		return
	case keyConsumerMember:
		m.instance, m.rack = text(v.CompactNullableString()), text(v.CompactNullableString())
		m.clientID, m.host = v.CompactString(), v.CompactString()
		for range v.CompactArrayLen() {
			m.names = append(m.names, v.CompactString())
		}
		m.regex = text(v.CompactNullableString())
		m.rebalance = time.Duration(v.Int32()) * time.Millisecond
		m.assignor = text(v.CompactNullableString())
	case keyConsumerTargetMember:
		m.target = make(map[PartitionID]struct{})
		for p := range readParts(v) {
			m.target[p] = struct{}{}
		}
	default:
		m.epoch, m.previous, m.state = v.Int32(), v.Int32(), memberState(v.Int8())
		m.assigned = readParts(v)
		m.revoking = readParts(v)
	}
	eachTag(v, func(uint32, *kbin.Reader) {})
}

// readParts reads partitions with the epochs in which they were given, 0 where
// that is not said.
func readParts(v *kbin.Reader) map[PartitionID]int32 {
	parts := make(map[PartitionID]int32)
	for range v.CompactArrayLen() {
		id := v.Uuid()
		var list []PartitionID
		for range v.CompactArrayLen() {
			list = append(list, PartitionID{Topic: id, Partition: v.Int32()})
		}
		for _, p := range list {
			parts[p] = 0
		}
		eachTag(v, func(tag uint32, b *kbin.Reader) {
			if tag != 0 || b.CompactArrayLen() != int32(len(list)) {
				return
			}
			for _, p := range list {
				parts[p] = b.Int32()
			}
		})
	}
	return parts
}

// eachTag visits the tags that end a structure. What a visitor leaves of one is
// skipped.
func eachTag(v *kbin.Reader, visit func(tag uint32, b *kbin.Reader)) {
	for n := v.Uvarint(); n > 0 && v.Ok(); n-- {
		tag := v.Uvarint()
		b := kbin.Reader{Src: v.Span(int(v.Uvarint()))}
		visit(tag, &b)
	}
}

// ConsumerLog is what the log says of one ConsumerGroup.
type ConsumerLog struct {
	epoch, shared int32
	hash          int64
	changed       int64
	members       map[string]*consumerMember
	alive         bool
}

// Alive tells whether, after all records, there is a group. Between them it
// says nothing: a member's records may stand before the group's own, and do
// after a compaction.
func (l *ConsumerLog) Alive() bool { return l.alive }

// Take takes the next record of the group; at is its time, Unix milliseconds.
func (l *ConsumerLog) Take(e *ConsumerEntry, at int64) {
	if l.members == nil {
		l.members = make(map[string]*consumerMember)
	}
	m := l.members[e.member]
	if m == nil && !e.deleted && e.member != "" {
		m = &consumerMember{}
		l.members[e.member] = m
	}
	switch {
	case e.kind == keyConsumerGroup:
		l.alive, l.epoch, l.hash, l.changed = !e.deleted, e.epoch, e.hash, at
	case e.kind == keyConsumerTarget:
		l.shared = e.epoch
	case e.deleted:
		if e.kind == keyConsumerMember {
			delete(l.members, e.member)
		}
	case e.kind == keyConsumerMember:
		e.said.target, e.said.assigned, e.said.revoking = m.target, m.assigned, m.revoking
		e.said.epoch, e.said.previous, e.said.state = m.epoch, m.previous, m.state
		*m = e.said
		m.id = e.member
	case e.kind == keyConsumerTargetMember:
		m.target = e.said.target
	default:
		m.assigned, m.revoking = e.said.assigned, e.said.revoking
		m.epoch, m.previous, m.state = e.said.epoch, e.said.previous, e.said.state
	}
}

// RestoreConsumerGroup makes a group of what its log says. Its members have a
// whole session from now on to be heard of.
//
// Where a write was refused and a later one was not, the log has gaps: members
// and the assignment may be ahead of the group, which then goes past them, and a partition may have
// two holders, of which nobody told the later one so.
func RestoreConsumerGroup(now int64, id string, l *ConsumerLog, cfg Config, topics Catalog) *ConsumerGroup {
	g := NewConsumerGroup(id, cfg, topics)
	g.epoch, g.shared, g.hash, g.changed = l.epoch, l.shared, l.hash, l.changed
	ahead := l.shared
	for member, m := range l.members {
		if m.id != member {
			continue // what is left of a member that was removed
		}
		if m.target == nil {
			m.target = make(map[PartitionID]struct{})
		}
		if m.assigned == nil {
			m.assigned = make(map[PartitionID]int32)
		}
		if m.revoking == nil {
			m.revoking = make(map[PartitionID]int32)
		}
		m.expires = now + g.cfg.ConsumerSession.Milliseconds()
		if m.state == unrevoked {
			m.revokeBy = now + m.rebalance.Milliseconds()
		}
		g.members[member] = m
		if m.instance != "" {
			g.static[m.instance] = member
		}
		ahead = max(ahead, m.epoch)
	}
	if ahead > g.epoch {
		g.epoch, g.dirty.epoch = ahead+1, true
	}
	for _, member := range g.ids() {
		g.hold(g.members[member])
	}
	return g
}

// hold notes what a member of the log holds, or takes it from whoever got it
// later.
func (g *ConsumerGroup) hold(m *consumerMember) {
	for _, set := range []map[PartitionID]int32{m.assigned, m.revoking} {
		for p, since := range set {
			other := g.members[g.holders[p]]
			if other == nil || other == m {
				g.holders[p] = m.id
				continue
			}
			later := m
			if at, ok := other.assigned[p]; ok && at > since {
				later, g.holders[p] = other, m.id
			}
			delete(later.assigned, p)
			later.dirty.current = true
		}
	}
}

// onStored gives out the replies that waited for a Store, or fails them and has
// everything written anew.
func (g *ConsumerGroup) onStored(e *Stored) {
	if e.Err == nil {
		g.stored = max(g.stored, e.Seq)
		for id, seq := range g.gone {
			if seq > 0 && seq <= g.stored {
				delete(g.gone, id)
			}
		}
	} else {
		g.dirty = dirtyGroup{epoch: true, target: true}
		for _, m := range g.members {
			m.dirty = dirtyMember{said: true, target: true, current: true}
		}
		for id := range g.gone {
			g.gone[id] = 0
		}
		if e.Seq == g.stores {
			g.stored = e.Seq // nothing is under way any more
		}
	}
	g.waiting = slices.DeleteFunc(g.waiting, func(w waitingReply) bool {
		switch {
		case e.Err == nil && w.seq <= g.stored:
			g.out = append(g.out, w.reply)
		case e.Err != nil && w.seq >= e.Seq: // what came later rests on it
			g.out = append(g.out, Reply{Token: w.reply.Token, Err: e.Err, MemberID: w.reply.MemberID})
		default:
			return false
		}
		return true
	})
}

// flush asks to write what the step has changed, and has the step's replies
// wait for all that is being written.
func (g *ConsumerGroup) flush() {
	records := g.changes()
	if len(records) > 0 {
		g.stores++
		g.out = append(g.out, Store{Seq: g.stores, Records: records})
		for id, seq := range g.gone {
			if seq == 0 {
				g.gone[id] = g.stores
			}
		}
	}
	for _, r := range g.held {
		if g.stored < g.stores {
			g.waiting = append(g.waiting, waitingReply{seq: g.stores, reply: r})
		} else {
			g.out = append(g.out, r)
		}
	}
}
