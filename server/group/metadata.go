package group

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Metadata is a group as it is written to its log, and as tools are shown it.
type Metadata struct {
	Group                  string
	State                  State // not written: Empty without members, else Stable
	Generation             int32
	ProtocolType, Protocol string
	Leader                 string
	Changed                int64 // Unix milliseconds
	Members                []Member
	// Consumer tells a ConsumerGroup: its Generation is the group's epoch, its
	// Protocol the assignor, and what its members read is said as consumers of
	// the classic protocol do.
	Consumer *ConsumerDetails `json:",omitempty"`
}

// Shared tells whether the members' assignments hold: in a Group only while it
// is stable.
func (md *Metadata) Shared() bool { return md.State == Stable || md.Consumer != nil }

// Member is a member of a Metadata.
type Member struct {
	ID, Instance             string
	ClientID, Host           string
	Session, Rebalance       time.Duration
	Subscription, Assignment []byte
	Consumer                 *ConsumerMemberDetails `json:",omitempty"`
}

// Describe is the group as it is now.
func (g *Group) Describe() *Metadata { return g.metadata() }

func (g *Group) metadata() *Metadata {
	md := &Metadata{
		Group: g.id, State: g.state, Generation: g.generation, ProtocolType: g.protocolType, Protocol: g.protocol,
		Leader: g.leader, Changed: g.changed,
	}
	for _, id := range g.order {
		m := g.members[id]
		md.Members = append(md.Members, Member{
			ID: m.id, Instance: m.instance, ClientID: m.clientID, Host: m.host, Session: m.session, Rebalance: m.rebal,
			Subscription: m.metadata(g.protocol), Assignment: m.assignment,
		})
	}
	return md
}

// Restore makes a group of what its log says. Its members have a whole session
// from now on to be heard of.
func Restore(now int64, md *Metadata, cfg Config) *Group {
	g := New(md.Group, cfg)
	g.generation, g.protocolType, g.protocol = md.Generation, md.ProtocolType, md.Protocol
	g.leader, g.changed = md.Leader, md.Changed
	for i := range md.Members {
		o := &md.Members[i]
		m := &member{
			id: o.ID, instance: o.Instance, clientID: o.ClientID, host: o.Host, session: o.Session, rebal: o.Rebalance,
			protocols: []Protocol{{Name: md.Protocol, Metadata: o.Subscription}}, assignment: o.Assignment,
		}
		if m.hosted() {
			m.protocols = hostedProtocols(o.Subscription)
		}
		m.keepAlive(now)
		g.members[m.id] = m
		g.order = append(g.order, m.id)
		if m.instance != "" {
			g.static[m.instance] = m.id
		}
	}
	if len(g.members) > 0 {
		g.state = Stable
	}
	return g
}

// Key is the key of the group's record: Kafka's own form.
func (md *Metadata) Key() []byte { return groupKey(md.Group) }

func groupKey(group string) []byte {
	key := kmsg.NewGroupMetadataKey()
	key.Version, key.Group = 2, group
	return key.AppendTo(nil)
}

// Value is the value of the group's record: Kafka's own form, version 3.
func (md *Metadata) Value() []byte {
	v := kmsg.NewGroupMetadataValue()
	v.Version, v.ProtocolType, v.Generation, v.CurrentStateTimestamp = 3, md.ProtocolType, md.Generation, md.Changed
	if len(md.Members) > 0 {
		v.Protocol, v.Leader = &md.Protocol, &md.Leader
	}
	for i := range md.Members {
		o := &md.Members[i]
		m := kmsg.NewGroupMetadataValueMember()
		m.MemberID, m.ClientID, m.ClientHost = o.ID, o.ClientID, o.Host
		if o.Instance != "" {
			m.InstanceID = &o.Instance
		}
		m.RebalanceTimeoutMillis = int32(o.Rebalance.Milliseconds())
		m.SessionTimeoutMillis = int32(o.Session.Milliseconds())
		m.Subscription, m.Assignment = o.Subscription, o.Assignment
		v.Members = append(v.Members, m)
	}
	return v.AppendTo(nil)
}

// parseMetadata reads a group's record.
func parseMetadata(group string, value []byte) (*Metadata, error) {
	v := kmsg.NewGroupMetadataValue()
	if err := v.ReadFrom(value); err != nil {
		return nil, fmt.Errorf("%w: group %q: %w", ErrCorrupt, group, err)
	}
	md := &Metadata{
		Group: group, Generation: v.Generation, ProtocolType: v.ProtocolType, Changed: v.CurrentStateTimestamp,
		Protocol: text(v.Protocol), Leader: text(v.Leader),
	}
	for i := range v.Members {
		m := &v.Members[i]
		md.Members = append(md.Members, Member{
			ID: m.MemberID, Instance: text(m.InstanceID), ClientID: m.ClientID, Host: m.ClientHost,
			Session:      time.Duration(m.SessionTimeoutMillis) * time.Millisecond,
			Rebalance:    time.Duration(m.RebalanceTimeoutMillis) * time.Millisecond,
			Subscription: m.Subscription, Assignment: m.Assignment,
		})
	}
	return md, nil
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
