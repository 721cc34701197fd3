package api

import (
	"context"
	"encoding/base64"
	"math"
	"net/url"
	"strings"

	"github.com/chroniklog/chronik/api/gen"
	"github.com/chroniklog/chronik/server"
)

// defaultPage is the page of a list when the request names none.
const defaultPage = 100

// pagePrefix marks page tokens, so that a later form can be told from it.
const pagePrefix = "1:"

// ListTopics implements GET /v1/topics.
func (s *Server) ListTopics(
	_ context.Context, req gen.ListTopicsRequestObject,
) (gen.ListTopicsResponseObject, error) {
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
	list, more := s.broker.Topics(deref(req.Params.Prefix), after, int(limit))
	out := gen.ListTopics200JSONResponse{Topics: make([]gen.Topic, len(list))}
	for i := range list {
		out.Topics[i] = topicJSON(list[i])
	}
	if more && len(list) > 0 {
		token := pageToken(list[len(list)-1].Name)
		out.NextPageToken = &token
	}
	return out, nil
}

// pageToken names the last topic of a page. It stays valid when topics come
// and go in between.
func pageToken(name string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(pagePrefix + name))
}

func parsePageToken(token string) (string, error) {
	text, err := base64.RawURLEncoding.DecodeString(token)
	name, ok := strings.CutPrefix(string(text), pagePrefix)
	if err != nil || !ok {
		return "", &Error{
			Code: CodeInvalidPageToken, Detail: "page_token: use the next_page_token of the page before as it is",
			Members: Members{Parameter: "page_token"},
		}
	}
	return name, nil
}

// CreateTopic implements POST /v1/topics.
func (s *Server) CreateTopic(
	ctx context.Context, req gen.CreateTopicRequestObject,
) (gen.CreateTopicResponseObject, error) {
	spec, err := topicSpec(req.Body.Name, req.Body.Partitions, req.Body.ReplicationFactor, req.Body.Configs)
	if err != nil {
		return nil, err
	}
	t, err := s.broker.CreateTopic(ctx, spec)
	if err != nil {
		return nil, err
	}
	location := topicPath(t.Name)
	return gen.CreateTopic201JSONResponse{
		Body: topicJSON(t), Headers: gen.CreateTopic201ResponseHeaders{Location: &location},
	}, nil
}

// EnsureTopic implements PUT /v1/topics/{topic}.
func (s *Server) EnsureTopic(
	ctx context.Context, req gen.EnsureTopicRequestObject,
) (gen.EnsureTopicResponseObject, error) {
	var settings gen.TopicSettings
	if req.Body != nil {
		settings = *req.Body
	}
	spec, err := topicSpec(req.Topic, settings.Partitions, settings.ReplicationFactor, settings.Configs)
	if err != nil {
		return nil, err
	}
	t, created, err := s.broker.EnsureTopic(ctx, spec)
	if err != nil {
		return nil, err
	}
	if created {
		location := topicPath(t.Name)
		return gen.EnsureTopic201JSONResponse{
			Body: topicJSON(t), Headers: gen.EnsureTopic201ResponseHeaders{Location: &location},
		}, nil
	}
	if err := s.sameTopic(t, spec); err != nil {
		return nil, err
	}
	return gen.EnsureTopic200JSONResponse(topicJSON(t)), nil
}

// sameTopic compares what a spec states with the topic that exists.
func (s *Server) sameTopic(t server.Topic, spec server.TopicSpec) error {
	differs := func(what string, have, want any) error {
		return badRequest(CodeTopicExists, "topic %s exists with %s %v, not %v; PATCH changes configs, "+
			"POST …/partitions adds partitions", t.Name, what, have, want)
	}
	if spec.Partitions != 0 && spec.Partitions != t.Partitions {
		return differs("partitions", t.Partitions, spec.Partitions)
	}
	if spec.ReplicationFactor != 0 && spec.ReplicationFactor != t.ReplicationFactor {
		return differs("replication_factor", t.ReplicationFactor, spec.ReplicationFactor)
	}
	if len(spec.Configs) == 0 {
		return nil
	}
	for _, entry := range s.broker.DescribeConfigs(t) {
		if want, stated := spec.Configs[entry.Name]; stated && want != entry.Value {
			return differs(entry.Name, entry.Value, want)
		}
	}
	return nil
}

// DescribeTopic implements GET /v1/topics/{topic}.
func (s *Server) DescribeTopic(
	_ context.Context, req gen.DescribeTopicRequestObject,
) (gen.DescribeTopicResponseObject, error) {
	t, err := s.broker.Topic(req.Topic)
	if err != nil {
		return nil, err
	}
	return gen.DescribeTopic200JSONResponse(s.described(t)), nil
}

// AlterTopic implements PATCH /v1/topics/{topic}.
func (s *Server) AlterTopic(
	ctx context.Context, req gen.AlterTopicRequestObject,
) (gen.AlterTopicResponseObject, error) {
	if req.Body.Configs == nil {
		return nil, badField("configs", `want an object such as {"retention.ms": "3600000"}`)
	}
	t, err := s.broker.AlterConfigs(ctx, req.Topic, req.Body.Configs)
	if err != nil {
		return nil, err
	}
	return gen.AlterTopic200JSONResponse(s.described(t)), nil
}

// DeleteTopic implements DELETE /v1/topics/{topic}.
func (s *Server) DeleteTopic(
	ctx context.Context, req gen.DeleteTopicRequestObject,
) (gen.DeleteTopicResponseObject, error) {
	if err := s.broker.DeleteTopic(ctx, req.Topic); err != nil {
		return nil, err
	}
	return gen.DeleteTopic204Response{}, nil
}

// topicSpec builds a spec from what a body may leave out.
func topicSpec(name string, partitions, replication *int32, configs *gen.Configs) (server.TopicSpec, error) {
	spec := server.TopicSpec{Name: name}
	if partitions != nil {
		if *partitions < 1 {
			return spec, badField("partitions", "want 1 or more, have %d", *partitions)
		}
		spec.Partitions = *partitions
	}
	if replication != nil {
		if *replication < 1 || *replication > math.MaxInt16 {
			return spec, badField("replication_factor", "want a whole number from 1 to %d, have %d",
				math.MaxInt16, *replication)
		}
		spec.ReplicationFactor = int16(*replication)
	}
	if configs != nil {
		spec.Configs = *configs
	}
	return spec, nil
}

func topicPath(name string) string { return "/v1/topics/" + url.PathEscape(name) }

func topicJSON(t server.Topic) gen.Topic {
	configs := t.Configs
	if configs == nil {
		configs = map[string]string{}
	}
	return gen.Topic{
		Id: [16]byte(t.ID), Name: t.Name, Partitions: t.Partitions,
		ReplicationFactor: int32(t.ReplicationFactor), Configs: configs,
		Internal: t.Internal, CreatedAt: t.CreatedAt.UTC(),
	}
}

// described is a topic with the value of every config.
func (s *Server) described(t server.Topic) gen.Topic {
	out := topicJSON(t)
	entries := s.broker.DescribeConfigs(t)
	list := make([]gen.ConfigEntry, len(entries))
	for i, e := range entries {
		list[i] = gen.ConfigEntry{Name: e.Name, Value: e.Value, Default: e.Default, IsDefault: e.IsDefault}
	}
	out.EffectiveConfigs = &list
	return out
}

func deref[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
