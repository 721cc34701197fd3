package kafka

import (
	"context"
	"errors"
	"fmt"
	"sort"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/chroniklog/chronik/server"
)

// Errors of requests about topics that the broker is not asked about.
var (
	errTwice      = errors.New("the request names the topic twice")
	errAssignment = errors.New("the assignment is not one partition after the other, from 0 on, each with replicas")
	errBoth       = errors.New("give either an assignment or counts")
	errNullConfig = errors.New("a config's value is null")
	errPlacement  = errors.New("the assignment does not fit")
)

// requestCode is codeOf with the errors of the request itself.
func requestCode(err error) int16 {
	switch {
	case errors.Is(err, errTwice), errors.Is(err, errBoth), errors.Is(err, errResource):
		return codeInvalidRequest
	case errors.Is(err, errAssignment), errors.Is(err, errPlacement):
		return codeInvalidAssignment
	case errors.Is(err, errNullConfig):
		return codeInvalidConfig
	}
	return codeOf(err)
}

// requestMessage is message with the errors of the request itself.
func requestMessage(err error) *string {
	if err != nil && requestCode(err) != codeUnknown {
		text := err.Error()
		return &text
	}
	return message(err)
}

// createTopics answers CreateTopics. Any node does it: the change goes to the
// controller from here.
func (k *Listener) createTopics(ctx context.Context, req *kmsg.CreateTopicsRequest) kmsg.Response {
	ctx, cancel := deadline(ctx, req.TimeoutMillis)
	defer cancel()
	resp := kmsg.NewPtrCreateTopicsResponse()
	names := make(map[string]int)
	for i := range req.Topics {
		names[req.Topics[i].Topic]++
	}
	for i := range req.Topics {
		name := req.Topics[i].Topic
		if names[name] == 0 {
			continue // answered
		}
		answer := kmsg.NewCreateTopicsResponseTopic()
		answer.Topic = name
		err := errTwice
		if names[name] == 1 {
			err = k.createTopic(ctx, &req.Topics[i], req.ValidateOnly, &answer)
		}
		names[name] = 0
		answer.ErrorCode, answer.ErrorMessage = requestCode(err), requestMessage(err)
		resp.Topics = append(resp.Topics, answer)
	}
	return resp
}

func (k *Listener) createTopic(ctx context.Context, want *kmsg.CreateTopicsRequestTopic, validateOnly bool,
	answer *kmsg.CreateTopicsResponseTopic,
) error {
	spec, err := topicSpec(want)
	if err != nil {
		return err
	}
	spec.ValidateOnly = validateOnly
	t, err := k.broker.CreateTopic(ctx, spec)
	if spec.Assignment != nil && errors.Is(err, server.ErrInvalidReplication) {
		err = fmt.Errorf("%w: %w", errPlacement, err)
	}
	if err != nil {
		return err
	}
	answer.TopicID, answer.NumPartitions, answer.ReplicationFactor = t.ID, t.Partitions, t.ReplicationFactor
	for _, e := range k.broker.DescribeConfigs(t) {
		c := kmsg.NewCreateTopicsResponseTopicConfig()
		c.Name, c.Value, c.Source = e.Name, kmsg.StringPtr(e.Value), int8(k.sourceOf(&e))
		answer.Configs = append(answer.Configs, c)
	}
	return nil
}

// topicSpec reads what a client wants: -1 asks for the default.
func topicSpec(want *kmsg.CreateTopicsRequestTopic) (server.TopicSpec, error) {
	spec := server.TopicSpec{Name: want.Topic, Configs: make(map[string]string, len(want.Configs))}
	for _, c := range want.Configs {
		if c.Value == nil {
			return spec, fmt.Errorf("%w: %s", errNullConfig, c.Name)
		}
		spec.Configs[c.Name] = *c.Value
	}
	if len(want.ReplicaAssignment) > 0 {
		if want.NumPartitions != -1 || want.ReplicationFactor != -1 {
			return spec, errBoth
		}
		var err error
		spec.Assignment, err = assignment(want.ReplicaAssignment)
		return spec, err
	}
	switch {
	case want.NumPartitions == 0 || want.NumPartitions < -1:
		return spec, fmt.Errorf("%w: %d", server.ErrInvalidPartitions, want.NumPartitions)
	case want.ReplicationFactor == 0 || want.ReplicationFactor < -1:
		return spec, fmt.Errorf("%w: %d", server.ErrInvalidReplication, want.ReplicationFactor)
	}
	spec.Partitions, spec.ReplicationFactor = max(want.NumPartitions, 0), max(want.ReplicationFactor, 0)
	return spec, nil
}

