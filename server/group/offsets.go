package group

import (
	"encoding/binary"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// MaxOffsetMetadata bounds what a client keeps beside a committed offset, in
// bytes, as Kafka does by default.
const MaxOffsetMetadata = 4096

// TopicPartition names what an offset belongs to.
type TopicPartition struct {
	Topic     string
	Partition int32
}

// Commit is a committed offset.
type Commit struct {
	Offset      int64
	LeaderEpoch int32 // of the record before it, -1 if not known
	Metadata    string
	At          int64 // when, Unix milliseconds
	// TopicID is that of the topic, by which a later one of the same name is
	// known; zero if the coordinator did not know it.
	TopicID [16]byte `json:"-"`
}

// Kept is a commit with the place of its record in the group's log: of two
// commits the one that stands later holds.
type Kept struct {
	Commit
	Place int64
}

// OffsetKey is the key of a commit's record: Kafka's own form.
func OffsetKey(group string, tp TopicPartition) []byte {
	key := kmsg.NewOffsetCommitKey()
	key.Version, key.Group, key.Topic, key.Partition = 1, group, tp.Topic, tp.Partition
	return key.AppendTo(nil)
}

// Value is the value of a commit's record: Kafka's own form, version 4 with the
// topic's id, else 3.
func (c *Commit) Value() []byte {
	v := kmsg.NewOffsetCommitValue()
	v.Version, v.TopicID = 3, c.TopicID
	if c.TopicID != ([16]byte{}) {
		v.Version = 4
	}
	v.Offset, v.LeaderEpoch, v.Metadata, v.CommitTimestamp = c.Offset, c.LeaderEpoch, c.Metadata, c.At
	return v.AppendTo(nil)
}

// Entry is a record of the groups' log, decoded. A nil Metadata and Commit
// mean that the record is a tombstone.
type Entry struct {
	Group string
	// OfOffset tells a commit's record from a group's.
	OfOffset  bool
	Partition TopicPartition
	Commit    *Commit
	Metadata  *Metadata
	// Consumer is set for a record of a ConsumerGroup, which ConsumerLog takes.
	Consumer *ConsumerEntry
}

// GroupKey is the key of a group's own record.
func GroupKey(group string) []byte { return groupKey(group) }

// Parse decodes a record of the groups' log. ok is false for records of kinds
// that this release does not write, which are to be skipped; the error is
// ErrCorrupt.
func Parse(key, value []byte) (e Entry, ok bool, err error) {
	if len(key) < 2 {
		return e, false, fmt.Errorf("%w: a key of %d bytes", ErrCorrupt, len(key))
	}
	switch binary.BigEndian.Uint16(key) {
	case 0, 1:
		k := kmsg.NewOffsetCommitKey()
		if err := k.ReadFrom(key); err != nil {
			return e, false, fmt.Errorf("%w: offset key: %w", ErrCorrupt, err)
		}
		e = Entry{Group: k.Group, OfOffset: true, Partition: TopicPartition{Topic: k.Topic, Partition: k.Partition}}
		if value == nil {
			return e, true, nil
		}
		v := kmsg.NewOffsetCommitValue()
		if err := v.ReadFrom(value); err != nil {
			return e, false, fmt.Errorf("%w: offset of group %q: %w", ErrCorrupt, k.Group, err)
		}
		e.Commit = &Commit{
			Offset: v.Offset, LeaderEpoch: v.LeaderEpoch, Metadata: v.Metadata, At: v.CommitTimestamp, TopicID: v.TopicID,
		}
		return e, true, nil
	case 2:
		k := kmsg.NewGroupMetadataKey()
		if err := k.ReadFrom(key); err != nil {
			return e, false, fmt.Errorf("%w: group key: %w", ErrCorrupt, err)
		}
		e = Entry{Group: k.Group}
		if value == nil {
			return e, true, nil
		}
		e.Metadata, err = parseMetadata(k.Group, value)
		return e, err == nil, err
	case keyConsumerGroup, keyConsumerMember, keyConsumerTarget, keyConsumerTargetMember, keyConsumerCurrent:
		c, err := parseConsumer(key, value)
		if err != nil {
			return e, false, err
		}
		return Entry{Group: c.group, Consumer: c}, true, nil
	}
	return e, false, nil
}
