package group

import (
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// consumerProtocol is the protocol type whose metadata the group understands:
// the topics that a consumer is subscribed to.
const consumerProtocol = "consumer"

// Bounds of what a member says of itself and is told, as far as the group reads
// it: topics, and partitions of all of them.
const (
	maxTopics     = 10_000
	maxPartitions = 1_000_000
)

// Subscription is what a consumer says when it joins: Kafka's
// ConsumerProtocolSubscription.
type Subscription struct {
	Topics []string
	// Owned are the partitions that the member goes on reading while the group
	// rebalances (version 1 on, KIP-429).
	Owned []TopicPartition
	// Generation is the one in which it owns them, -1 if it does not say
	// (version 2 on, KIP-792).
	Generation int32
}

// ParseSubscription decodes a subscription of version 0 to 3, and what it knows
// of later ones. The error is ErrCorrupt.
func ParseSubscription(b []byte) (Subscription, error) {
	v := kmsg.NewConsumerMemberMetadata()
	if err := v.ReadFrom(b); err != nil {
		return Subscription{}, fmt.Errorf("%w: subscription: %w", ErrCorrupt, err)
	}
	if v.Version < 0 || len(v.Topics) > maxTopics {
		return Subscription{}, fmt.Errorf("%w: subscription of version %d to %d topics", ErrCorrupt, v.Version, len(v.Topics))
	}
	s := Subscription{Topics: v.Topics, Generation: v.Generation}
	for i := range v.OwnedPartitions {
		o := &v.OwnedPartitions[i]
		if len(s.Owned)+len(o.Partitions) > maxPartitions {
			return Subscription{}, fmt.Errorf("%w: subscription with more than %d partitions", ErrCorrupt, maxPartitions)
		}
		for _, p := range o.Partitions {
			s.Owned = append(s.Owned, TopicPartition{Topic: o.Topic, Partition: p})
		}
	}
	return s, nil
}

// Append encodes the subscription as version 1, which every client reads.
func (s *Subscription) Append(dst []byte) []byte {
	v := kmsg.NewConsumerMemberMetadata()
	v.Version, v.Topics = 1, s.Topics
	eachTopic(s.Owned, func(topic string, partitions []int32) {
		o := kmsg.NewConsumerMemberMetadataOwnedPartition()
		o.Topic, o.Partitions = topic, partitions
		v.OwnedPartitions = append(v.OwnedPartitions, o)
	})
	return v.AppendTo(dst)
}

// ParseAssignment decodes what a member was given to read: Kafka's
// ConsumerProtocolAssignment, version 0 to 3. No bytes are no partitions. The
// error is ErrCorrupt.
func ParseAssignment(b []byte) ([]TopicPartition, error) {
	if len(b) == 0 {
		return nil, nil
	}
	v := kmsg.NewConsumerMemberAssignment()
	if err := v.ReadFrom(b); err != nil {
		return nil, fmt.Errorf("%w: assignment: %w", ErrCorrupt, err)
	}
	var list []TopicPartition
	for i := range v.Topics {
		t := &v.Topics[i]
		if v.Version < 0 || len(list)+len(t.Partitions) > maxPartitions {
			return nil, fmt.Errorf("%w: assignment of version %d, %d partitions", ErrCorrupt, v.Version, len(list))
		}
		for _, p := range t.Partitions {
			list = append(list, TopicPartition{Topic: t.Topic, Partition: p})
		}
	}
	return list, nil
}

// AppendAssignment encodes an assignment as version 0.
func AppendAssignment(dst []byte, list []TopicPartition) []byte {
	v := kmsg.NewConsumerMemberAssignment()
	eachTopic(list, func(topic string, partitions []int32) {
		t := kmsg.NewConsumerMemberAssignmentTopic()
		t.Topic, t.Partitions = topic, partitions
		v.Topics = append(v.Topics, t)
	})
	return v.AppendTo(dst)
}

// eachTopic visits partitions by topic, both in order.
func eachTopic(list []TopicPartition, visit func(topic string, partitions []int32)) {
	list = slices.Clone(list)
	slices.SortFunc(list, TopicPartition.Compare)
	for len(list) > 0 {
		topic, n := list[0].Topic, 0
		var partitions []int32
		for ; n < len(list) && list[n].Topic == topic; n++ {
			partitions = append(partitions, list[n].Partition)
		}
		visit(topic, partitions)
		list = list[n:]
	}
}

// MayDeleteOffsets judges whether offsets may be deleted at all: of a group
// with members only if it can be told what they read.
func (g *Group) MayDeleteOffsets() error {
	if g.state != Empty && g.protocolType != consumerProtocol {
		return fmt.Errorf("%w: it is %s", ErrNotEmpty, g.state)
	}
	return nil
}

// Subscribed is ErrSubscribed if a member may read the topic; a member whose
// metadata can't be read may read all.
func (g *Group) Subscribed(topic string) error {
	for _, m := range g.members {
		for i := range m.protocols {
			sub, err := ParseSubscription(m.protocols[i].Metadata)
			if err != nil || slices.Contains(sub.Topics, topic) {
				return fmt.Errorf("%w: %q", ErrSubscribed, topic)
			}
		}
	}
	return nil
}
