package api

import (
	"context"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/chroniklog/chronik/api/gen"
	"github.com/chroniklog/chronik/server"
	"github.com/chroniklog/chronik/server/coordinator"
	"github.com/chroniklog/chronik/server/group"
)

// Groups are the cluster's consumer groups; *coordinator.Front has them.
type Groups interface {
	Attend(ctx context.Context, a coordinator.Attendance) (coordinator.Seat, error)
	Watch(ctx context.Context, id string, h group.Heartbeat, wait time.Duration) error
	Commit(ctx context.Context, who coordinator.Committer, offsets []coordinator.Committed) error
	Reset(ctx context.Context, id string, offsets []coordinator.Committed) error
	Leave(ctx context.Context, id, memberID string) error
	Delete(ctx context.Context, id string) error
	Describe(ctx context.Context, id string) (coordinator.Description, error)
	List(ctx context.Context) ([]*group.Metadata, error)
	// Secret signs ack tokens.
	Secret() []byte
}

// maxGroupID bounds a group's id and an instance id, in bytes.
const maxGroupID = 249

// maxCommitMetadata bounds what is kept beside a committed offset, in bytes, as
// Kafka does.
const maxCommitMetadata = 4096

// checkGroup judges a group id.
func checkGroup(id string) error {
	if !plainText(id, maxGroupID) {
		return badRequest(CodeInvalidGroup, "group %q: want 1 to %d bytes of UTF-8 without control characters",
			clip(id), maxGroupID)
	}
	return nil
}

func plainText(s string, most int) bool {
	return s != "" && len(s) <= most && utf8.ValidString(s) && strings.IndexFunc(s, unicode.IsControl) < 0
}

// ListGroups implements GET /v1/groups.
func (s *Server) ListGroups(
	ctx context.Context, req gen.ListGroupsRequestObject,
) (gen.ListGroupsResponseObject, error) {
	limit := int32(defaultPage)
	if l := req.Params.Limit; l != nil {
		if *l < 1 || int(*l) > s.limits.MaxPage {
			return nil, badParameter("limit", "want a whole number from 1 to %d, have %d", s.limits.MaxPage, *l)
		}
		limit = *l
	}
	after := ""
	if t := req.Params.PageToken; t != nil {
		name, err := parsePageToken(*t)
		if err != nil {
			return nil, err
		}
		after = name
	}
	list, err := s.groups.List(ctx)
	if err != nil {
		return nil, err
	}
	prefix := deref(req.Params.Prefix)
	out := gen.ListGroups200JSONResponse{Groups: []gen.GroupSummary{}}
	for _, md := range list {
		if !strings.HasPrefix(md.Group, prefix) || after != "" && md.Group <= after {
			continue
		}
		if len(out.Groups) == int(limit) {
			token := pageToken(out.Groups[limit-1].Group)
			out.NextPageToken = &token
			break
		}
		out.Groups = append(out.Groups, gen.GroupSummary{
			Group: md.Group, Type: groupType(md), State: gen.GroupState(md.State.String()), ProtocolType: md.ProtocolType,
		})
	}
	return out, nil
}

// DescribeGroup implements GET /v1/groups/{group}.
func (s *Server) DescribeGroup(
	ctx context.Context, req gen.DescribeGroupRequestObject,
) (gen.DescribeGroupResponseObject, error) {
	d, err := s.describeGroup(ctx, req.Group)
	if err != nil {
		return nil, err
	}
	md := d.Metadata
	out := gen.DescribeGroup200JSONResponse{
		Group: md.Group, Type: groupType(md), State: gen.GroupState(md.State.String()), Generation: md.Generation,
		ProtocolType: md.ProtocolType, Protocol: md.Protocol, Coordinator: d.Coordinator, Members: []gen.GroupMember{},
	}
	for i := range md.Members {
		out.Members = append(out.Members, memberJSON(md, &md.Members[i]))
	}
	out.Partitions, out.Lag = s.groupPartitions(ctx, &d)
	return out, nil
}

func groupType(md *group.Metadata) gen.GroupType {
	if md.Consumer != nil {
		return gen.Consumer
	}
	return gen.Classic
}

