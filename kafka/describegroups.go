package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/chroniklog/chronik/server/group"
)

// deleteGroups answers DeleteGroups.
func (k *Listener) deleteGroups(ctx context.Context, req *kmsg.DeleteGroupsRequest) kmsg.Response {
	resp := kmsg.NewPtrDeleteGroupsResponse()
	for _, id := range req.Groups {
		g := kmsg.NewDeleteGroupsResponseGroup()
		err := k.groups.Delete(ctx, id)
		g.Group, g.ErrorCode, g.ErrorMessage = id, codeOf(err), message(err)
		resp.Groups = append(resp.Groups, g)
	}
	return resp
}

// describeGroups answers DescribeGroups. A group that does not exist is dead,
// from version 6 on an error.
func (k *Listener) describeGroups(ctx context.Context, req *kmsg.DescribeGroupsRequest) kmsg.Response {
	resp := kmsg.NewPtrDescribeGroupsResponse()
	for _, id := range req.Groups {
		g := kmsg.NewDescribeGroupsResponseGroup()
		g.Group = id
		md, err := k.groups.Describe(ctx, id)
		if err == nil && md.Consumer != nil {
			err = fmt.Errorf("%w: it is of the consumer protocol", group.ErrUnknownGroup)
		}
		switch {
		case errors.Is(err, group.ErrUnknownGroup) && req.Version < 6:
			g.State = "Dead"
		case err != nil:
			g.State, g.ErrorCode = "Dead", codeOf(err)
			g.ErrorMessage = kmsg.StringPtr(fmt.Sprintf("group %s: %s", id, *message(err)))
		default:
			showGroup(&g, md)
		}
		resp.Groups = append(resp.Groups, g)
	}
	return resp
}

func showGroup(g *kmsg.DescribeGroupsResponseGroup, md *group.Metadata) {
	g.State, g.ProtocolType = md.State.String(), md.ProtocolType
	if md.State == group.Stable {
		g.Protocol = md.Protocol
	}
	for i := range md.Members {
		from := &md.Members[i]
		m := kmsg.NewDescribeGroupsResponseGroupMember()
		m.MemberID, m.ClientID, m.ClientHost = from.ID, from.ClientID, from.Host
		if from.Instance != "" {
			m.InstanceID = &from.Instance
		}
		if md.State == group.Stable {
			m.ProtocolMetadata, m.MemberAssignment = from.Subscription, from.Assignment
		}
		g.Members = append(g.Members, m)
	}
}

// The types of groups.
const (
	classicGroup  = "classic"
	consumerGroup = "consumer"
)

// listGroups answers ListGroups: those that this node coordinates.
func (k *Listener) listGroups(ctx context.Context, req *kmsg.ListGroupsRequest) kmsg.Response {
	resp := kmsg.NewPtrListGroupsResponse()
	list, err := k.groups.List(ctx)
	resp.ErrorCode = codeOf(err)
	for _, md := range list {
		kind := classicGroup
		if md.Consumer != nil {
			kind = consumerGroup
		}
		if !wanted(req.StatesFilter, md.State.String()) || !wanted(req.TypesFilter, kind) {
			continue
		}
		g := kmsg.NewListGroupsResponseGroup()
		g.Group, g.ProtocolType, g.GroupState, g.GroupType = md.Group, md.ProtocolType, md.State.String(), kind
		resp.Groups = append(resp.Groups, g)
	}
	return resp
}

// wanted tells whether a filter lets a value pass; an empty one lets all.
func wanted(filter []string, value string) bool {
	for _, f := range filter {
		if strings.EqualFold(f, value) {
			return true
		}
	}
	return len(filter) == 0
}
