package group

import (
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// consumerProtocol is the protocol type whose metadata the group understands:
// the topics that a consumer is subscribed to.
const consumerProtocol = "consumer"

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
			var sub kmsg.ConsumerMemberMetadata
			if err := sub.ReadFrom(m.protocols[i].Metadata); err != nil || slices.Contains(sub.Topics, topic) {
				return fmt.Errorf("%w: %q", ErrSubscribed, topic)
			}
		}
	}
	return nil
}