func (s *Server) describeGroup(ctx context.Context, id string) (coordinator.Description, error) {
	if err := checkGroup(id); err != nil {
		return coordinator.Description{}, err
	}
	return s.groups.Describe(ctx, id)
}

// memberJSON shows a member. What a Kafka member says that can't be read is
// left out.
func memberJSON(md *group.Metadata, m *group.Member) gen.GroupMember {
	out := gen.GroupMember{
		Member: m.ID, Protocol: gen.Kafka, ClientId: m.ClientID, Host: strings.TrimPrefix(m.Host, "/"),
		Leader: m.ID == md.Leader, SessionMs: m.Session.Milliseconds(),
		Topics: []string{}, Assignment: []gen.TopicPartition{},
	}
	if group.Hosted(m.ID) {
		out.Protocol = gen.Http
	}
	if m.Instance != "" {
		out.Instance = &m.Instance
	}
	if sub, err := group.ParseSubscription(m.Subscription); err == nil && len(sub.Topics) > 0 {
		out.Topics = sub.Topics
		slices.Sort(out.Topics)
	}
	list, err := group.ParseAssignment(m.Assignment)
	if err != nil || !md.Shared() {
		return out
	}
	for _, tp := range list {
		out.Assignment = append(out.Assignment, gen.TopicPartition{Topic: tp.Topic, Partition: tp.Partition})
	}
	return out
}

// DeleteGroup implements DELETE /v1/groups/{group}.
func (s *Server) DeleteGroup(
	ctx context.Context, req gen.DeleteGroupRequestObject,
) (gen.DeleteGroupResponseObject, error) {
	err := checkGroup(req.Group)
	if err == nil {
		err = s.groups.Delete(ctx, req.Group)
	}
	if err != nil {
		return nil, err
	}
	return gen.DeleteGroup204Response{}, nil
}

// RemoveMember implements DELETE /v1/groups/{group}/members/{member}.
func (s *Server) RemoveMember(
	ctx context.Context, req gen.RemoveMemberRequestObject,
) (gen.RemoveMemberResponseObject, error) {
	err := checkGroup(req.Group)
	if err == nil {
		err = s.groups.Leave(ctx, req.Group, req.Member)
	}
	if err != nil {
		return nil, err
	}
	return gen.RemoveMember204Response{}, nil
}

// GroupLag implements GET /v1/groups/{group}/lag.
func (s *Server) GroupLag(ctx context.Context, req gen.GroupLagRequestObject) (gen.GroupLagResponseObject, error) {
	d, err := s.describeGroup(ctx, req.Group)
	if err != nil {
		return nil, err
	}
	list, lag := s.groupPartitions(ctx, &d)
	return gen.GroupLag200JSONResponse{Group: req.Group, Lag: lag, Partitions: list}, nil
}

// GroupOffsets implements GET /v1/groups/{group}/offsets.
func (s *Server) GroupOffsets(
	ctx context.Context, req gen.GroupOffsetsRequestObject,
) (gen.GroupOffsetsResponseObject, error) {
	d, err := s.describeGroup(ctx, req.Group)
	if err != nil {
		return nil, err
	}
	out := gen.GroupOffsets200JSONResponse{Group: req.Group, Offsets: make([]gen.GroupOffset, len(d.Offsets))}
	for i := range d.Offsets {
		o := &d.Offsets[i]
		out.Offsets[i] = gen.GroupOffset{
			Topic: o.Topic, Partition: o.Partition, Offset: o.Offset, Metadata: o.Metadata,
			CommittedAt: time.UnixMilli(o.At).UTC(),
		}
	}
	return out, nil
}