func assignment(list []kmsg.CreateTopicsRequestTopicReplicaAssignment) ([][]server.NodeID, error) {
	sort.Slice(list, func(i, j int) bool { return list[i].Partition < list[j].Partition })
	all := make([][]server.NodeID, 0, len(list))
	for i := range list {
		if list[i].Partition != int32(i) || len(list[i].Replicas) == 0 {
			return nil, errAssignment
		}
		all = append(all, list[i].Replicas)
	}
	return all, nil
}

// deleteTopics answers DeleteTopics: by name, from version 6 on by id too.
func (k *Listener) deleteTopics(ctx context.Context, req *kmsg.DeleteTopicsRequest) kmsg.Response {
	ctx, cancel := deadline(ctx, req.TimeoutMillis)
	defer cancel()
	resp := kmsg.NewPtrDeleteTopicsResponse()
	wanted := req.Topics
	for _, name := range req.TopicNames {
		t := kmsg.NewDeleteTopicsRequestTopic()
		t.Topic = kmsg.StringPtr(name)
		wanted = append(wanted, t)
	}
	for i := range wanted {
		answer := kmsg.NewDeleteTopicsResponseTopic()
		answer.Topic, answer.TopicID = wanted[i].Topic, wanted[i].TopicID
		err := k.deleteTopic(ctx, &answer)
		answer.ErrorCode, answer.ErrorMessage = requestCode(err), requestMessage(err)
		if wanted[i].Topic == nil && errors.Is(err, server.ErrUnknownTopic) {
			answer.ErrorCode = codeUnknownTopicID
		}
		resp.Topics = append(resp.Topics, answer)
	}
	return resp
}

// deleteTopic deletes what the answer names and completes its name and id.
func (k *Listener) deleteTopic(ctx context.Context, answer *kmsg.DeleteTopicsResponseTopic) error {
	var t server.Topic
	var err error
	if answer.Topic == nil {
		t, err = k.broker.TopicByID(answer.TopicID)
	} else {
		t, err = k.broker.Topic(*answer.Topic)
	}
	if err != nil {
		return err
	}
	answer.Topic, answer.TopicID = &t.Name, t.ID
	return k.broker.DeleteTopic(ctx, t.Name)
}

// createPartitions answers CreatePartitions.
func (k *Listener) createPartitions(ctx context.Context, req *kmsg.CreatePartitionsRequest) kmsg.Response {
	ctx, cancel := deadline(ctx, req.TimeoutMillis)
	defer cancel()
	resp := kmsg.NewPtrCreatePartitionsResponse()
	for i := range req.Topics {
		answer := kmsg.NewCreatePartitionsResponseTopic()
		answer.Topic = req.Topics[i].Topic
		err := k.addPartitions(ctx, &req.Topics[i], req.ValidateOnly)
		answer.ErrorCode, answer.ErrorMessage = requestCode(err), requestMessage(err)
		resp.Topics = append(resp.Topics, answer)
	}
	return resp
}

func (k *Listener) addPartitions(ctx context.Context, want *kmsg.CreatePartitionsRequestTopic, validateOnly bool,
) error {
	t, err := k.broker.Topic(want.Topic)
	if err != nil {
		return err
	}
	var assignment [][]server.NodeID
	for i := range want.Assignment {
		assignment = append(assignment, want.Assignment[i].Replicas)
	}
	switch {
	case want.Assignment != nil && len(assignment) != int(want.Count-t.Partitions) && want.Count > t.Partitions:
		return fmt.Errorf("%w: it places %d partitions where %d are new",
			errPlacement, len(assignment), want.Count-t.Partitions)
	case want.Count == t.Partitions:
		return fmt.Errorf("%w: the topic has %d already", server.ErrInvalidPartitions, t.Partitions)
	case want.Count < t.Partitions:
		return fmt.Errorf("%w: the topic has %d, which can't be lowered to %d",
			server.ErrInvalidPartitions, t.Partitions, want.Count)
	case validateOnly && k.broker.TopicLimits(t).Compacted:
		return fmt.Errorf("%w: the topic is compacted", server.ErrInvalidPartitions)
	case validateOnly:
		return nil
	}
	_, err = k.broker.AddPartitions(ctx, want.Topic, server.Growth{Total: want.Count, Assignment: assignment})
	if assignment != nil && errors.Is(err, server.ErrInvalidReplication) {
		err = fmt.Errorf("%w: %w", errPlacement, err)
	}
	return err
}