// ResetGroup implements PUT /v1/groups/{group}/offsets.
func (s *Server) ResetGroup(
	ctx context.Context, req gen.ResetGroupRequestObject,
) (gen.ResetGroupResponseObject, error) {
	if err := checkGroup(req.Group); err != nil {
		return nil, err
	}
	partitions, topic, err := s.resetPartitions(req.Body)
	if err != nil {
		return nil, err
	}
	d, err := s.groups.Describe(ctx, req.Group)
	if err != nil && !isUnknownGroup(err) {
		return nil, err
	}
	before := make(map[group.TopicPartition]int64)
	for i := range d.Offsets {
		before[d.Offsets[i].TopicPartition] = d.Offsets[i].Offset
	}
	out := gen.ResetGroup200JSONResponse{Group: req.Group, DryRun: deref(req.Body.DryRun), Offsets: []gen.OffsetMove{}}
	var commits []coordinator.Committed
	for _, p := range partitions {
		to, err := s.resetTo(ctx, topic.Name, p, req.Body)
		if err != nil {
			return nil, err
		}
		tp := group.TopicPartition{Topic: topic.Name, Partition: p}
		move := gen.OffsetMove{Topic: topic.Name, Partition: p, To: to}
		if from, ok := before[tp]; ok {
			move.From = &from
		}
		out.Offsets = append(out.Offsets, move)
		commits = append(commits, coordinator.Committed{
			TopicPartition: tp, Commit: group.Commit{Offset: to, LeaderEpoch: -1, Metadata: deref(req.Body.Metadata)},
		})
	}
	if out.DryRun {
		return out, nil
	}
	return out, s.groups.Reset(ctx, req.Group, commits)
}

// resetPartitions are the partitions that a reset names.
func (s *Server) resetPartitions(body *gen.OffsetReset) ([]int32, server.Topic, error) {
	if err := checkReset(body); err != nil {
		return nil, server.Topic{}, err
	}
	t, err := s.broker.Topic(body.Topic)
	if err != nil {
		return nil, t, err
	}
	if body.Partitions == nil {
		all := make([]int32, t.Partitions)
		for p := range all {
			all[p] = int32(p)
		}
		return all, t, nil
	}
	list := slices.Clone(*body.Partitions)
	slices.Sort(list)
	list = slices.Compact(list)
	for _, p := range list {
		if p < 0 || p >= t.Partitions {
			return nil, t, badField("partitions", "topic %s has partitions 0 to %d, not %d", t.Name, t.Partitions-1, p)
		}
	}
	if len(list) == 0 {
		return nil, t, badField("partitions", "name some, or leave the member out for all")
	}
	return list, t, nil
}

func checkReset(body *gen.OffsetReset) error {
	inRange := func(v *int64) bool { return v != nil && *v >= 0 && *v <= server.MaxOffset }
	switch to := body.To; {
	case len(deref(body.Metadata)) > maxCommitMetadata:
		return badField("metadata", "has %d bytes, at most %d are kept", len(*body.Metadata), maxCommitMetadata)
	case !to.Valid():
		return badField("to", "want earliest, latest, offset or timestamp, have %q", clip(string(to)))
	case body.Offset != nil && to != gen.OffsetResetToOffset, to == gen.OffsetResetToOffset && !inRange(body.Offset):
		return badField("offset", `belongs to "to":"offset" and is a whole number from 0 to %d`, server.MaxOffset)
	case body.Timestamp != nil && to != gen.OffsetResetToTimestamp,
		to == gen.OffsetResetToTimestamp && !inRange(body.Timestamp):
		return badField("timestamp", `belongs to "to":"timestamp" and is in Unix milliseconds, from 0 to %d`,
			server.MaxOffset)
	}
	return nil
}

// resetTo is where a reset moves a partition's offset to.
func (s *Server) resetTo(ctx context.Context, topic string, p int32, body *gen.OffsetReset) (int64, error) {
	o, err := s.broker.Offsets(ctx, topic, p)
	if err != nil {
		return 0, err
	}
	switch body.To {
	case gen.OffsetResetToEarliest:
		return o.LogStart, nil
	case gen.OffsetResetToOffset:
		return min(max(*body.Offset, o.LogStart), o.HighWatermark), nil
	case gen.OffsetResetToTimestamp:
		offset, _, ok, err := s.broker.OffsetForTime(ctx, topic, p, *body.Timestamp)
		if err != nil || ok {
			return offset, err
		}
	case gen.OffsetResetToLatest:
	}
	return o.HighWatermark, nil
}
